"""Records of one partition that were read, and wait until other partitions have come as far.   Stage 3 of 6.   Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Collection
from itertools import accumulate, chain

from rtaplatform.stream.port import RecordColumns


class HeldRecords:
    """In the order in which they were read. `stream_time_ms`: that of the partition before the first of them.

    `end`: the partition's end, if reading has reached it after the last record.
    """

    def __init__(self, stream_time_ms: int) -> None:
        self.count = self.bytes = 0
        self.end: int | None = None
        self._newest_ms = stream_time_ms
        self._runs: deque[tuple[RecordColumns, list[int]]] = deque()  # with the stream time at each record

    @property
    def head_ms(self) -> int:
        """The stream time at the first record."""
        return self._runs[0][1][0]

    @property
    def reach_ms(self) -> int:
        """The stream time at the last record that can be taken at once."""
        return self._runs[0][1][-1]

    def list_times(self, limit_ms: float, at_most: int) -> list[int]:
        """The stream times at the records that `take` would take."""
        times_ms = self._runs[0][1]
        return times_ms[: bisect_right(times_ms, limit_ms, 0, min(at_most, len(times_ms)))]

    def put(self, run: RecordColumns) -> None:
        times_ms = list(accumulate(run.timestamps_ms, max, initial=self._newest_ms))[1:]
        self._runs.append((run, times_ms))
        self._newest_ms, self.end = times_ms[-1], None
        self.count += len(run)
        self.bytes += measure_bytes(run)

    def take(self, limit_ms: float, at_most: int) -> RecordColumns | None:
        """The next records up to this stream time; perhaps not all of them. None if there are none."""
        run, times_ms = self._runs[0]
        count = bisect_right(times_ms, limit_ms, 0, min(at_most, len(times_ms)))
        if not count:
            return None
        first_part = run.cut(0, count)
        if count == len(times_ms):
            self._runs.popleft()
        else:
            self._runs[0] = run.cut(count, len(times_ms)), times_ms[count:]
        self.count -= count
        self.bytes -= measure_bytes(first_part)
        return first_part


def take_in_order(
    held_records: Collection[HeldRecords], limit_ms: float, apart_ms_max: float, at_most: int
) -> list[RecordColumns]:
    """Take the records of all partitions up to a stream time: as they were read, or, if partitions are further apart
    than `apart_ms_max`, the earliest first.
    """
    earliest_ms = min((records.head_ms for records in held_records), default=0)
    if any(records.reach_ms > earliest_ms + apart_ms_max for records in held_records):
        times_ms = chain.from_iterable(records.list_times(limit_ms, at_most) for records in held_records)
        limit_ms = max(sorted(times_ms)[:at_most], default=-1)
    runs = []
    for records in sorted(held_records, key=lambda records: records.head_ms):
        run = records.take(limit_ms, at_most) if at_most else None
        if run is not None:
            runs.append(run)
            at_most -= len(run)
    return runs


def measure_bytes(run: RecordColumns) -> int:
    return sum(map(len, filter(None, run.values)))
