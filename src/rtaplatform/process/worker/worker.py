"""The worker's loop: read, fold, set aside, apply.   Stage 3 of 6: stream → [process] → store.

A batch comes in portions: each is folded while it is warm in the processor's caches, then its records are let go; what
they add up to is applied when the batch is whole. While the store works, the next batch is read and folded as if all
had gone well; it is sent when that is certain. A portion for which the store must be asked something waits, with those
after it, so that it is asked once a batch: it answers nobody while it works on another worker's call. After a conflict
the same records are read again, in smaller batches.

Promise: every record takes effect once in each shard. The position lives in the shard, beside the
totals; one atomic call moves both, and only from where they stood. So a crash, a repeat, a second
worker or a store that went back in time can be refused or repeated, never counted twice.
What the store says goes: on any doubt everything kept here is dropped and the ledger is read again.

One thread, and one for the calls that are under way. At most one batch is open, and one sent.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from rtaplatform import telemetry
from rtaplatform.core.errors import Stopped, Unavailable
from rtaplatform.process.fold.dedup import without_expired
from rtaplatform.process.fold.job import ECOMMERCE_JOB, DecodedRun, Job
from rtaplatform.process.fold.loose_ids import loose_without_expired
from rtaplatform.process.worker.checks import Checks
from rtaplatform.process.worker.in_flight import (
    BatchDeadLetters,
    Begin,
    InFlightApply,
    PendingRun,
    ShardBatch,
    export_counts,
    in_a_thread,
)
from rtaplatform.process.worker.limits import BatchConflict, StateIsStale, WorkerLimits
from rtaplatform.process.worker.poison import (
    EndsOfOneProcess,
    Quarantine,
    RecordAlone,
    RecordRaised,
    is_well,
    record_work,
)
from rtaplatform.process.worker.positions import Positions
from rtaplatform.process.worker.project_lookup import ProjectLookup
from rtaplatform.process.worker.shard_caches import ShardCaches
from rtaplatform.store.port import AggregateStore, Applied, Conflicted, Delta, Moved, Outcome, Torn
from rtaplatform.stream.port import DeadLetters, EventLog, Partition, RecordColumns

DEAD_KEPT_MS = 400 * 86_400_000  # an older letter could not count any more: its day's bucket is gone
TOPICS_CHECKED_SECONDS = 5.0
BACKOFF_SECONDS_MAX = 2.0

log_line = telemetry.logger("worker")


class Worker:
    """One worker over its partitions and all shards, or `only` some. Call `turn` for ever; it raises only for bugs."""

    def __init__(
        self,
        log: EventLog,
        letters: DeadLetters,
        store: AggregateStore,
        *,
        shards: int,
        only: Collection[int] | None = None,
        limits: WorkerLimits = WorkerLimits(),  # noqa: B008  (frozen)
        counting: Job = ECOMMERCE_JOB,
        begin: Begin | None = None,
        quarantine: Quarantine | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log, self._letters, self._store = log, letters, store
        self._shards = shards
        self._mine = range(shards) if only is None else sorted(only)
        self._limits, self._counting = limits, counting
        self._quarantine = quarantine or Quarantine(EndsOfOneProcess())
        self._begin_call = begin or in_a_thread()
        self._sleep, self._clock = sleep, clock
        self._at = Positions({}, {}, {}, {}, {})
        self._caches = [ShardCaches(limits, shards) for _ in range(shards)]
        self._version: int | None = None  # of the assignment that `_at` was made for; None: make it again
        self._compared_at = self._checked_at = clock()
        self._backoff_seconds = 0.0
        self._waiting: list[PendingRun] = []  # what is not folded yet, in order
        self._open: dict[int, ShardBatch] = {}  # by shard: what is folded and not applied yet
        self._open_records = self._sent_records = 0
        self._opened_at = self._sent_opened_at = 0.0
        self._sent: list[InFlightApply] = []
        self._at_most: int | None = None  # records of a batch, after a conflict
        self._keeps_copies = False  # of blocks and persons, after a conflict
        self._said_stops: dict[str, str] = {}
        self._found_well: set[str] = set()  # of which no stop is said any more
        self._checks = Checks(log, store, self._mine, shards)
        self._project_lookup = ProjectLookup(store, shards)
        self._began_at, self._server_s = clock(), 0
        self._is_idle = True  # the last poll brought nothing

    @property
    def positions(self) -> Positions:
        return self._at

    @property
    def is_settled(self) -> bool:
        """Whether everything that was read is applied, and the partitions are those that it was read from."""
        return not self._open_records and not self._sent and self._version == self._log.assignment()[0]

    def compare_soon(self) -> None:
        """Settle and compare with the next whole batch, however lately that was done."""
        self._compared_at = float("-inf")

    def turn(self) -> None:
        """One turn: a batch, or a comparison while idle, or the way back from trouble."""
        try:
            if self._version != self._log.assignment()[0]:
                self._begin()
            batch = self._log.poll(self._at_most)
            if self._version != self._log.assignment()[0]:
                return
            self._is_idle = not batch.runs
            self._take(batch.runs)
            self._at.pass_by(batch.ends)
            if batch.is_whole or (self._at_most is not None and self._open_records >= self._at_most):
                self._settle()
                self._fold()
                self._send()
                if self._clock() - self._compared_at >= self._limits.idle_compare_seconds:
                    self._settle()
                    self._compare()
            if not self._sent:  # else it is not known yet whether all is well
                self._backoff_seconds = 0.0
        except BatchConflict:
            # One record alone that conflicts again: then nothing that is kept here is trusted.
            self._keeps_copies = self._sent_records > 1
            self._at_most = max(1, self._sent_records // 2)
            self._version = None
        except StateIsStale as why:
            log_line.info("resynchronise", why=str(why))
            self._version = None
        except (Unavailable, Stopped) as trouble:
            log_line.warning("waiting", trouble=str(trouble))
            self._version = None
            self._wait()
        except RecordRaised as raised:
            self._meet(raised)

    def _meet(self, raised: RecordRaised) -> None:
        """The first time what was read is read again, and kept; the second time the worker ends of it."""
        if self._quarantine.watch(raised):
            self._version = None
        else:
            self._quarantine.end(raised, self._alone(), self._at, partial(is_well, self._store, self._at, self._sent))

    def _alone(self) -> RecordAlone:
        return RecordAlone(self._counting, self._at.projects(), self._shards, self._server_s)

    # where to begin --------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Read the ledgers, compare them with the log, and seek to the lowest position of any shard."""
        self._waiting, self._open, self._open_records = [], {}, 0
        self._project_lookup.begin_batch()
        sent, self._sent = self._sent, []
        for each in sent:
            with contextlib.suppress(Unavailable, Stopped):
                each.outcome()  # whatever it is: the ledgers are read after it
        for caches in self._caches:
            if self._keeps_copies:
                caches.clear_uncompared()
            else:
                caches.clear()
        self._keeps_copies = False
        version, partitions = self._log.assignment()
        states = {shard: self._store.state(shard) for shard in self._mine}
        self._server_s = self._store.clock_s()
        extents = self._log.extents(partitions)
        self._at = Positions.find(partitions, states, extents, self._shards)
        self._quarantine.begin(self._at)
        self._say_stops({*map(str, partitions), *(f"shard {shard}" for shard in self._mine)})
        self._log.seek(self._at.starts)
        self._version = version
        self._began_at = self._compared_at = self._checked_at = self._clock()
        self._checks.gauges.keep_only(partitions)
        log_line.info("assigned", partitions=len(partitions), running=len(self._at.starts), stops=self._at.stops)

    def _say_stops(self, ours: set[str] | None = None) -> None:
        """Tell readers what stands still and why, and take back what does no more: of `ours`, what others said too."""
        said = self._said_stops.keys() | ((ours or set()) - self._found_well)
        for what in said - self._at.stops.keys():
            self._set_stop(what, "")
        for what, reason in self._at.stops.items():
            self._set_stop(what, reason)
        self._said_stops = dict(self._at.stops)
        self._found_well = (self._found_well if ours is None else ours) - self._at.stops.keys()
        telemetry.WORKER_STOPPED.set(len(self._at.stops))

    def _set_stop(self, what: str, reason: str) -> None:
        for shard in self._mine:
            self._store.set_stop(shard, what, reason)

    def _stop(self, what: str, reason: str) -> None:
        """A partition or shard stands still from now on, until `_begin` finds it well again."""
        log_line.error("stopped", what=what, reason=reason)
        self._at.stops[what] = reason
        self._say_stops()

    # a batch ---------------------------------------------------------------------------------------------------

    def _take(self, runs: Sequence[RecordColumns]) -> None:
        """Read a portion, and fold it into what is open unless the store must be asked first."""
        ours = {run.partition: run for run in runs if self._is_ours(run)}
        if not ours:
            return
        if not self._open_records:
            self._opened_at = time.perf_counter()
        self._quarantine.keep(ours, self._at)
        chunks = self._understand(ours)
        if self._project_lookup.learn(self._at, {name for one in chunks.values() for name in one.unknown_projects()}):
            chunks = self._understand(ours)
        with record_work():
            for partition, chunk in chunks.items():
                self._waiting += filter(None, (self._looked_at(shard, partition, chunk) for shard in self._at.shards))
        self._at.advance(ours)
        self._open_records += sum(map(len, ours.values()))
        if not self._must_wait():
            self._fold()

    def _is_ours(self, run: RecordColumns) -> bool:
        """Whether these are the records we stand before: the fingerprints that pass by must be those of the ledgers."""
        partition = run.partition
        if partition not in self._at.extents or str(partition) in self._at.stops:
            return False
        wrong = self._at.first_difference(run)
        if wrong is not None:
            why = f"another log: the record at {wrong} is not the one that was counted; run `rta rebuild`"
            self._stop(str(partition), why)
        return wrong is None

    def _understand(self, runs: Mapping[Partition, RecordColumns]) -> dict[Partition, DecodedRun]:
        alone = self._alone()
        with record_work():
            return {p: self._quarantine.understand(run, self._at.record_ms(p), alone) for p, run in runs.items()}

    def _looked_at(self, shard: int, partition: Partition, chunk: DecodedRun) -> PendingRun | None:
        """What the shard has not counted yet."""
        chunk = chunk.since(self._at.next_of(shard, partition))
        if not len(chunk):
            return None
        items = chunk.of(shard, self._shards)
        return PendingRun(shard, partition, chunk, items, self._caches[shard].missing(self._counting, items))

    def _must_wait(self) -> bool:
        is_known = not any(each.missing for each in self._waiting)
        return not is_known and sum(len(each.items) for each in self._waiting) < self._limits.records_waiting_max

    def _fold(self) -> None:
        """All that waits."""
        for shard in dict.fromkeys(each.shard for each in self._waiting):
            missing = [each.missing for each in self._waiting if each.shard == shard]
            self._caches[shard].load(missing, self._store, shard, self._at.shards[shard].generation)
        for each in self._waiting:
            part = self._open.get(each.shard) or self._open_part(each.shard)
            part.read[each.partition] = each.chunk.run.record(-1), each.chunk.record_ms
            if each.items:
                place = self._at.extents[each.partition].place
                with record_work():
                    part.folding.add(f"{place.topic_id}:{place.partition}", each.items)
                part.folded[each.partition] = each.chunk.record_ms
        self._waiting = []

    def _open_part(self, shard: int) -> ShardBatch:
        projects = self._at.shards[shard].projects
        folding = self._caches[shard].begin_fold(self._counting, projects, self._server_s)
        part = self._open[shard] = ShardBatch(folding, {}, {})
        return part

    def _send(self) -> None:
        """The batch is whole: its calls begin, and what is kept here is as if they had ended well."""
        if not self._open_records:
            return
        if self._project_lookup.learn_at_last(self._at):
            raise StateIsStale("a project was made while the batch was read")
        found = [letter for part in self._open.values() for letter in part.folding.letters]
        letters = BatchDeadLetters(found, self._letters) if found else None
        for shard, part in self._open.items():
            if part.folded:  # else there were other shards' events only: the ledger follows with the next comparison
                self._sent.append(self._apply(shard, part, letters))
        telemetry.WORKER_BATCH_RECORDS.set(self._open_records)
        self._sent_records, self._sent_opened_at = self._open_records, self._opened_at
        self._open, self._open_records, self._at_most = {}, 0, None
        self._quarantine.let_go()
        self._project_lookup.begin_batch()
        for caches in self._caches:
            caches.trim()

    def _apply(self, shard: int, part: ShardBatch, letters: BatchDeadLetters | None) -> InFlightApply:
        delta, generation = self._delta(shard, part), self._at.shards[shard].generation
        # Totals and position move in one atomic write, and only from `after`: repeats and stale workers are refused.
        apply = partial(self._store.apply, shard, generation, delta)
        outcome = self._begin_call(partial(letters.before, apply) if letters else apply)
        self._caches[shard].accept(delta)
        self._at.accept(shard, delta.moves)
        return InFlightApply(shard, part, delta, outcome)

    def _settle(self) -> None:
        """Wait for the calls under way. Where one did not end well, all that was built on it goes."""
        for sent in self._sent:
            self._judge(sent, sent.outcome())
        if self._sent:
            self._sent, self._backoff_seconds = [], 0.0
            telemetry.WORKER_BATCH_SECONDS.observe(time.perf_counter() - self._sent_opened_at)

    def _judge(self, sent: InFlightApply, outcome: Outcome) -> None:
        telemetry.WORKER_APPLIES.labels(type(outcome).__name__.lower()).inc()
        match outcome:
            case Applied():
                export_counts(sent, self._at.extents, self._checks.gauges)
            case Conflicted(projects=True):
                raise StateIsStale("projects have changed")
            case Conflicted():
                for each in self._sent:
                    self._caches[each.shard].drop(each.delta)
                raise BatchConflict
            case Torn():
                self._stop(f"shard {sent.shard}", "torn: a batch was written half; run `rta rebuild`")
                raise StateIsStale("a torn shard")
            case Moved():
                raise StateIsStale("another worker was here, or the store went back")

    def _delta(self, shard: int, part: ShardBatch) -> Delta:
        with record_work():
            delta = part.folding.delta()
        delta.moves = [self._at.move(shard, p, *last) for p, last in part.read.items()]
        delta.sketches = self._caches[shard].members.only_new(delta.sketches)
        delta.projects_version = self._at.shards[shard].projects_version
        delta.expired_blocks = self._at.expired_blocks(part.folded)
        delta.blocks = without_expired(delta.blocks, delta.expired_blocks)
        delta.loose = loose_without_expired(delta.loose, delta.expired_blocks)
        delta.dead_before_ms = max(0, min(part.folded.values()) - DEAD_KEPT_MS)
        return delta

    # while idle ------------------------------------------------------------------------------------------------

    def _compare(self) -> None:
        """Compare generation and position with nothing to apply, and let quiet shards' ledgers follow."""
        self._compared_at = self._clock()
        for shard, state in self._at.shards.items():
            moves = self._at.all_moves(shard)
            outcome = self._store.apply(shard, state.generation, Delta(moves))
            if not isinstance(outcome, Applied):
                raise StateIsStale(f"a comparison found {type(outcome).__name__}")
            self._at.accept(shard, moves)
        self._quarantine.forget_passed(self._at)
        self._log.commit(self._at.committable())
        if self._clock() - self._checked_at >= TOPICS_CHECKED_SECONDS:
            self._check_topics()

    def _check_topics(self) -> None:
        """Notice a re-created topic or a changed number of partitions, and what was stopped and is well again."""
        now = self._checked_at = self._clock()
        if self._log.assignment()[1]:
            why = self._checks.look(self._at, now, began=self._began_at, is_idle=self._is_idle)
            if why:
                raise StateIsStale(why)
        elif self._checks.look_for_orphans(now):
            log_line.warning("joining anew", why="nobody moves what there is to read, and we have no partition")
            self._log.rejoin()

    def _wait(self) -> None:
        self._backoff_seconds = min(BACKOFF_SECONDS_MAX, self._backoff_seconds * 2 or 0.1)
        self._sleep(self._backoff_seconds)
