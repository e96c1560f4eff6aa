"""The newest records of a tail, bounded in number and bytes.   stream → [feed] → serve."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

from rtaplatform.stream.port import TailRecord

RECORDS_MAX = 20_000
BYTES_MAX = 32 << 20


class RecordRing:
    """Written by the thread that reads the tail, read by others."""

    def __init__(self, records_max: int = RECORDS_MAX, bytes_max: int = BYTES_MAX) -> None:
        self._records_max, self._bytes_max = records_max, bytes_max
        self._records: deque[TailRecord] = deque()
        self._bytes = 0
        self._lock = threading.Lock()

    def add(self, records: Sequence[TailRecord]) -> None:
        with self._lock:
            for record in records:
                self._records.append(record)
                self._bytes += _measure_record(record)
            while self._records and (len(self._records) > self._records_max or self._bytes > self._bytes_max):
                self._bytes -= _measure_record(self._records.popleft())

    def clear(self) -> None:
        with self._lock:
            self._records.clear()
            self._bytes = 0

    def list_records(self) -> list[TailRecord]:
        """All of them, the oldest first as they were read: in order within a partition."""
        with self._lock:
            return list(self._records)


def _measure_record(record: TailRecord) -> int:
    return len(record.value) + len(record.key) + 400  # with its objects
