"""What a worker checks every few seconds.   Stage 3 of 6: stream → [process] → store.

It looks at the ends and topics of its partitions, and whether what was stopped may go on. A worker without partitions
checks whether other workers advance theirs. Only stopped partitions and shards are examined again; the others go on
undisturbed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Protocol

from rtaplatform.core.errors import Unavailable
from rtaplatform.process.worker.gauges import PartitionGauges
from rtaplatform.process.worker.positions import Positions, parse_partition
from rtaplatform.process.worker.stalls import (
    StallDetector,
    UnownedPartitions,
    find_counted_partitions,
    find_lagging_rows,
)
from rtaplatform.store.port import ShardState
from rtaplatform.stream.port import EventLog, OffsetRange, Partition

LOOK_SECONDS = 5.0
MISREAD_SECONDS = 60.0  # between looks at a partition whose records were not those that were counted


class States(Protocol):
    def read_state(self, shard: int) -> ShardState | None: ...


class CheckTimes:
    """Which checks are due. All times are in seconds of the worker's clock."""

    def __init__(self, clock: Callable[[], float], compare_seconds: float) -> None:
        self._clock, self._compare_seconds = clock, compare_seconds
        self.started_at = self._compared_at = self._looked_at = clock()

    def begin(self) -> None:
        """Positions were found just now."""
        self.started_at = self._compared_at = self._looked_at = self._clock()

    def compare_soon(self) -> None:
        self._compared_at = float("-inf")

    def is_comparison_due(self) -> bool:
        return self._clock() - self._compared_at >= self._compare_seconds

    def note_comparison(self) -> None:
        self._compared_at = self._clock()

    def is_look_due(self) -> bool:
        return self._clock() - self._looked_at >= LOOK_SECONDS

    def note_look(self) -> float:
        """Return the time of this look."""
        self._looked_at = self._clock()
        return self._looked_at


class Checks:
    """The checks of one worker, for its own `shards` of `shard_count`."""

    def __init__(self, log: EventLog, store: States, shards: Collection[int], shard_count: int) -> None:
        self._log, self._store, self._shards, self._shard_count = log, store, shards, shard_count
        self._stalls, self._unowned = StallDetector(), UnownedPartitions()
        self.gauges = PartitionGauges()

    def look(
        self,
        positions: Positions,
        now: float,
        *,
        started_at: float,
        is_idle: bool,
        held_partitions: Collection[Partition],
    ) -> str:
        """Return why the worker must find its positions again, or "" if it need not.

        `now` and `started_at`, when the positions were found, are in seconds of the worker's clock. `held_partitions`
        do not stall: their records wait for other partitions.
        """
        stopped_partitions = {partition for stop in positions.stops if (partition := parse_partition(stop)) is not None}
        try:
            extents = self._log.read_extents({*positions.extents, *stopped_partitions})
        except Unavailable:
            return ""  # Kafka is away: nothing to see, and nothing to lose
        self._show_lags(positions, extents)
        if positions.is_changed(extents):
            return "a topic has changed"
        if positions.stops and (stop := self._find_healed(positions, stopped_partitions, extents, now - started_at)):
            return f"{stop} is well again"
        running_extents = {
            p: extent
            for p, extent in extents.items()
            if p in positions.extents and str(p) not in positions.stops and p not in held_partitions
        }
        offsets = {p: positions.find_next_read_offset(p) for p in running_extents}
        stalled_partition = self._stalls.find_stalled(offsets, running_extents, now, is_idle=is_idle)
        if stalled_partition is None:
            return ""
        return f"{stalled_partition} stalls at {offsets[stalled_partition]} of {extents[stalled_partition].readable}"

    def must_rejoin(self, now: float) -> bool:
        """Whether this worker, which has no partition, should join the group again."""
        states = {shard: state for shard in self._shards if (state := self._store.read_state(shard)) is not None}
        with suppress(Unavailable):
            extents = self._log.read_extents(find_counted_partitions(states.values()))
            return self._unowned.must_rejoin(find_lagging_rows(states, extents), now)
        return False

    # inside ----------------------------------------------------------------------------------------------------

    def _show_lags(self, positions: Positions, extents: Mapping[Partition, OffsetRange]) -> None:
        for partition, extent in extents.items():
            if partition in positions.extents:
                self.gauges.show_lag(partition, max(0, extent.high - positions.find_next_read_offset(partition)))
            elif positions.shards:
                next_offset = min(state.find_next_offset(extent.place) for state in positions.shards.values())
                self.gauges.show_lag(partition, max(0, extent.high - next_offset))

    def _find_healed(
        self,
        positions: Positions,
        stopped_partitions: Collection[Partition],
        extents: Mapping[Partition, OffsetRange],
        seconds: float,
    ) -> str:
        """A stopped partition or shard that may go on, or "". `seconds`: since the positions were found."""
        states = {shard: self._store.read_state(shard) for shard in self._shards}
        stopped_extents = {p: e for p, e in extents.items() if p in stopped_partitions}
        current = Positions.find(stopped_partitions, states, stopped_extents, self._shard_count)
        for stop in positions.stops.keys() - current.stops.keys():
            partition = parse_partition(stop)
            if partition is None or partition not in positions.extents:
                return stop
            # Its records differed from the counted ones. Only reading again shows whether they still do.
            if seconds >= MISREAD_SECONDS or positions.is_moved_by_others(partition, states):
                return stop
        return ""
