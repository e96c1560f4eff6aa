"""Which partitions have more to read and do not move.   Stage 3 of 6: stream → [process] → store.   Pure.

A partition that stands is sought again: once for each place, since what is left there may be no records at all. Who has
no partition looks whether somebody moves those that there are: after a broker was killed, or answered half, a group may
take its members for gone, who hear nothing of it and wait (Kafka 4.1 with librdkafka 2.16).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rtaplatform.store.port import ShardState
from rtaplatform.stream.port import OffsetRange, Partition

IDLE_SECONDS = 5.0
BUSY_SECONDS = 60.0  # while others keep the worker busy, a partition may only be waiting for its turn
ORPHANED_SECONDS = 30.0  # in which others may have found a partition's new owner, or its owner may have come back


class StallDetector:
    def __init__(self) -> None:
        self._since: dict[Partition, tuple[int, float]] = {}  # where it stands, and since when we know
        self._sought: dict[Partition, int] = {}

    def look(
        self, following: Mapping[Partition, int], extents: Mapping[Partition, OffsetRange], now: float, *, is_idle: bool
    ) -> Partition | None:
        """One that is to be sought again. `following`: the offset that comes next for us; `now` in seconds."""
        before, self._since = self._since, {}
        for partition, extent in extents.items():
            at = following[partition]
            if at < extent.readable:  # an open transaction holds back what lies beyond: seeking again would not help
                known = before.get(partition)
                self._since[partition] = known if known and known[0] == at else (at, now)
        patience = IDLE_SECONDS if is_idle else BUSY_SECONDS
        for partition, (at, since) in self._since.items():
            if now - since >= patience and self._sought.get(partition) != at:
                self._sought[partition] = at
                return partition
        return None


Rows = frozenset[tuple[int, Partition, int]]  # shard, partition, and the offset that comes next for the shard


def partitions_of(states: Iterable[ShardState]) -> set[Partition]:
    """Those that have been counted."""
    names = [(state, {topic_id: name for name, topic_id in state.topics.items()}) for state in states]
    return {Partition(of[p.topic_id], p.partition) for state, of in names for p in state.ledger if p.topic_id in of}


def lagging(states: Mapping[int, ShardState], extents: Mapping[Partition, OffsetRange]) -> Rows:
    """Those with more that can be read than a shard has counted."""
    following = (
        (shard, partition, state.next_offset(extent.place), extent.readable)
        for shard, state in states.items()
        for partition, extent in extents.items()
    )
    return frozenset((shard, partition, at) for shard, partition, at, end in following if at < end)


class UnownedPartitions:
    """Partitions that nobody moves, as one sees them who has none."""

    def __init__(self) -> None:
        self._rows: Rows = frozenset()
        self._since = 0.0

    def look(self, rows: Rows, now: float) -> bool:
        """Whether it is time to join anew. `rows`: those with more to read."""
        if rows != self._rows or not rows:
            self._rows, self._since = rows, now
            return False
        if now - self._since < ORPHANED_SECONDS:
            return False
        self._since = now
        return True
