"""The event log up to given positions, in the order of time, as the oracle wants it.   Names adapters.

Only committed records are read. Partitions are merged by stream time, so that of two equal orders in two partitions
the earlier one comes first. Each partition has a bounded queue in memory. Errors: `Unavailable`.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from rtaplatform.core.control_records import ErasureRecord, read_erasure
from rtaplatform.core.errors import Unavailable
from rtaplatform.core.ledger import PartitionId
from rtaplatform.simulate.oracle.oracle import ConsumedRecord
from rtaplatform.stream.kafka.config import CONTROL
from rtaplatform.stream.port import LogRecord, OffsetRange, Partition, PartitionReader

_READ_SECONDS = 0.2
_SILENT_SECONDS_MAX = 30.0
_COLLECTED = (("rta-collected", b"1"),)


class LogExtent(NamedTuple):
    """A partition and what of it is read: from `begin` up to, but without, `end`. `lost`: records that are gone."""

    partition: Partition
    begin: int
    end: int
    lost: int = 0


FindOffsets = Callable[[Sequence[Partition], int], Mapping[Partition, int]]


class LogInOrder:
    """Reads the event topics and `rta.control`. `find_offsets`: the first offsets from a time on."""

    def __init__(self, reader: PartitionReader, find_offsets: FindOffsets) -> None:
        self._reader, self._find_offsets = reader, find_offsets

    def find_extents(
        self, starts: Mapping[PartitionId, int], ends: Mapping[PartitionId, int], since_ms: int | None
    ) -> list[LogExtent]:
        """Return what to read of each partition. `since_ms`: no record that is older.

        A partition of a deleted topic is among them: everything of it is lost.
        """
        partitions = [p for p in self._reader.list_partitions() if p.topic != CONTROL]
        ranges = self._reader.read_extents(partitions)
        since = self._find_offsets(partitions, since_ms) if since_ms is not None else {}
        extents = [_find_extent(p, ranges[p], starts, ends, since.get(p)) for p in sorted(ranges)]
        missing_places = sorted(ends.keys() - {extent.place for extent in ranges.values()})
        return extents + [
            LogExtent(
                Partition(f"deleted topic {place.topic_id}", place.partition), 0, 0, ends[place] - starts.get(place, 0)
            )
            for place in missing_places
        ]

    def read_records(self, extents: list[LogExtent]) -> Iterator[ConsumedRecord | ErasureRecord]:
        """Yield the records, and the erasures among them, in order of stream time."""
        controls = [p for p in self._reader.list_partitions() if p.topic == CONTROL]
        ranges = self._reader.read_extents(controls)
        streams = [self._read_stream(LogExtent(p, ranges[p].low, ranges[p].readable)) for p in sorted(ranges)]
        streams += [self._read_stream(extent) for extent in extents]
        for _, _, record in heapq.merge(*streams, key=lambda item: item[:2]):
            if record.partition.topic != CONTROL:
                yield _to_logged(record)
            elif (erasure := read_erasure(record.value)) is not None:
                yield erasure

    def _read_stream(self, extent: LogExtent) -> Iterator[tuple[int, tuple[Partition, int], LogRecord]]:
        """Yield the records of one partition with their stream times."""
        if extent.begin >= extent.end:
            return
        self._reader.seek(extent.partition, extent.begin)
        stream_time, heard_at = 0, time.monotonic()
        while True:
            batch = self._reader.read(extent.partition, _READ_SECONDS)
            for run in batch.runs:
                heard_at = time.monotonic()
                for index, offset in enumerate(run.offsets):
                    if offset >= extent.end:
                        return
                    stream_time = max(stream_time, run.timestamps_ms[index])
                    yield stream_time, (extent.partition, offset), run.record(index)
                    heard_at = time.monotonic()
                if run.offsets[-1] + 1 >= extent.end:
                    return
            if batch.ends.get(extent.partition, -1) >= extent.end:
                return
            if time.monotonic() - heard_at > _SILENT_SECONDS_MAX:
                raise Unavailable("kafka", f"does not give the records of {extent.partition} up to {extent.end}")


def _find_extent(
    partition: Partition,
    of: OffsetRange,
    starts: Mapping[PartitionId, int],
    ends: Mapping[PartitionId, int],
    since: int | None,
) -> LogExtent:
    start, end = starts.get(of.place, 0), ends.get(of.place, 0)
    begin = max(start, of.low, since or 0)
    return LogExtent(partition, min(begin, end), end, lost=max(0, min(of.low, end) - start))


def _to_logged(record: LogRecord) -> ConsumedRecord:
    return ConsumedRecord(
        record.partition.topic,
        record.partition.number,
        record.offset,
        None if record.timestamp_ms < 0 else record.timestamp_ms,
        record.key,
        record.value,
        _COLLECTED if record.was_collected else (),
    )
