"""What a worker looks at every few seconds.   Stage 3 of 6: stream → [process] → store.

Its partitions' ends and topics, what stands still and may be well again, and, where it has no partition, whether
somebody moves those that there are. Only what is stopped is looked at for that: the rest goes on undisturbed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Protocol

from rtaplatform.core.errors import Unavailable
from rtaplatform.process.worker.gauges import PartitionGauges
from rtaplatform.process.worker.positions import Positions, partition_of
from rtaplatform.process.worker.stalls import StallDetector, UnownedPartitions, lagging, partitions_of
from rtaplatform.store.port import ShardState
from rtaplatform.stream.port import EventLog, OffsetRange, Partition

LOOK_SECONDS = 5.0
MISREAD_SECONDS = 60.0  # between looks at a partition whose records were not those that were counted


class States(Protocol):
    def state(self, shard: int) -> ShardState | None: ...


class CheckTimes:
    """Which checks are due. All moments are in seconds of the worker's clock."""

    def __init__(self, clock: Callable[[], float], compare_seconds: float) -> None:
        self._clock, self._compare_seconds = clock, compare_seconds
        self.began_at = self._compared_at = self._looked_at = clock()

    def begin(self) -> None:
        """Positions were found just now."""
        self.began_at = self._compared_at = self._looked_at = self._clock()

    def compare_soon(self) -> None:
        self._compared_at = float("-inf")

    def is_comparison_due(self) -> bool:
        return self._clock() - self._compared_at >= self._compare_seconds

    def note_comparison(self) -> None:
        self._compared_at = self._clock()

    def is_look_due(self) -> bool:
        return self._clock() - self._looked_at >= LOOK_SECONDS

    def note_look(self) -> float:
        """Now."""
        self._looked_at = self._clock()
        return self._looked_at


class Checks:
    """Each look returns why the worker must find its positions anew, "" where it need not."""

    def __init__(self, log: EventLog, store: States, mine: Collection[int], shards: int) -> None:
        self._log, self._store, self._mine, self._shards = log, store, mine, shards
        self._standing, self._orphans = StallDetector(), UnownedPartitions()
        self.gauges = PartitionGauges()

    def look(self, at: Positions, now: float, *, began: float, is_idle: bool) -> str:
        """`now` and `began`, the moment at which `at` was found, are in seconds."""
        stopped = {partition for what in at.stops if (partition := partition_of(what)) is not None}
        try:
            extents = self._log.extents({*at.extents, *stopped})
        except Unavailable:
            return ""  # Kafka is away: nothing to see, and nothing to lose
        self._show_lags(at, extents)
        if at.is_changed(extents):
            return "a topic has changed"
        if at.stops and (well := self._what_is_well(at, stopped, extents, now - began)):
            return f"{well} is well again"
        running = {p: extent for p, extent in extents.items() if p in at.extents and str(p) not in at.stops}
        following = {p: at.following(p) for p in running}
        standing = self._standing.look(following, running, now, is_idle=is_idle)
        if standing is None:
            return ""
        return f"{standing} stands at {following[standing]} of {extents[standing].readable}"

    def look_for_orphans(self, now: float) -> bool:
        """Whether it is time to join anew, as one who has no partition."""
        states = {shard: state for shard in self._mine if (state := self._store.state(shard)) is not None}
        with suppress(Unavailable):
            extents = self._log.extents(partitions_of(states.values()))
            return self._orphans.look(lagging(states, extents), now)
        return False

    # inside ----------------------------------------------------------------------------------------------------

    def _show_lags(self, at: Positions, extents: Mapping[Partition, OffsetRange]) -> None:
        for partition, extent in extents.items():
            if partition in at.extents:
                self.gauges.show_lag(partition, max(0, extent.high - at.following(partition)))
            elif at.shards:
                following = min(state.next_offset(extent.place) for state in at.shards.values())
                self.gauges.show_lag(partition, max(0, extent.high - following))

    def _what_is_well(
        self, at: Positions, stopped: Collection[Partition], extents: Mapping[Partition, OffsetRange], seconds: float
    ) -> str:
        """Something that stands still without a reason now; "" where there is nothing."""
        states = {shard: self._store.state(shard) for shard in self._mine}
        found = Positions.find(stopped, states, {p: e for p, e in extents.items() if p in stopped}, self._shards)
        for what in at.stops.keys() - found.stops.keys():
            partition = partition_of(what)
            if partition is None or partition not in at.extents:
                return what
            # Others than the counted records were read there: only reading again tells whether they still are.
            if seconds >= MISREAD_SECONDS or at.has_moved(partition, states):
                return what
        return ""
