"""The worker's loop: read, fold, set aside, apply.   Stage 3 of 6: stream → [process] → store.

Promise: every record takes effect once in each shard. The position lives in the shard, beside the
totals; one atomic call moves both, and only from where they stood. So a crash, a repeat, a second
worker or a store that went back in time can be refused or repeated, never counted twice.
What the store says goes: on any doubt everything kept here is dropped and the ledger is read again.

One thread; nothing is read ahead of what was applied but what the log adapter's bounded queue holds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

from msgspec import Struct

from rtaplatform import telemetry
from rtaplatform.core.errors import Stopped, Unavailable
from rtaplatform.core.events import Outcome as RecordOutcome
from rtaplatform.process.counting import SHOP, Chunk, Counting
from rtaplatform.process.dedup import WINDOW_MS, BlockCache, Seen
from rtaplatform.process.known import KnownPersons
from rtaplatform.process.people import People, PersonCache
from rtaplatform.process.positions import Positions
from rtaplatform.store.port import (
    DEDUP_SLICES,
    AggregateStore,
    Applied,
    Conflicted,
    Delta,
    Move,
    Moved,
    Torn,
)
from rtaplatform.stream.port import DeadLetter, DeadLetters, EventLog, Extent, Partition, Run

CONFLICTS_MAX = 3  # then the batch is halved
DEAD_KEPT_MS = 400 * 86_400_000  # an older letter could not count any more: its day's bucket is gone
TOPICS_CHECKED_SECONDS = 5.0
PROJECTS_READ_SECONDS = 1.0  # an unknown project is looked up again, but not more often
BACKOFF_SECONDS_MAX = 2.0

log_line = telemetry.logger("worker")


class Out(Exception):
    """What is kept here can't be trusted: read the ledger and go on from there."""


class Limits(Struct, frozen=True):
    """How much a worker keeps, and how often it looks."""

    dedup_ids_cached_max: int = 1_000_000
    persons_known_max: int = 500_000
    person_values_cached_max: int = 200_000
    idle_compare_seconds: float = 2.0


class Worker:
    """One worker over its partitions and all shards. Call `turn` for ever; it raises only for bugs of ours."""

    def __init__(
        self,
        log: EventLog,
        letters: DeadLetters,
        store: AggregateStore,
        *,
        shards: int,
        limits: Limits = Limits(),  # noqa: B008  (frozen)
        counting: Counting = SHOP,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log, self._letters, self._store = log, letters, store
        self._shards = shards
        self._limits, self._counting = limits, counting
        self._sleep, self._clock = sleep, clock
        self._at = Positions({}, {}, {}, {}, {})
        self._caches = [BlockCache(limits.dedup_ids_cached_max // shards) for _ in range(shards)]
        self._known = [KnownPersons(limits.persons_known_max // shards) for _ in range(shards)]
        self._people = [PersonCache(limits.person_values_cached_max // shards) for _ in range(shards)]
        self._version: int | None = None  # of the assignment that `_at` was made for; None: make it again
        self._compared_at = self._checked_at = self._projects_read_at = clock()
        self._backoff_seconds = 0.0
        self._said_stops: dict[str, str] = {}
        self._stood_at: dict[Partition, int] = {}  # partitions that lagged when looked at last, and where
        self._sought_again_at: dict[Partition, int] = {}

    @property
    def positions(self) -> Positions:
        return self._at

    def turn(self) -> None:
        """One turn: a batch, or a comparison while idle, or the way back from trouble."""
        try:
            if self._version != self._log.assignment()[0]:
                self._begin()
            batch = self._log.poll()
            if self._version != self._log.assignment()[0]:
                return
            if batch.runs:
                self._take(batch.runs)
            self._at.pass_by(batch.ends)
            if self._clock() - self._compared_at >= self._limits.idle_compare_seconds:
                self._compare()
            self._backoff_seconds = 0.0
        except Out as why:
            log_line.info("resynchronise", why=str(why))
            self._version = None
        except (Unavailable, Stopped) as trouble:
            log_line.warning("waiting", trouble=str(trouble))
            self._version = None
            self._wait()

    # where to begin --------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Read the ledgers, compare them with the log, and seek to the lowest position of any shard."""
        for blocks, known, people in zip(self._caches, self._known, self._people, strict=True):
            blocks.clear()
            known.clear()
            people.clear()
        version, partitions = self._log.assignment()
        states = {shard: self._store.state(shard) for shard in range(self._shards)}
        extents = self._log.extents(partitions)
        self._at = Positions.find(partitions, states, extents)
        self._say_stops()
        self._log.seek(self._at.starts)
        self._version = version
        self._compared_at = self._checked_at = self._projects_read_at = self._clock()
        log_line.info("assigned", partitions=len(partitions), running=len(self._at.starts), stops=self._at.stops)

    def _say_stops(self) -> None:
        """Tell readers what stands still and why, and take back what does no more."""
        for what in self._said_stops.keys() - self._at.stops.keys():
            self._set_stop(what, "")
        for what, reason in self._at.stops.items():
            self._set_stop(what, reason)
        self._said_stops = dict(self._at.stops)
        telemetry.WORKER_STOPPED.set(len(self._at.stops))

    def _set_stop(self, what: str, reason: str) -> None:
        for shard in range(self._shards):
            self._store.set_stop(shard, what, reason)

    def _stop(self, what: str, reason: str) -> None:
        """A partition or shard stands still from now on, until `_begin` finds it well again."""
        log_line.error("stopped", what=what, reason=reason)
        self._at.stops[what] = reason
        self._say_stops()

    # a batch ---------------------------------------------------------------------------------------------------

    def _take(self, runs: Sequence[Run]) -> None:
        began = time.perf_counter()
        ours = {run.partition: run for run in runs if self._is_ours(run)}
        if ours:
            self._fold_and_apply(ours)
        for cache, people in zip(self._caches, self._people, strict=True):
            cache.trim()
            people.trim()
        telemetry.WORKER_BATCH_RECORDS.set(sum(map(len, runs)))
        telemetry.WORKER_BATCH_SECONDS.observe(time.perf_counter() - began)

    def _is_ours(self, run: Run) -> bool:
        """Whether these are the records we stand before: the fingerprints that pass by must be those of the ledgers."""
        partition = run.partition
        if partition not in self._at.extents or str(partition) in self._at.stops:
            return False
        wrong = self._at.first_difference(run)
        if wrong is not None:
            why = f"another log: the record at {wrong} is not the one that was counted; run `rta rebuild --empty`"
            self._stop(str(partition), why)
        return wrong is None

    def _fold_and_apply(self, runs: Mapping[Partition, Run]) -> None:
        read = self._understand(runs)
        for shard in self._at.shards:
            self._apply(shard, read)
        self._at.advance(runs)

    def _understand(self, runs: Mapping[Partition, Run]) -> dict[Partition, Chunk]:
        projects = self._at.projects()
        read = {
            p: self._counting.understand(run, self._at.record_ms(p), projects, self._shards) for p, run in runs.items()
        }
        if self._clock() - self._projects_read_at < PROJECTS_READ_SECONDS or not any(
            chunk.names_unknown_projects() for chunk in read.values()
        ):
            return read
        # It may have been made since we looked.
        self._projects_read_at = self._clock()
        for shard in self._at.shards:
            state = self._store.state(shard)
            if state is not None and state.projects != self._at.shards[shard].projects:
                raise Out("projects have changed")
        return read

    def _apply(self, shard: int, read: Mapping[Partition, Chunk]) -> None:
        """Fold what the shard has not yet, and apply it; again where a comparison failed, and then in halves."""
        wanted = {p: chunk.since(self._at.next_of(shard, p)) for p, chunk in read.items()}
        wanted = {p: chunk for p, chunk in wanted.items() if len(chunk)}
        if not wanted:
            return
        for _ in range(CONFLICTS_MAX):
            if self._try(shard, wanted):
                return
        size = max(map(len, wanted.values()))
        if size == 1 and len(wanted) == 1:
            raise Out("conflicts without end")
        first, second = _halves(wanted, size)
        self._apply(shard, first)
        self._apply(shard, second)

    def _try(self, shard: int, wanted: Mapping[Partition, Chunk]) -> bool:
        """One attempt: true once it is applied, false after a conflict."""
        mine = {p: each for p, chunk in wanted.items() if (each := chunk.of(shard, self._shards))}
        moves = [self._at.move(shard, p, chunk.run.record(-1), chunk.record_ms) for p, chunk in wanted.items()]
        if not mine:
            return True  # other shards' events only: the ledger follows with the next comparison
        delta, letters = self._fold(shard, mine, moves)
        ends = {p: wanted[p].record_ms for p in mine}
        delta.expired_blocks = self._expired(ends)
        delta.dead_before_ms = max(0, min(ends.values()) - DEAD_KEPT_MS)
        if letters:
            # Kafka holds the letters before the ledger moves past their events.
            self._letters.set_aside(letters)
        # Totals and position move in one atomic write, and only from `after`: repeats and stale workers are refused.
        outcome = self._store.apply(shard, self._at.shards[shard].generation, delta)
        telemetry.WORKER_APPLIES.labels(type(outcome).__name__.lower()).inc()
        match outcome:
            case Applied():
                self._caches[shard].accept(delta.blocks)
                self._people[shard].accept(delta.persons)
                self._known[shard].accept(delta.sketches)
                self._at.accept(shard, moves)
                self._signal(mine, delta)
                return True
            case Conflicted(projects=True):
                raise Out("projects have changed")
            case Conflicted(blocks=blocks, persons=persons):
                self._caches[shard].drop(blocks)
                self._people[shard].drop(persons)
                return False
            case Torn():
                self._stop(f"shard {shard}", "torn: a batch was written half; run `rta rebuild --empty`")
                raise Out("a torn shard")
            case Moved():
                raise Out("another worker was here, or the store went back")

    def _fold(
        self, shard: int, mine: Mapping[Partition, Sequence[Any]], moves: list[Move]
    ) -> tuple[Delta, list[DeadLetter]]:
        state, cache, people = self._at.shards[shard], self._caches[shard], self._people[shard]
        names = chain.from_iterable(map(self._counting.block_names, mine.values()))
        cache.load(names, lambda missing: self._store.blocks(shard, state.generation, missing))
        persons = chain.from_iterable(map(self._counting.persons, mine.values()))
        people.load(persons, lambda missing: self._store.persons(shard, state.generation, missing))
        fold = self._counting.fold(state.projects, Seen(cache), People(people))
        for partition, us in mine.items():
            place = self._at.extents[partition].place
            fold.add(f"{place.topic_id}:{place.partition}", us)
        delta = fold.delta()
        delta.moves = moves
        delta.sketches = self._known[shard].only_new(delta.sketches)
        delta.projects_version = state.projects_version
        return delta, fold.letters

    def _expired(self, ends: Mapping[Partition, int]) -> dict[str, int]:
        """The slices of these partitions, and the record time before which a block's last write is 24 h ago."""
        return {
            f"{p.topic}:{piece}": record_ms - WINDOW_MS
            for p, record_ms in ends.items()
            if record_ms >= WINDOW_MS
            for piece in range(p.number, DEDUP_SLICES, self._at.extents[p].partitions)
        }

    def _signal(self, mine: Mapping[Partition, Sequence[Any]], delta: Delta) -> None:
        for outcome in RecordOutcome:
            places = (self._at.extents[p].place for p in mine)
            n = sum(delta.counts.get(f"{place.topic_id}:{place.partition}|{outcome}", 0) for place in places)
            if n:
                telemetry.WORKER_RECORDS.labels(str(outcome)).inc(n)
        for partition in mine:
            telemetry.WORKER_ADVANCED_AT.labels(partition.topic, str(partition.number)).set_to_current_time()

    # while idle ------------------------------------------------------------------------------------------------

    def _compare(self) -> None:
        """Compare generation and position with nothing to apply, and let quiet shards' ledgers follow."""
        self._compared_at = self._clock()
        for shard, state in self._at.shards.items():
            moves = self._at.all_moves(shard)
            outcome = self._store.apply(shard, state.generation, Delta(moves))
            if not isinstance(outcome, Applied):
                raise Out(f"a comparison found {type(outcome).__name__}")
            self._at.accept(shard, moves)
        self._log.commit(self._at.committable())
        if self._clock() - self._checked_at >= TOPICS_CHECKED_SECONDS:
            self._check_topics()

    def _check_topics(self) -> None:
        """Notice a re-created topic or a changed number of partitions, and what was stopped and is well again."""
        self._checked_at = self._clock()
        if self._at.stops or len(self._at.shards) < self._shards:
            raise Out("something stands still: look again")
        try:
            extents = self._log.extents(self._at.extents)
        except Unavailable:
            return  # Kafka is away: nothing to see, and nothing to lose
        if self._at.is_changed(extents):
            raise Out("a topic has changed")
        for partition, extent in extents.items():
            lag = max(0, extent.high - self._at.following(partition))
            telemetry.WORKER_LAG.labels(partition.topic, str(partition.number)).set(lag)
        self._seek_what_stands(extents)

    def _seek_what_stands(self, extents: Mapping[Partition, Extent]) -> None:
        """A partition that lags and does not move is sought again; once, for the rest may be no records at all."""
        stood, self._stood_at = self._stood_at, {}
        for partition, extent in extents.items():
            following = self._at.following(partition)
            if following >= extent.high:
                continue
            self._stood_at[partition] = following
            if stood.get(partition) == following and self._sought_again_at.get(partition) != following:
                self._sought_again_at[partition] = following
                raise Out(f"{partition} stands at {following} of {extent.high}")

    def _wait(self) -> None:
        self._backoff_seconds = min(BACKOFF_SECONDS_MAX, self._backoff_seconds * 2 or 0.1)
        self._sleep(self._backoff_seconds)


def _halves(wanted: Mapping[Partition, Chunk], size: int) -> tuple[dict[Partition, Chunk], dict[Partition, Chunk]]:
    """The earlier and the later half of each partition; of single records, half of the partitions."""
    if size == 1:
        items = list(wanted.items())
        return dict(items[: len(items) // 2]), dict(items[len(items) // 2 :])
    middle = (size + 1) // 2
    first = {p: chunk.part(0, middle) for p, chunk in wanted.items()}
    second = {p: chunk.part(middle, len(chunk)) for p, chunk in wanted.items() if len(chunk) > middle}
    return first, second
