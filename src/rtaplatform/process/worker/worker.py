"""The worker's loop: resume from the ledger, fold, apply, compare.   Stage 3 of 6: stream → [process] → store.

`Worker.turn` is the whole loop. A batch comes in portions, which are folded as they come. When it is whole, the batch
before it must have ended well; then its calls begin, and while the store works the next batch is read and folded as if
all had gone well. After a conflict the same records are read again, in smaller batches.

Promise: every record takes effect once in each shard. The position lives in the shard, beside the
totals; one atomic call moves both, and only from where they stood. So a crash, a repeat, a second
worker or a store that went back in time can be refused or repeated, never counted twice.
What the store says goes: on any doubt everything kept here is dropped and the ledger is read again.

One thread, and one for the calls that are under way. At most one batch is open, and one sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from functools import partial

from rtaplatform import telemetry
from rtaplatform.core.errors import Stopped, Unavailable
from rtaplatform.process.fold.job import ECOMMERCE_JOB, Job
from rtaplatform.process.worker.back_off import BackOff
from rtaplatform.process.worker.checks import Checks, CheckTimes
from rtaplatform.process.worker.in_flight import Begin, InFlight, in_a_thread
from rtaplatform.process.worker.limits import BatchConflict, StateIsStale, WorkerLimits
from rtaplatform.process.worker.open_batch import BatchParts, OpenBatch
from rtaplatform.process.worker.poison import EndsOfOneProcess, Quarantine, RecordRaised
from rtaplatform.process.worker.positions import Positions
from rtaplatform.process.worker.project_lookup import ProjectLookup
from rtaplatform.process.worker.shard_caches import ShardCaches
from rtaplatform.process.worker.stop_notices import StopNotices
from rtaplatform.store.port import AggregateStore, Applied, Delta
from rtaplatform.stream.port import DeadLetters, EventLog, Partition, RecordColumns

log_line = telemetry.logger("worker")


class Worker:
    """One worker over its partitions and all shards, or `only` some. Call `turn` for ever; it raises only for bugs."""

    def __init__(
        self,
        log: EventLog,
        dead_letters: DeadLetters,
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
        self._log = log
        self._mine = range(shards) if only is None else sorted(only)
        caches = [ShardCaches(limits, shards) for _ in range(shards)]
        quarantine = quarantine or Quarantine(EndsOfOneProcess())
        self._parts = BatchParts(store, counting, limits, caches, quarantine, ProjectLookup(store, shards))
        self._checks = Checks(log, store, self._mine, shards)
        self._times = CheckTimes(clock, limits.idle_compare_seconds)
        self._stops = StopNotices(store, self._mine)
        self._at = Positions({}, {}, {}, {}, {})
        self._version: int | None = None  # of the assignment that `_at` was made for; None: make it again
        self._batch = OpenBatch(self._parts, self._at, server_s=0)
        self._in_flight = InFlight(
            store, dead_letters, begin or in_a_thread(), stops=self._stops, gauges=self._checks.gauges
        )
        self._keeps_copies = False  # of blocks and persons, after a conflict
        self._back_off = BackOff(sleep)

    @property
    def positions(self) -> Positions:
        return self._at

    @property
    def is_settled(self) -> bool:
        """Whether everything that was read is applied, and the partitions are those that it was read from."""
        return not self._batch.records and not self._in_flight and not self._must_resume()

    def compare_soon(self) -> None:
        """Settle and compare with the next whole batch, however lately that was done."""
        self._times.compare_soon()

    def turn(self) -> None:
        """One turn: a portion of a batch, or a comparison while idle, or the way back from trouble."""
        try:
            if self._must_resume():
                self._resume_from_ledger()
            polled = self._log.poll(self._batch.records_max)
            if self._must_resume():
                return
            self._batch.take(self._ours(polled.runs))
            self._at.pass_by(polled.ends)
            if polled.is_whole or self._batch.is_full:
                self._settle()
                self._batch.fold()
                # One atomic call a shard moves totals and position, and only from where we believe them to be.
                self._send()
                if self._times.is_comparison_due():
                    self._settle()
                    self._compare(is_idle=not polled.runs)
            if not self._in_flight:  # else it is not known yet whether all is well
                self._back_off.reset()
        except BatchConflict as conflict:
            # One record alone that conflicts again: then nothing that is kept here is trusted.
            self._keeps_copies = conflict.records > 1
            self._batch.records_max = max(1, conflict.records // 2)
            self._version = None
        except StateIsStale as why:
            log_line.info("resynchronise", why=str(why))
            self._version = None
        except (Unavailable, Stopped) as trouble:
            log_line.warning("waiting", trouble=str(trouble))
            self._version = None
            self._back_off.wait()
        except RecordRaised as raised:
            self._read_again_or_end(raised)

    # the way back ----------------------------------------------------------------------------------------------

    def _must_resume(self) -> bool:
        """Whether our partitions are others now, or what is kept here is in doubt."""
        return self._version != self._log.assignment()[0]

    def _resume_from_ledger(self) -> None:
        """Read the ledgers, compare them with the log, and seek to the lowest position of any shard."""
        store = self._parts.store
        self._parts.projects.begin_batch()
        self._in_flight.give_up()
        for caches in self._parts.caches:
            if self._keeps_copies:
                caches.clear_uncompared()
            else:
                caches.clear()
        self._keeps_copies = False
        version, partitions = self._log.assignment()
        states = {shard: store.state(shard) for shard in self._mine}
        server_s = store.clock_s()
        self._at = Positions.find(partitions, states, self._log.extents(partitions), len(self._parts.caches))
        self._batch = OpenBatch(self._parts, self._at, server_s, self._batch.records_max)
        self._parts.quarantine.begin(self._at)
        self._stops.begin(self._at.stops, partitions)
        self._log.seek(self._at.starts)
        self._version = version
        self._times.begin()
        self._checks.gauges.keep_only(partitions)
        log_line.info("assigned", partitions=len(partitions), running=len(self._at.starts), stops=self._at.stops)

    def _read_again_or_end(self, raised: RecordRaised) -> None:
        """The first time what was read is read again, and kept; the second time the worker ends of it."""
        quarantine = self._parts.quarantine
        if quarantine.watch(raised):
            self._version = None
        else:
            quarantine.end(raised, self._batch.alone(), self._at, partial(self._in_flight.is_well, self._at))

    # a batch ---------------------------------------------------------------------------------------------------

    def _ours(self, runs: Iterable[RecordColumns]) -> dict[Partition, RecordColumns]:
        return {run.partition: run for run in runs if self._is_ours(run)}

    def _is_ours(self, run: RecordColumns) -> bool:
        """Whether these are the records we stand before: the fingerprints that pass by must be those of the ledgers."""
        partition = run.partition
        if partition not in self._at.extents or str(partition) in self._at.stops:
            return False
        wrong = self._at.first_difference(run)
        if wrong is not None:
            why = f"another log: the record at {wrong} is not the one that was counted; run `rta rebuild`"
            self._stops.add(self._at.stops, str(partition), why)
        return wrong is None

    def _settle(self) -> None:
        """Wait for the batch that was sent. Where it did not end well, all that was built on it goes."""
        if self._in_flight.wait():
            self._back_off.reset()

    def _send(self) -> None:
        if self._batch.records:
            self._batch.refuse_if_projects_were_made()
            self._in_flight.send(self._batch)
            self._batch = self._batch.next()

    # while idle ------------------------------------------------------------------------------------------------

    def _compare(self, *, is_idle: bool) -> None:
        """Compare generation and position with nothing to apply, and let quiet shards' ledgers follow."""
        self._times.note_comparison()
        for shard, state in self._at.shards.items():
            moves = self._at.all_moves(shard)
            outcome = self._parts.store.apply(shard, state.generation, Delta(moves))
            if not isinstance(outcome, Applied):
                raise StateIsStale(f"a comparison found {type(outcome).__name__}")
            self._at.accept(shard, moves)
        self._parts.quarantine.forget_passed(self._at)
        self._log.commit(self._at.committable())
        if self._times.is_look_due():
            self._look(is_idle=is_idle)

    def _look(self, *, is_idle: bool) -> None:
        """Notice a re-created topic or a changed number of partitions, and what was stopped and is well again."""
        now = self._times.note_look()
        if self._log.assignment()[1]:
            why = self._checks.look(self._at, now, began=self._times.began_at, is_idle=is_idle)
            if why:
                raise StateIsStale(why)
        elif self._checks.look_for_orphans(now):
            log_line.warning("joining anew", why="nobody moves what there is to read, and we have no partition")
            self._log.rejoin()
