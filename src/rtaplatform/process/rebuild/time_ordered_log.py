"""All partitions as one log, in order of stream time.   Stage 3 of 6: stream → [process] → store.

The stream time of a record is the greatest timestamp of its partition up to it. A portion holds the records of the
least stream time, up to one time for all partitions, as a run a partition: so partitions of which one lags are read as
they were written. A partition that has been read to the end it had when reading began holds up nobody; until then its
next record is waited for. Records of `rta.control` take their place among the others: a batch ends before one, and it
is handed out alone, as `control`.

Limits: after a new start stream time is known only from there on, so the first records of a partition whose
timestamps had run ahead come a little too early. A few thousand records a partition are buffered.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
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
)

WAIT_SECONDS = 0.05


class PartitionBuffer:
    """What was read of one partition and not yet handed out: the rest of one run."""

    def __init__(self, partition: Partition, offset: int, until: int) -> None:
        self.partition = partition
        self.is_control = partition.topic not in EVENT_TOPICS
        self.start = offset
        self.following = offset  # what comes after all that was handed out
        self.until = until  # its readable end when reading began: what an open transaction holds back is not waited for
        self.end: int | None = None  # reading has met the partition's end here
        self.stream_time_ms = -1
        self._run: RecordColumns | None = None
        self._times: list[int] = []  # stream time at each record of the run
        self._at = 0

    def __len__(self) -> int:
        return len(self._times) - self._at

    @property
    def is_through(self) -> bool:
        return self.following >= self.until

    @property
    def head_ms(self) -> int:
        return self._times[self._at]

    @property
    def limit_ms(self) -> int:
        """The stream time up to which nothing is missing here: what is read later is not earlier."""
        is_all = self._run is None or self._run.offsets[-1] + 1 >= self.until
        return TIME_MS_MAX if is_all or (self.end is not None and self.end >= self.until) else self._times[-1]

    def put(self, batch: PollResult) -> None:
        """What comes after all of it was handed out."""
        assert not self
        self.end = batch.ends.get(self.partition)
        if batch.runs:
            self._run, self._at = batch.runs[0], 0
            self._times = list(accumulate(self._run.timestamps_ms, max, initial=self.stream_time_ms))[1:]
        self._pass_by()

    def times_within(self, bound_ms: int, at_most: int) -> list[int]:
        return self._times[
            self._at : bisect_right(self._times, bound_ms, self._at, min(self._at + at_most, len(self._times)))
        ]

    def count_before(self, ms: int) -> int:
        return bisect_left(self._times, ms, self._at) - self._at

    def head(self) -> LogRecord:
        assert self._run is not None
        return self._run.record(self._at)

    def take(self, count: int) -> RecordColumns:
        assert self._run is not None
        taken = self._run.part(self._at, self._at + count)
        self._at += count
        self.stream_time_ms = self._times[self._at - 1]
        self.following = taken.offsets[-1] + 1
        self._pass_by()
        return taken

    def _pass_by(self) -> None:
        """What lies between the last record and the end is not for readers."""
        if not self and self.end is not None:
            self.following = max(self.following, self.end)


class TimeOrderedLog:
    """`EventLog` over all partitions. `look_again` finds those that were added."""

    def __init__(self, reader: PartitionReader, *, batch_max: int = 5_000, batch_bytes_max: int = 8_000_000) -> None:
        self._reader = reader
        self._batch_max, self._batch_bytes_max = batch_max, batch_bytes_max
        self._records = self._bytes = 0  # of the batch that is open
        self._version = 0
        self._partitions: frozenset[Partition] = frozenset()
        self._ends_then: dict[Partition, int] = {}  # when they were asked for, up to where they could be read
        self._queues: list[PartitionBuffer] = []
        self._control: PartitionBuffer | None = None

    # the port --------------------------------------------------------------------------------------------------

    def assignment(self) -> tuple[int, frozenset[Partition]]:
        return self._version, frozenset(p for p in self._partitions if p.topic in EVENT_TOPICS)

    def extents(self, partitions: Iterable[Partition]) -> dict[Partition, OffsetRange]:
        found = self._reader.extents(partitions)
        self._ends_then |= {partition: extent.readable for partition, extent in found.items()}
        return found

    def seek(self, positions: Mapping[Partition, int]) -> None:
        control = self._reader.extents(self._of_control())
        offsets = dict(positions) | {p: extent.low for p, extent in control.items()}
        ends = self._ends_then | {p: extent.readable for p, extent in control.items()}
        self._queues = [PartitionBuffer(p, offset, ends.get(p, 0)) for p, offset in sorted(offsets.items())]
        self._control = None
        self._records = self._bytes = 0
        for partition, offset in offsets.items():
            self._reader.seek(partition, offset)

    def poll(self, at_most: int | None = None) -> PollResult:
        """The next records in order of stream time; none while a record of `rta.control` waits to be taken."""
        room = min(PORTION, self._batch_max - self._records, at_most or PORTION)
        runs = self._take_first(room) if self._control is None and self._fill_all() else []
        self._records += sum(map(len, runs))
        self._bytes += sum(len(value or b"") for run in runs for value in run.values)
        is_whole = not runs or self._records >= self._batch_max or self._bytes >= self._batch_bytes_max
        if is_whole:
            self._records = self._bytes = 0
        return PollResult(runs, self._ends(), is_whole=is_whole)

    def rejoin(self) -> None:
        """All partitions are ours, always."""

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
    def control(self) -> LogRecord | None:
        """A record of `rta.control` whose turn it is. Nothing else is handed out before `pass_control`."""
        return self._control.head() if self._control else None

    def pass_control(self) -> None:
        assert self._control is not None
        self._control.take(1)
        self._control = None

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

    def starts(self) -> dict[Partition, int]:
        """The offsets that reading has begun at, since it was last sought."""
        return {queue.partition: queue.start for queue in self._queues if not queue.is_control}

    # inside ----------------------------------------------------------------------------------------------------

    def _of_control(self) -> list[Partition]:
        return [p for p in self._partitions if p.topic not in EVENT_TOPICS]

    def _ends(self) -> dict[Partition, int]:
        return {q.partition: q.end for q in self._queues if not q.is_control and not q and q.end is not None}

    def _fill_all(self) -> bool:
        """Read where nothing is buffered; once a batch where nothing must come. False where what must is not here."""
        for queue in self._queues:
            if not queue and not (self._records and queue.is_through):
                self._fill(queue, 0.0)
        missing = [queue for queue in self._queues if not queue and not queue.is_through]
        if not missing and not any(self._queues) and self._queues:
            self._fill(self._queues[0], WAIT_SECONDS)
        return not [queue for queue in missing if not self._fill(queue, WAIT_SECONDS)]

    def _fill(self, queue: PartitionBuffer, wait_seconds: float) -> bool:
        """Whether the queue has something now, or needs nothing."""
        queue.put(self._reader.read(queue.partition, wait_seconds))
        return bool(queue) or queue.is_through

    def _take_first(self, at_most: int) -> list[RecordColumns]:
        """Those of the least stream time; where there are none before a record of `rta.control`, it is its turn."""
        ready = [queue for queue in self._queues if queue and not queue.is_control]
        control = min((queue for queue in self._queues if queue and queue.is_control), key=_head_ms, default=None)
        bound_ms = min((queue.limit_ms for queue in self._queues if queue), default=TIME_MS_MAX)
        if control is not None:
            bound_ms = min(bound_ms, control.head_ms - 1)
        times = sorted(chain.from_iterable(queue.times_within(bound_ms, at_most) for queue in ready))[:at_most]
        if not times:
            self._control = control
            return []
        return _take_up_to(times[-1], len(times), ready)


def _head_ms(queue: PartitionBuffer) -> int:
    return queue.head_ms


def _take_up_to(last_ms: int, count: int, ready: list[PartitionBuffer]) -> list[RecordColumns]:
    """All before that time, and of those at it as many as there is room for."""
    shares = [queue.count_before(last_ms) for queue in ready]
    room = count - sum(shares)
    runs = []
    for queue, before in zip(ready, shares, strict=True):
        at_it = min(room, queue.count_before(last_ms + 1) - before)
        room -= at_it
        if before + at_it:
            runs.append(queue.take(before + at_it))
    return runs
