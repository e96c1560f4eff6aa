"""All partitions as one log, in order of stream time.   Stage 3 of 6: stream → [process] → store.

The stream time of a record is the greatest timestamp of its partition up to it. A portion holds the records with the
least stream times, up to the same time in all partitions, as one run per partition. So partitions are read in the order
in which they were written, even if one lags. The log waits for the next record of each partition, until the partition
has been read to the end that it had when reading began. Records of `rta.control` are merged in the same order: a batch
ends before one, and it is handed out alone, as `control_record`.

Limits: after a restart, stream time is known only from the first record on. So if a partition's timestamps had run
ahead, its first records come a little too early. A few thousand records per partition are buffered.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Mapping
from itertools import accumulate, chain

from rtaplatform.core.events import EVENT_TOPICS
from rtaplatform.core.time.timestamps import TIME_MS_MAX
from rtaplatform.stream.port import (
    PORTION,
    LogRecord,
    OffsetRange,
    Partition,
    PartitionReader,
    PollResult,
    RecordColumns,
    TimedOffset,
)

WAIT_SECONDS = 0.05


class PartitionBuffer:
    """The records of one partition that were read and not yet handed out: the rest of one run."""

    def __init__(self, partition: Partition, offset: int, until: int) -> None:
        self.partition = partition
        self.is_control = partition.topic not in EVENT_TOPICS
        self.start = offset
        self.next_offset = offset  # after all that was handed out
        self.until = until  # the readable end when reading began; records that a transaction holds back are beyond it
        self.end: int | None = None  # the partition's end, if the last read has reached it
        self.stream_time_ms = -1
        self._run: RecordColumns | None = None
        self._stream_times_ms: list[int] = []  # stream time at each record of the run
        self._index = 0

    def __len__(self) -> int:
        return len(self._stream_times_ms) - self._index

    @property
    def is_caught_up(self) -> bool:
        return self.next_offset >= self.until

    @property
    def head_ms(self) -> int:
        return self._stream_times_ms[self._index]

    @property
    def limit_ms(self) -> int:
        """The stream time up to which the buffer has all records: later reads bring no earlier ones."""
        is_all = self._run is None or self._run.offsets[-1] + 1 >= self.until
        return TIME_MS_MAX if is_all or (self.end is not None and self.end >= self.until) else self._stream_times_ms[-1]

    def put(self, batch: PollResult) -> None:
        """Fill the buffer, all of which was handed out, with the next read."""
        assert not self
        self.end = batch.ends.get(self.partition)
        if batch.runs:
            self._run, self._index = batch.runs[0], 0
            self._stream_times_ms = list(accumulate(self._run.timestamps_ms, max, initial=self.stream_time_ms))[1:]
        self._skip_to_end()

    def list_stream_times(self, bound_ms: int, at_most: int) -> list[int]:
        return self._stream_times_ms[
            self._index : bisect_right(
                self._stream_times_ms, bound_ms, self._index, min(self._index + at_most, len(self._stream_times_ms))
            )
        ]

    def count_before(self, ms: int) -> int:
        return bisect_left(self._stream_times_ms, ms, self._index) - self._index

    def peek(self) -> LogRecord:
        assert self._run is not None
        return self._run.record(self._index)

    def take(self, count: int) -> RecordColumns:
        assert self._run is not None
        records = self._run.cut(self._index, self._index + count)
        self._index += count
        self.stream_time_ms = self._stream_times_ms[self._index - 1]
        self.next_offset = records.offsets[-1] + 1
        self._skip_to_end()
        return records

    def _skip_to_end(self) -> None:
        """Skip what lies between the last record and the end: it has no readable records."""
        if not self and self.end is not None:
            self.next_offset = max(self.next_offset, self.end)


class TimeOrderedLog:
    """`EventLog` over all partitions. `refresh_partitions` finds those that were added."""

    def __init__(self, reader: PartitionReader, *, batch_max: int = 5_000, batch_bytes_max: int = 8_000_000) -> None:
        self._reader = reader
        self._batch_max, self._batch_bytes_max = batch_max, batch_bytes_max
        self._records = self._bytes = 0  # of the open batch
        self._version = 0
        self._partitions: frozenset[Partition] = frozenset()
        self._readable_ends: dict[Partition, int] = {}  # as of the last `read_extents`
        self._buffers: list[PartitionBuffer] = []
        self._control: PartitionBuffer | None = None

    # the port --------------------------------------------------------------------------------------------------

    def read_assignment(self) -> tuple[int, frozenset[Partition]]:
        return self._version, frozenset(p for p in self._partitions if p.topic in EVENT_TOPICS)

    def read_extents(self, partitions: Iterable[Partition]) -> dict[Partition, OffsetRange]:
        extents = self._reader.read_extents(partitions)
        self._readable_ends |= {partition: extent.readable for partition, extent in extents.items()}
        return extents

    def seek(self, positions: Mapping[Partition, int]) -> None:
        control = self._reader.read_extents(_list_control(self._partitions))
        offsets = dict(positions) | {p: extent.low for p, extent in control.items()}
        ends = self._readable_ends | {p: extent.readable for p, extent in control.items()}
        self._buffers = [PartitionBuffer(p, offset, ends.get(p, 0)) for p, offset in sorted(offsets.items())]
        self._control = None
        self._records = self._bytes = 0
        for partition, offset in offsets.items():
            self._reader.seek(partition, offset)

    def poll(self, at_most: int | None = None) -> PollResult:
        """The next records in order of stream time; none while a record of `rta.control` waits to be taken."""
        room = min(PORTION, self._batch_max - self._records, at_most or PORTION)
        runs = self._take_earliest(room) if self._control is None and self._fill_all() else []
        self._records += sum(map(len, runs))
        self._bytes += sum(len(value or b"") for run in runs for value in run.values)
        is_whole = not runs or self._records >= self._batch_max or self._bytes >= self._batch_bytes_max
        if is_whole:
            self._records = self._bytes = 0
        return PollResult(runs, _list_ends(self._buffers), is_whole=is_whole)

    def hold_back(self, partitions: Collection[Partition]) -> None:
        """Do nothing: no partition is read ahead of others."""

    def read_next_times(self, after_ms: Mapping[Partition, int]) -> dict[Partition, TimedOffset]:
        """Return nothing: this log has all partitions, so there is no other worker to wait for."""
        return {}

    def rejoin(self) -> None:
        """Do nothing: this log always has all partitions."""

    def commit(self, positions: Mapping[Partition, int]) -> None:
        """Do nothing: no other reader shares these positions."""

    # beside the port -------------------------------------------------------------------------------------------

    def refresh_partitions(self) -> None:
        """Notice partitions that were added or removed. Raises `Unavailable`."""
        partitions = frozenset(self._reader.list_partitions())
        if partitions != self._partitions:
            self._partitions = partitions
            self._version += 1

    @property
    def control_record(self) -> LogRecord | None:
        """The record of `rta.control` that is next. No other record is handed out before `skip_control_record`."""
        return self._control.peek() if self._control else None

    def skip_control_record(self) -> None:
        assert self._control is not None
        self._control.take(1)
        self._control = None

    @property
    def is_caught_up(self) -> bool:
        """Whether all records that were there when reading began have been handed out."""
        return bool(self._buffers) and all(buffer.is_caught_up for buffer in self._buffers)

    def is_control_read(self) -> bool:
        """Whether `rta.control` has been handed out up to its current end. Raises `Unavailable`."""
        ends = {p: extent.high for p, extent in self._reader.read_extents(_list_control(self._partitions)).items()}
        offsets = {buffer.partition: buffer.next_offset for buffer in self._buffers if buffer.is_control}
        for buffer in self._buffers:
            buffer.until = max(buffer.until, ends.get(buffer.partition, 0))
        return all(offsets.get(partition, -1) >= end for partition, end in ends.items() if end)

    def read_progress(self) -> dict[Partition, int]:
        """The next offset of each partition of events."""
        return {buffer.partition: buffer.next_offset for buffer in self._buffers if not buffer.is_control}

    def list_starts(self) -> dict[Partition, int]:
        """The offset at which reading of each partition began, since the last `seek`."""
        return {buffer.partition: buffer.start for buffer in self._buffers if not buffer.is_control}

    # inside ----------------------------------------------------------------------------------------------------

    def _fill_all(self) -> bool:
        """Fill the empty buffers, but those of caught-up partitions only once a batch. Return whether all are ready."""
        for buffer in self._buffers:
            if not buffer and not (self._records and buffer.is_caught_up):
                self._fill(buffer, 0.0)
        empty_buffers = [buffer for buffer in self._buffers if not buffer and not buffer.is_caught_up]
        if not empty_buffers and not any(self._buffers) and self._buffers:
            self._fill(self._buffers[0], WAIT_SECONDS)
        return not [buffer for buffer in empty_buffers if not self._fill(buffer, WAIT_SECONDS)]

    def _fill(self, buffer: PartitionBuffer, wait_seconds: float) -> bool:
        """Read into the buffer. Return whether it has records now, or is caught up."""
        buffer.put(self._reader.read(buffer.partition, wait_seconds))
        return bool(buffer) or buffer.is_caught_up

    def _take_earliest(self, at_most: int) -> list[RecordColumns]:
        """Take the records with the least stream times. If a record of `rta.control` comes before all, it is next."""
        ready = [buffer for buffer in self._buffers if buffer and not buffer.is_control]
        control = min(
            (buffer for buffer in self._buffers if buffer and buffer.is_control), key=_read_head_ms, default=None
        )
        bound_ms = min((buffer.limit_ms for buffer in self._buffers if buffer), default=TIME_MS_MAX)
        if control is not None:
            bound_ms = min(bound_ms, control.head_ms - 1)
        times = sorted(chain.from_iterable(buffer.list_stream_times(bound_ms, at_most) for buffer in ready))[:at_most]
        if not times:
            self._control = control
            return []
        return _take_up_to(times[-1], len(times), ready)


def _list_control(partitions: Iterable[Partition]) -> list[Partition]:
    return [p for p in partitions if p.topic not in EVENT_TOPICS]


def _list_ends(buffers: Iterable[PartitionBuffer]) -> dict[Partition, int]:
    return {b.partition: b.end for b in buffers if not b.is_control and not b and b.end is not None}


def _read_head_ms(buffer: PartitionBuffer) -> int:
    return buffer.head_ms


def _take_up_to(last_ms: int, count: int, ready: list[PartitionBuffer]) -> list[RecordColumns]:
    """Take all records before this time, and as many of those at this time as there is room for."""
    shares = [buffer.count_before(last_ms) for buffer in ready]
    room = count - sum(shares)
    runs = []
    for buffer, before in zip(ready, shares, strict=True):
        equal = min(room, buffer.count_before(last_ms + 1) - before)
        room -= equal
        if before + equal:
            runs.append(buffer.take(before + equal))
    return runs
