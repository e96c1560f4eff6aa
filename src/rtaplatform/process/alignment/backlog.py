"""Which partitions have more to read: ours, and those of other workers.   Stage 3 of 6: stream → [process] → store.

How far other workers are is read from the ledgers, where each shard has a row for every partition. The row that is
furthest ahead counts: quiet shards follow later. The brokers say how late the next record is. A row tells only the time
of the last one, and two workers that each know no more of the other may both have their next record far from it, and
would wait for each other. A partition whose records have no timestamps has no stream time, and nobody waits for it.

While a server does not answer, what was known stays, and it is asked again after RETRY_SECONDS. A worker that has to
find its positions meanwhile tries again for WAIT_SECONDS, and then aligns its own partitions only: it must not depend
for good on brokers that it does not read from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import inf
from typing import Protocol

from rtaplatform.core.errors import Stopped, Unavailable
from rtaplatform.core.ledger import read_row
from rtaplatform.process.alignment.wait_times import WAIT_SECONDS, LaggingPartition
from rtaplatform.process.worker.positions import Positions
from rtaplatform.store.port import ShardState
from rtaplatform.stream.port import EventLog, OffsetRange, Partition, TimedOffset

ENDS_SECONDS = 5.0  # between looks at the ends of all partitions
ROWS_SECONDS = 1.0  # between looks at the ledgers, while anything lags
BLOCKED_SECONDS = 0.1  # while this worker can do nothing but wait
RETRY_SECONDS = 10.0  # after a look that failed: that may have taken seconds


class Ledgers(Protocol):
    def read_state(self, shard: int) -> ShardState | None: ...


class Backlog:
    """`begin` it with the positions that were found. `clock` is in seconds."""

    def __init__(self, log: EventLog, ledgers: Ledgers, clock: Callable[[], float]) -> None:
        self._log, self._ledgers, self._clock = log, ledgers, clock
        self._positions = Positions({}, {}, {}, {}, {})
        self._our_ends: dict[Partition, int] = {}  # of those that had more to read at the last look
        self._extents: dict[Partition, OffsetRange] = {}  # of the partitions of others
        self._others: dict[Partition, LaggingPartition] = {}  # as the last look found them
        self._first_times: dict[Partition, TimedOffset] = {}  # of our partitions of which nothing is counted
        self._ends_read_at = self._rows_read_at = clock()  # after a failure, when to ask again
        self._failing_since = inf
        self._reached_ms = 0  # the stream time that was reached when the last jump was looked after

    def begin(self, positions: Positions) -> None:
        """Look for the first time. Raises `Unavailable` and `Stopped`; not for good about partitions of others."""
        self._positions = positions
        self._extents, self._others = {}, {}
        self._reached_ms = max(map(positions.find_stream_time_ms, positions.extents), default=0)
        self._note_our_ends(positions.extents)
        new = [p for p in self._our_ends if positions.find_stream_time_ms(p) <= 0]
        self._first_times = self._log.read_next_times(dict.fromkeys(new, -1)) if new else {}
        self._ends_read_at = self._rows_read_at = self._clock()
        try:
            self._extents = self._read_extents(self._list_others())
            self._read_rows()
        except (Unavailable, Stopped):
            self._failing_since = min(self._failing_since, self._clock())
            if self._clock() - self._failing_since < WAIT_SECONDS:
                raise
            self._ends_read_at = self._rows_read_at = self._clock() + RETRY_SECONDS
        else:
            self._failing_since = inf

    def look(self, *, is_blocked: bool, has_jumped: bool = False) -> None:
        """Look again, if that is due.

        `is_blocked`: the worker waits for others and has nothing else to do. `has_jumped`: much stream time has passed
        since the last look, so that the ends known since then say little.
        """
        now = self._clock()
        if now < self._rows_read_at:
            return
        is_lagging = self._our_ends or self._others or is_blocked
        rows_seconds = BLOCKED_SECONDS if is_blocked else ROWS_SECONDS if is_lagging else ENDS_SECONDS
        is_ends_due = has_jumped or now - self._ends_read_at >= ENDS_SECONDS
        if not is_ends_due and not (self._extents and now - self._rows_read_at >= rows_seconds):
            return
        self._rows_read_at = now
        try:
            if is_ends_due:
                self._ends_read_at = now
                self._read_ends()
            self._read_rows()
        except (Unavailable, Stopped):
            self._ends_read_at = self._rows_read_at = self._clock() + RETRY_SECONDS

    def look_after_jump(self, reached_ms: int, apart_ms_max: float) -> None:
        """Look if so much stream time has passed that other partitions are behind, if they have more to read.

        A worker at the end of its partitions looks only every few seconds. Days of history may come in between. After a
        failure that has to wait as well, and is made up for with the first records after it.
        """
        if reached_ms > self._reached_ms + apart_ms_max and self._clock() >= self._rows_read_at:
            self._reached_ms = reached_ms
            self.look(is_blocked=False, has_jumped=True)

    def list_lagging(self) -> dict[Partition, LaggingPartition]:
        """The partitions that have more to read, as far as is known, and a stream time."""
        own_partitions = self._list_ours() if self._our_ends else {}
        return own_partitions | self._others

    # ours ------------------------------------------------------------------------------------------------------

    def _list_ours(self) -> dict[Partition, LaggingPartition]:
        positions, lagging_partitions = self._positions, {}
        for partition, end in list(self._our_ends.items()):
            offset = positions.find_next_read_offset(partition)
            stream_time_ms = positions.find_stream_time_ms(partition)
            if offset >= end or str(partition) in positions.stops:
                del self._our_ends[partition]
            elif stream_time_ms > 0:
                lagging_partitions[partition] = LaggingPartition(offset, stream_time_ms)
            elif partition in self._first_times and offset == positions.starts.get(partition):
                lagging_partitions[partition] = LaggingPartition(offset, self._first_times[partition].timestamp_ms)
        return lagging_partitions

    def _note_our_ends(self, extents: dict[Partition, OffsetRange]) -> None:
        self._our_ends = {p: extent.readable for p, extent in extents.items() if p in self._positions.extents}

    # those of others -------------------------------------------------------------------------------------------

    def _read_ends(self) -> None:
        extents = self._read_extents({*self._list_others(), *self._positions.extents})
        self._note_our_ends(extents)
        self._extents = {p: extent for p, extent in extents.items() if p not in self._positions.extents}

    def _read_extents(self, partitions: Iterable[Partition]) -> dict[Partition, OffsetRange]:
        """Also of partitions of the same topics that are seen for the first time."""
        partitions = set(partitions)
        extents = self._log.read_extents(partitions) if partitions else {}
        more = {Partition(p.topic, n) for p, extent in extents.items() for n in range(extent.partitions)}
        if more := more - partitions - self._positions.extents.keys():
            extents |= self._log.read_extents(more)
        return extents

    def _list_others(self) -> set[Partition]:
        """The partitions that are not ours; of a topic that was not seen yet, the first one."""
        extents = {*self._positions.extents.items(), *self._extents.items()}
        counts = {partition.topic: extent.partitions for partition, extent in extents}
        topics = {topic for state in self._positions.shards.values() for topic in state.topics}
        partitions = {Partition(topic, n) for topic in topics for n in range(counts.get(topic, 1))}
        return partitions - self._positions.extents.keys()

    def _read_rows(self) -> None:
        if not self._extents:
            self._others = {}
            return
        states = [state for shard in self._positions.shards if (state := self._ledgers.read_state(shard)) is not None]
        furthest = {p: _find_furthest(p, extent, states) for p, extent in self._extents.items()}
        self._others = self._find_heads({p: at for p, at in furthest.items() if at[0] < self._extents[p].readable})

    def _find_heads(self, lagging_partitions: Mapping[Partition, tuple[int, str]]) -> dict[Partition, LaggingPartition]:
        """The stream time at the next record of each: that of the last one, unless the next is the first one later."""
        times_ms = {p: read_row(row).stream_time_ms if row else -1 for p, (_, row) in lagging_partitions.items()}
        later = self._log.read_next_times(times_ms) if times_ms else {}
        heads = {}
        for partition, (offset, _) in lagging_partitions.items():
            time_ms = times_ms[partition]
            if partition in later and later[partition].offset <= offset:
                time_ms = later[partition].timestamp_ms
            if time_ms > 0:  # else its records have no timestamps
                heads[partition] = LaggingPartition(offset, time_ms)
        return heads


def _find_furthest(partition: Partition, extent: OffsetRange, states: Iterable[ShardState]) -> tuple[int, str]:
    """The next offset of the shard that has counted most of the partition, and its row. The end if it is stopped."""
    rows = [
        (state.find_next_offset(extent.place), state.ledger.get(extent.place, ""))
        for state in states
        if state.topics.get(partition.topic) == extent.place.topic_id
    ]
    return max(rows, default=(extent.readable, ""))
