"""Count again from the log, beside the live totals, and switch.   Stage 3 of 6: stream → [process] → store.

A rebuild is a worker that reads all partitions, merged by stream time, and writes to the generation that is being
built. It reads, folds, compares and applies as live workers do. If it dies, the ledger says where to go on. No change
notifications are sent for what is built, and dead letters that live workers have written are not written again. Once
the log has been read to its end, each shard switches in one call, which is refused while the live ledger is ahead.

Two rebuilds of the same shard cooperate: they write to the same generation, and each batch is counted by whichever
applies it first.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from rtaplatform import telemetry
from rtaplatform.core.control_records import ErasureRecord, read_erasure
from rtaplatform.core.errors import SetupError, Stopped, Unavailable
from rtaplatform.core.ledger import PartitionId, next_offset
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.sharding import shard_of
from rtaplatform.core.values.ids import persons_of
from rtaplatform.process.fold.job import ECOMMERCE_JOB, Job
from rtaplatform.process.rebuild.time_ordered_log import TimeOrderedLog
from rtaplatform.process.worker.in_flight import Begin, in_a_thread
from rtaplatform.process.worker.limits import WorkerLimits
from rtaplatform.process.worker.poison import EndsOfOneProcess, Poisoned, Quarantine
from rtaplatform.process.worker.worker import Worker
from rtaplatform.store.port import (
    SCHEMA,
    Behind,
    Delta,
    ErasedKeys,
    GenerationStore,
    LooseAsked,
    Outcome,
    Replaced,
    ShardState,
    Switched,
    Torn,
)
from rtaplatform.stream.port import DeadLetter, DeadLetters, OffsetRange, Partition

LOOK_SECONDS = 5.0  # for partitions that were added
CONTROL_SECONDS = 1.0  # between looks at the end of rta.control
RETRY_SECONDS = 0.5

log_line = telemetry.logger("rebuild")


class RebuildStore(GenerationStore, Protocol):
    """What was built, what is read, and which generations are neither."""

    def state(self, shard: int) -> ShardState | None: ...
    def blocks(self, shard: int, generation: str, names: Sequence[str]) -> list[bytes]: ...
    def loose_ids(self, shard: int, generation: str, asked: LooseAsked) -> list[list[int]]: ...
    def persons(self, shard: int, generation: str, keys: Sequence[tuple[str, bytes]]) -> list[bytes]: ...
    def projects(self, shard: int, slugs: Sequence[str]) -> dict[str, ProjectSettings]: ...
    def clock_s(self) -> int: ...
    def retired(self, shard: int) -> Collection[str]: ...


class NotBuilt(Exception):
    """The generation that we build is not the one that the shard names."""


class BuildingStore:
    """`AggregateStore` as a worker wants it, over what is being built; `stops` are what the worker finds in the way."""

    def __init__(self, store: RebuildStore, names: Mapping[int, str]) -> None:
        self._store, self._names = store, names
        self.blocks, self.persons, self.projects = store.blocks, store.persons, store.projects
        self.loose_ids, self.clock_s = store.loose_ids, store.clock_s
        self.stops: dict[str, str] = {}

    def state(self, shard: int) -> ShardState:
        state = self._store.building(shard)
        if state is None or state.generation != self._names[shard]:
            raise NotBuilt(shard)
        return state

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        return self._store.build(shard, generation, delta)

    def set_stop(self, shard: int, what: str, reason: str) -> None:
        if reason:
            self.stops[what] = reason


class UncountedDeadLetters:
    """The dead letters of what the live generation has counted were written then, and are not written again.

    Where what is built is further, or the live one is lost, nobody else will ever set it aside: so a rebuild does.
    """

    def __init__(self, dead_letters: DeadLetters, counted: Callable[[Partition], int]) -> None:
        self._dead_letters, self._counted = dead_letters, counted
        self._known: dict[Partition, int] = {}  # up to where the dead letters are there; what was true once stays true

    def quarantine(self, dead_letters: Sequence[DeadLetter]) -> None:
        beyond = [
            dead_letter
            for dead_letter in dead_letters
            if dead_letter.record.offset >= self._known.get(dead_letter.record.partition, 0)
        ]
        for partition in {dead_letter.record.partition for dead_letter in beyond}:
            self._known[partition] = max(self._known.get(partition, 0), self._counted(partition))
        new = [
            dead_letter
            for dead_letter in beyond
            if dead_letter.record.offset >= self._known[dead_letter.record.partition]
        ]
        if new:
            self._dead_letters.quarantine(new)


class Rebuild:
    """One rebuild of some shards: call `step` until `left` is empty.

    Raises `SetupError` where it cannot go on. What is away is waited for.
    """

    def __init__(
        self,
        log: TimeOrderedLog,
        dead_letters: DeadLetters,
        store: RebuildStore,
        *,
        shards: int,
        only: Collection[int] | None = None,
        limits: WorkerLimits = WorkerLimits(),  # noqa: B008  (frozen)
        counting: Job = ECOMMERCE_JOB,
        begin: Begin | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log, self._store, self._shards = log, store, shards
        self._limits, self._counting = limits, counting
        self._dead_letters = UncountedDeadLetters(dead_letters, self._counted)
        self._begin_call = begin or in_a_thread()
        self._sleep, self._clock = sleep, clock
        self.left: list[int] = sorted(range(shards) if only is None else only)
        self.names: dict[int, str] = {}  # shard → the generation that is built, or was
        self.resumed: set[int] = set()
        self._current: dict[int, str] = {}  # shard → the generation that is read, as the last switch has said
        self._gone: dict[int, dict[PartitionId, str]] = {}
        self._looked_at = self._control_read_at = -CONTROL_SECONDS
        self._worker: Worker | None = None
        self._quarantine = Quarantine(EndsOfOneProcess())  # nobody starts a rebuild again: it tries again by itself
        self._beside = BuildingStore(store, self.names)

    def step(self) -> None:
        """One turn: a batch, a record of `rta.control`, or an attempt to switch."""
        try:
            self._look()
            worker = self._worker or self._start()
            if worker is None:
                return
            if self._log.is_through or self._log.control is not None:
                worker.compare_soon()  # what comes next wants all of it in the ledgers, quiet shards' too
            worker.turn()
            self._refuse_stops()
            if not worker.is_settled:
                return
            if self._log.control is not None:
                self._take_control()
            elif self._log.is_through and self._is_control_read():
                self._switch_all()
        except NotBuilt:
            self._worker = None
        except Poisoned as trouble:
            log_line.warning("beginning again", records=str(trouble))
            self._worker = None
        except Unavailable as trouble:
            log_line.warning("waiting", trouble=str(trouble))
            self._sleep(RETRY_SECONDS)

    # what is built ---------------------------------------------------------------------------------------------

    def _look(self) -> None:
        if self._worker is None or self._clock() - self._looked_at >= LOOK_SECONDS:
            self._log.look_again()
            self._looked_at = self._clock()

    def _start(self) -> Worker | None:
        """Find or begin what is built in each shard, and make a worker that builds it; None where nothing is left."""
        extents = self._log.extents(self._log.assignment()[1])
        for shard in list(self.left):
            if not self._is_done(shard):
                self.names[shard] = self._find(shard, extents)
        if not self.left:
            return None
        self._beside = BuildingStore(self._store, self.names)
        self._worker = Worker(
            self._log,
            self._dead_letters,
            self._beside,
            shards=self._shards,
            only=self.left,
            limits=self._limits,
            counting=self._counting,
            begin=self._begin_call,
            quarantine=self._quarantine,
            sleep=self._sleep,
            clock=self._clock,
        )
        return self._worker

    def _is_done(self, shard: int) -> bool:
        """Whether what we built is read already: an answer was lost, or another rebuild has switched."""
        ours = self.names.get(shard)
        if ours is None:
            return False
        state = self._state(shard)
        if state is not None and state.generation == ours:
            self.left.remove(shard)
            return True
        if ours in self._store.retired(shard):
            raise SetupError(f"Shard {shard}: the rebuild was abandoned meanwhile.", "To begin another: rta rebuild")
        return False

    def _state(self, shard: int) -> ShardState | None:
        try:
            return self._store.state(shard)
        except Stopped:
            return None  # what is read is damaged: not what we built

    def _find(self, shard: int, extents: Mapping[Partition, OffsetRange]) -> str:
        """The generation to build: one that was begun before, where it can be gone on with, else a new one."""
        while True:
            found = self._store.building(shard)
            if found is not None and _can_go_on(found, self._shards, extents):
                if found.generation != self.names.get(shard):
                    self.resumed.add(shard)
                return found.generation
            name = secrets.token_hex(4)
            expected = found.generation if found else ""
            topics = {partition.topic: extent.place.topic_id for partition, extent in extents.items()}
            starts = {extent.place: extent.low for extent in extents.values() if extent.low}
            begun = self._store.begin_building(shard, expected=expected, generation=name, topics=topics, starts=starts)
            if begun == name:
                return name

    def _counted(self, partition: Partition) -> int:
        """Up to where the generations that are read have counted a partition, in all shards that are left."""
        place = self._log.extents([partition])[partition].place
        states = [self._state(shard) for shard in self.left]
        return min(state.next_offset(place) if state else 0 for state in states)

    def _refuse_stops(self) -> None:
        """What makes a live worker stand still makes what is built useless, or worthless to wait for."""
        for what, reason in self._beside.stops.items():
            raise SetupError(
                f"The rebuild cannot go on: {what} stands still ({reason}).",
                "The live totals are as they were. To drop what was built: rta rebuild --abandon",
                exit_code=4,
            )

    # the platform's own records --------------------------------------------------------------------------------

    def _take_control(self) -> None:
        record = self._log.control
        assert record is not None
        erased = read_erasure(record.value)
        if erased is not None:
            self._erase(erased, record.partition, record.offset)
        self._log.pass_control()

    def _erase(self, erased: ErasureRecord, partition: Partition, offset: int) -> None:
        shard = shard_of(erased.project_id, self._shards)
        if shard not in self.left:
            return
        persons = tuple(persons_of(erased.user_id, erased.anonymous_ids))
        place = self._log.extents([partition])[partition].place
        if not self._store.erase(shard, self.names[shard], ErasedKeys(erased.project_id, persons, place, offset + 1)):
            raise NotBuilt(shard)

    def _is_control_read(self) -> bool:
        """Looked at now and then: who is erased after the look leaves what is built and what is read by one call."""
        if self._clock() - self._control_read_at < CONTROL_SECONDS:
            return True
        if not self._log.is_control_read():
            return False
        self._control_read_at = self._clock()
        return True

    # the switch ------------------------------------------------------------------------------------------------

    def _switch_all(self) -> None:
        for shard in list(self.left):
            if self._switch(shard):
                self.left.remove(shard)
                self._worker = None

    def _switch(self, shard: int) -> bool:
        name, gone = self.names[shard], self._gone.get(shard, {})
        while True:
            expected = self._current.get(shard, "")
            outcome = self._store.switch(shard, expected=expected, generation=name, gone=gone)
            match outcome:
                case Switched():
                    log_line.info("switched", shard=shard, generation=name)
                    return True
                case Replaced(generation=generation, building=building) if building == name:
                    self._current[shard] = generation
                case Replaced():
                    raise NotBuilt(shard)
                case Behind(places=places):
                    self._look_what_is_gone(shard, places)
                    return False
                case Torn(by=by):
                    raise SetupError(
                        f"Shard {shard}: what was built is torn ({by}).", "Begin again: rta rebuild", exit_code=4
                    )

    def _look_what_is_gone(self, shard: int, places: Sequence[PartitionId]) -> None:
        """Rows of the live ledger that lie beyond the log's end: those records are lost, and are waited for no more."""
        state = self._state(shard)
        extents = self._log.extents(self._log.assignment()[1])  # asked after the ledger: so what it has was there
        highs = {extent.place: extent.high for extent in extents.values()}
        rows = {place: state.ledger.get(place, "") for place in places} if state else {}
        beyond = {place: row for place, row in rows.items() if next_offset(row) > highs.get(place, 0)}
        self._gone[shard] = beyond


def _can_go_on(state: ShardState, shards: int, extents: Mapping[Partition, OffsetRange]) -> bool:
    """Whether what was begun before is whole, and the log is still the one that it reads, from where it stands."""
    if state.torn or state.schema != SCHEMA or state.shards != shards:
        return False
    for partition, extent in extents.items():
        following = state.next_offset(extent.place)
        known = state.topics.get(partition.topic)
        if known != extent.place.topic_id or not extent.low <= following <= extent.high:
            return False
    return True


def drop(store: RebuildStore, shard: int) -> str:
    """Drop what is being built. Returns its name, "" where there was nothing."""
    found = store.building(shard)
    if found is None:
        return ""
    store.begin_building(shard, expected=found.generation, generation="", topics={}, starts={})
    return found.generation
