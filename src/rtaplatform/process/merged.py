"""All partitions as one log, in order of record time.   Stage 3 of 6: stream → [process] → store.

The record time of a record is the greatest timestamp of its partition up to it. The next record is that of the least
record time, so two partitions of which one lags are read as they were written. A partition that has been read to
the end it had when reading began holds up nobody; until then its next record is waited for. Records of `rta.control`
take their place among the others: a batch ends before one, and it is handed out alone, as `control`.

Limits: after a new start record time is known only from there on, so the first records of a partition whose
timestamps had run ahead come a little too early. A few thousand records a partition are buffered.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Mapping

from rtaplatform.core.events import EVENT_TOPICS
from rtaplatform.stream.port import Batch, Extent, Partition, PartitionReader, Record

WAIT_SECONDS = 0.05


class Queue:
    """What was read of one partition and not yet handed out."""

    def __init__(self, partition: Partition, offset: int, until: int) -> None:
        self.partition = partition
        self.is_control = partition.topic not in EVENT_TOPICS
        self.following = offset  # what comes after all that was handed out
        self.until = until  # its end when reading began
        self.end: int | None = None  # reading has met the partition's end here
        self.record_ms = -1
        self.records: deque[Record] = deque()

    @property
    def is_through(self) -> bool:
        return self.following >= self.until

    def head_ms(self) -> int:
        return max(self.record_ms, self.records[0].timestamp_ms)

    def put(self, batch: Batch) -> None:
        self.records.extend(batch.records)
        self.end = batch.ends.get(self.partition)
        if not self.records and self.end is not None:
            self.following = max(self.following, self.end)

    def take(self) -> Record:
        record = self.records.popleft()
        self.record_ms = max(self.record_ms, record.timestamp_ms)
        self.following = record.offset + 1
        if not self.records and self.end is not None:
            self.following = max(self.following, self.end)
        return record


class MergedLog:
    """`EventLog` over all partitions. `look_again` finds those that were added."""

    def __init__(self, reader: PartitionReader, *, batch_max: int = 5_000, batch_bytes_max: int = 8_000_000) -> None:
        self._reader = reader
        self._batch_max, self._batch_bytes_max = batch_max, batch_bytes_max
        self._version = 0
        self._partitions: frozenset[Partition] = frozenset()
        self._highs: dict[Partition, int] = {}
        self._queues: list[Queue] = []
        self._heads: list[tuple[int, int]] = []  # a heap: record time of a queue's first record, which queue
        self._control: Queue | None = None

    # the port --------------------------------------------------------------------------------------------------

    def assignment(self) -> tuple[int, frozenset[Partition]]:
        return self._version, frozenset(p for p in self._partitions if p.topic in EVENT_TOPICS)

    def extents(self, partitions: Iterable[Partition]) -> dict[Partition, Extent]:
        found = self._reader.extents(partitions)
        self._highs |= {partition: extent.high for partition, extent in found.items()}
        return found

    def seek(self, positions: Mapping[Partition, int]) -> None:
        control = self._reader.extents(self._of_control())
        offsets = dict(positions) | {p: extent.low for p, extent in control.items()}
        highs = self._highs | {p: extent.high for p, extent in control.items()}
        self._queues = [Queue(p, offset, highs.get(p, 0)) for p, offset in sorted(offsets.items())]
        self._heads, self._control = [], None
        for partition, offset in offsets.items():
            self._reader.seek(partition, offset)

    def poll(self) -> Batch:
        """The next records in order of record time; none while a record of `rta.control` waits to be taken."""
        records: list[Record] = []
        size = 0
        if self._control is None and self._fill_all():
            while self._heads and len(records) < self._batch_max and size < self._batch_bytes_max:
                number = self._heads[0][1]
                queue = self._queues[number]
                if queue.is_control:
                    self._control = None if records else queue
                    break
                record = self._take_first()
                records.append(record)
                size += len(record.value or b"") + len(record.key)
                if not queue.records and not queue.is_through and not self._fill(number, 0.0):
                    break
        return Batch(records, {q.partition: q.end for q in self._queues if _is_at_end(q) and q.end is not None})

    def commit(self, positions: Mapping[Partition, int]) -> None:
        """Nobody shares this reading: there is nothing to tell."""

    # beside the port -------------------------------------------------------------------------------------------

    def look_again(self) -> None:
        """Take in partitions that were added, or are gone. Raises `Unavailable`."""
        found = frozenset(self._reader.partitions())
        if found != self._partitions:
            self._partitions = found
            self._version += 1

    @property
    def control(self) -> Record | None:
        """A record of `rta.control` whose turn it is. Nothing else is handed out before `pass_control`."""
        return self._control.records[0] if self._control else None

    def pass_control(self) -> None:
        self._control = None
        self._take_first()

    @property
    def is_through(self) -> bool:
        """Whether all that was there when reading began has been handed out."""
        return bool(self._queues) and all(queue.is_through for queue in self._queues)

    def is_control_read(self) -> bool:
        """Whether `rta.control` has been handed out up to its end as it is now. Raises `Unavailable`."""
        ends = {p: extent.high for p, extent in self._reader.extents(self._of_control()).items()}
        read = {queue.partition: queue.following for queue in self._queues if queue.is_control}
        for queue in self._queues:
            queue.until = max(queue.until, ends.get(queue.partition, 0))
        return all(read.get(partition, -1) >= end for partition, end in ends.items() if end)

    def progress(self) -> dict[Partition, int]:
        """The offset that comes next, of each partition of events."""
        return {queue.partition: queue.following for queue in self._queues if not queue.is_control}

    # inside ----------------------------------------------------------------------------------------------------

    def _of_control(self) -> list[Partition]:
        return [p for p in self._partitions if p.topic not in EVENT_TOPICS]

    def _fill_all(self) -> bool:
        """Read where nothing is buffered. False where a record that must come first is not here yet."""
        for number, queue in enumerate(self._queues):
            if not queue.records:
                self._fill(number, 0.0)
        missing = [n for n, queue in enumerate(self._queues) if not queue.records and not queue.is_through]
        if not missing and not self._heads and self._queues:
            self._fill(0, WAIT_SECONDS)
        return not [number for number in missing if not self._fill(number, WAIT_SECONDS)]

    def _fill(self, number: int, wait_seconds: float) -> bool:
        """Whether the queue has something now, or needs nothing."""
        queue = self._queues[number]
        queue.put(self._reader.read(queue.partition, wait_seconds))
        if queue.records:
            heapq.heappush(self._heads, (queue.head_ms(), number))
        return bool(queue.records) or queue.is_through

    def _take_first(self) -> Record:
        _record_ms, number = self._heads[0]
        queue = self._queues[number]
        record = queue.take()
        if queue.records:
            heapq.heapreplace(self._heads, (queue.head_ms(), number))
        else:
            heapq.heappop(self._heads)
        return record


def _is_at_end(queue: Queue) -> bool:
    return not queue.is_control and not queue.records
