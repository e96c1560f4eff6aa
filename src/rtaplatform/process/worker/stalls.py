"""Which partitions have more to read and do not advance.   Stage 3 of 6: stream → [process] → store.   Pure.

A stalled partition is re-sought once per offset, because the remaining offsets may contain no records. A worker that
owns no partition checks whether any worker advances them. After a broker was killed, or answered only in part, a group
may regard its members as gone while they hear nothing of it and wait (Kafka 4.1 with librdkafka 2.16).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rtaplatform.store.port import ShardState
from rtaplatform.stream.port import OffsetRange, Partition

IDLE_SECONDS = 5.0
BUSY_SECONDS = 60.0  # while other partitions keep the worker busy, one may only be waiting for its turn
UNOWNED_SECONDS = 30.0  # time for a partition to get a new owner, or for its owner to come back


class StallDetector:
    def __init__(self) -> None:
        self._offsets: dict[Partition, tuple[int, float]] = {}  # the offset it waits at, and since when
        self._offsets_sought: dict[Partition, int] = {}

    def find_stalled(
        self, offsets: Mapping[Partition, int], extents: Mapping[Partition, OffsetRange], now: float, *, is_idle: bool
    ) -> Partition | None:
        """A partition to seek again. `offsets`: the next that the worker reads of each; `now` in seconds."""
        previous, self._offsets = self._offsets, {}
        for partition, extent in extents.items():
            offset = offsets[partition]
            if offset < extent.readable:  # beyond it an open transaction holds records back: seeking would not help
                earlier = previous.get(partition)
                self._offsets[partition] = earlier if earlier and earlier[0] == offset else (offset, now)
        patience_seconds = IDLE_SECONDS if is_idle else BUSY_SECONDS
        for partition, (offset, since) in self._offsets.items():
            if now - since >= patience_seconds and self._offsets_sought.get(partition) != offset:
                self._offsets_sought[partition] = offset
                return partition
        return None


LaggingRows = frozenset[tuple[int, Partition, int]]  # shard, partition, and the shard's next offset


def find_counted_partitions(states: Iterable[ShardState]) -> set[Partition]:
    """The partitions that have a row in one of the ledgers."""
    partitions: set[Partition] = set()
    for state in states:
        topics = {topic_id: topic for topic, topic_id in state.topics.items()}
        partitions |= {Partition(topics[p.topic_id], p.partition) for p in state.ledger if p.topic_id in topics}
    return partitions


def find_lagging_rows(states: Mapping[int, ShardState], extents: Mapping[Partition, OffsetRange]) -> LaggingRows:
    """The rows that have more to read than their shard has counted."""
    rows = (
        (shard, partition, state.find_next_offset(extent.place), extent.readable)
        for shard, state in states.items()
        for partition, extent in extents.items()
    )
    return frozenset((shard, partition, offset) for shard, partition, offset, end in rows if offset < end)


class UnownedPartitions:
    """Partitions that no worker advances, as seen by a worker that has none."""

    def __init__(self) -> None:
        self._rows: LaggingRows = frozenset()
        self._since = 0.0

    def must_rejoin(self, rows: LaggingRows, now: float) -> bool:
        """Whether the same rows have lagged for so long that the worker should join the group again."""
        if rows != self._rows or not rows:
            self._rows, self._since = rows, now
            return False
        if now - self._since < UNOWNED_SECONDS:
            return False
        self._since = now
        return True
