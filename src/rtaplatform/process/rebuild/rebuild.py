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
from functools import partial
from math import inf
from sys import maxsize

from msgspec import structs

from rtaplatform import telemetry
from rtaplatform.core.control_records import ErasureRecord, read_erasure
from rtaplatform.core.errors import SetupError, Stopped, Unavailable
from rtaplatform.core.ledger import PartitionId, read_next_offset
from rtaplatform.core.sharding import find_shard
from rtaplatform.process.fold.job import ECOMMERCE_JOB, Job
from rtaplatform.process.people.erased import make_erased_keys
from rtaplatform.process.rebuild.building_store import BuildingStore, NotBuilt, RebuildStore
from rtaplatform.process.rebuild.time_ordered_log import TimeOrderedLog
from rtaplatform.process.rebuild.uncounted_dead_letters import UncountedDeadLetters
from rtaplatform.process.worker.in_flight import CallStarter, start_calls_in_thread
from rtaplatform.process.worker.limits import BATCH_RECORDS_LIMIT, BatchSize, WorkerLimits
from rtaplatform.process.worker.poison import EndsOfOneProcess, Poisoned, Quarantine
from rtaplatform.process.worker.worker import Worker
from rtaplatform.store.port import (
    SCHEMA,
    Behind,
    Replaced,
    ShardState,
    Switched,
    Torn,
)
from rtaplatform.stream.port import DeadLetters, OffsetRange, Partition

LOOK_SECONDS = 5.0  # between looks for partitions that were added
CONTROL_SECONDS = 1.0  # between looks at the end of rta.control
RETRY_SECONDS = 0.5

log_line = telemetry.make_logger("rebuild")


class Rebuild:
    """One rebuild of some shards. Call `step` until `remaining` is empty.

    Raises `SetupError` if it cannot go on. It waits for servers that are unavailable.
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
        job: Job = ECOMMERCE_JOB,
        start_call: CallStarter | None = None,
        batch_size: BatchSize | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log, self._store, self._shards = log, store, shards
        self._dead_letters = UncountedDeadLetters(dead_letters, self._find_counted_offset)
        self._sleep, self._clock = sleep, clock
        self._make_worker = partial(
            Worker,
            log,
            shards=shards,
            # The log merges the partitions already, and bounds a batch.
            limits=structs.replace(
                limits, apart_ms_max=inf, batch_records_max=BATCH_RECORDS_LIMIT, batch_bytes_max=maxsize
            ),
            job=job,
            start_call=start_call or start_calls_in_thread(),
            # No supervisor restarts a rebuild: it retries by itself.
            quarantine=Quarantine(EndsOfOneProcess()),
            batch_size=batch_size or BatchSize(),
            sleep=sleep,
            clock=clock,
        )
        self.remaining: list[int] = sorted(range(shards) if only is None else only)
        self.names: dict[int, str] = {}  # shard → the generation that this rebuild builds, or has built
        self.resumed: set[int] = set()
        self._current: dict[int, str] = {}  # shard → the live generation, as the last attempt to switch returned it
        self._lost_rows: dict[int, dict[PartitionId, str]] = {}
        self._looked_at = self._control_read_at = -CONTROL_SECONDS
        self._worker: Worker | None = None
        self._building_store = BuildingStore(store, self.names)

    def step(self) -> None:
        """Do one step: a turn of the worker, a record of `rta.control`, or an attempt to switch."""
        try:
            self._look()
            worker = self._worker or self._start()
            if worker is None:
                return
            if self._log.is_caught_up or self._log.control_record is not None:
                worker.compare_soon()  # the next step needs all ledgers up to date, also of quiet shards
            worker.turn()
            self._refuse_stops()
            if not worker.is_settled:
                return
            if self._log.control_record is not None:
                self._take_control()
            elif self._log.is_caught_up and self._is_control_read():
                self._switch_all()
        except NotBuilt:
            self._worker = None
        except Poisoned as error:
            log_line.warning("rebuild resumed from ledger", poison_records=str(error))
            self._worker = None
        except Unavailable as error:
            log_line.warning("waiting for server", reason=str(error))
            self._sleep(RETRY_SECONDS)

    # what is built ---------------------------------------------------------------------------------------------

    def _look(self) -> None:
        if self._worker is None or self._clock() - self._looked_at >= LOOK_SECONDS:
            self._log.refresh_partitions()
            self._looked_at = self._clock()

    def _start(self) -> Worker | None:
        """Find or begin a generation in each shard, and make a worker that fills them. None if no shard remains."""
        extents = self._log.read_extents(self._log.read_assignment()[1])
        for shard in list(self.remaining):
            if not self._is_done(shard):
                self.names[shard] = self._find_or_begin(shard, extents)
        if not self.remaining:
            return None
        self._building_store = BuildingStore(self._store, self.names)
        self._worker = self._make_worker(self._dead_letters, self._building_store, only=self.remaining)
        return self._worker

    def _is_done(self, shard: int) -> bool:
        """Whether our generation is live already: a reply was lost, or another rebuild has switched."""
        name = self.names.get(shard)
        if name is None:
            return False
        state = self._read_live_state(shard)
        if state is not None and state.generation == name:
            self.remaining.remove(shard)
            return True
        if name in self._store.read_retired(shard):
            raise SetupError(f"Shard {shard}: the rebuild was abandoned meanwhile.", "To begin another: rta rebuild")
        return False

    def _read_live_state(self, shard: int) -> ShardState | None:
        try:
            return self._store.read_state(shard)
        except Stopped:
            return None  # the live generation is damaged, so it is not ours

    def _find_or_begin(self, shard: int, extents: Mapping[Partition, OffsetRange]) -> str:
        """The generation to build: one that was begun before if it can be resumed, else a new one."""
        while True:
            building = self._store.read_building(shard)
            if building is not None and _can_resume(building, self._shards, extents):
                if building.generation != self.names.get(shard):
                    self.resumed.add(shard)
                return building.generation
            name = secrets.token_hex(4)
            generation_before = building.generation if building else ""
            topics = {partition.topic: extent.place.topic_id for partition, extent in extents.items()}
            starts = {extent.place: extent.low for extent in extents.values() if extent.low}
            current = self._store.begin_building(
                shard, expected=generation_before, generation=name, topics=topics, starts=starts
            )
            if current == name:
                return name

    def _find_counted_offset(self, partition: Partition) -> int:
        """The offset up to which the live generations of all remaining shards have counted a partition."""
        place = self._log.read_extents([partition])[partition].place
        states = [self._read_live_state(shard) for shard in self.remaining]
        return min(state.find_next_offset(place) if state else 0 for state in states)

    def _refuse_stops(self) -> None:
        """A stop that a live worker would wait out makes the rebuild useless: it would never reach its end."""
        for stop, reason in self._building_store.stops.items():
            raise SetupError(
                f"The rebuild cannot go on: {stop} stands still ({reason}).",
                "The live totals are as they were. To drop what was built: rta rebuild --abandon",
                exit_code=4,
            )

    # the platform's own records --------------------------------------------------------------------------------

    def _take_control(self) -> None:
        record = self._log.control_record
        assert record is not None
        erasure = read_erasure(record.value)
        if erasure is not None:
            self._erase(erasure, record.partition, record.offset)
        self._log.skip_control_record()

    def _erase(self, erasure: ErasureRecord, partition: Partition, offset: int) -> None:
        shard = find_shard(erasure.project_id, self._shards)
        if shard not in self.remaining:
            return
        place = self._log.read_extents([partition])[partition].place
        if not self._store.erase(shard, self.names[shard], make_erased_keys(erasure, place, offset)):
            raise NotBuilt(shard)

    def _is_control_read(self) -> bool:
        """Checked once a second. A person erased after the check is erased from both generations by one call."""
        if self._clock() - self._control_read_at < CONTROL_SECONDS:
            return True
        if not self._log.is_control_read():
            return False
        self._control_read_at = self._clock()
        return True

    # the switch ------------------------------------------------------------------------------------------------

    def _switch_all(self) -> None:
        for shard in list(self.remaining):
            if self._switch(shard):
                self.remaining.remove(shard)
                self._worker = None

    def _switch(self, shard: int) -> bool:
        name, lost_rows = self.names[shard], self._lost_rows.get(shard, {})
        while True:
            generation_before = self._current.get(shard, "")
            outcome = self._store.switch(shard, expected=generation_before, generation=name, lost=lost_rows)
            match outcome:
                case Switched():
                    log_line.info("shard switched", shard=shard, generation=name)
                    return True
                case Replaced(generation=generation, building=building) if building == name:
                    self._current[shard] = generation
                case Replaced():
                    raise NotBuilt(shard)
                case Behind(places=places):
                    self._find_lost_rows(shard, places)
                    return False
                case Torn(by=by):
                    raise SetupError(
                        f"Shard {shard}: what was built is torn ({by}).", "Begin again: rta rebuild", exit_code=4
                    )

    def _find_lost_rows(self, shard: int, places: Sequence[PartitionId]) -> None:
        """Find live ledger rows beyond the log's end. Their records are lost: the switch cannot wait for them.

        A partition that is not known here was added meanwhile: its records are read with the next look at the log.
        """
        state = self._read_live_state(shard)
        # Read after the ledger, so that no end is too old.
        extents = self._log.read_extents(self._log.read_assignment()[1])
        highs = {extent.place: extent.high for extent in extents.values()}
        rows = {place: state.ledger.get(place, "") for place in places} if state else {}
        self._lost_rows[shard] = {p: row for p, row in rows.items() if read_next_offset(row) > highs.get(p, inf)}


def _can_resume(state: ShardState, shards: int, extents: Mapping[Partition, OffsetRange]) -> bool:
    """Whether a generation that was begun before is whole, and the log still has what comes next for it."""
    if state.torn or state.schema != SCHEMA or state.shards != shards:
        return False
    for partition, extent in extents.items():
        topic_id = state.topics.get(partition.topic)
        if topic_id != extent.place.topic_id or not extent.low <= state.find_next_offset(extent.place) <= extent.high:
            return False
    return True


def drop(store: RebuildStore, shard: int) -> str:
    """Drop the generation that is being built. Returns its name, "" if there is none."""
    building = store.read_building(shard)
    if building is None:
        return ""
    store.begin_building(shard, expected=building.generation, generation="", topics={}, starts={})
    return building.generation
