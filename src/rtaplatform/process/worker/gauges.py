"""A worker's gauges: for its partitions, and for the last 5 minutes.   Stage 3 of 6: stream → [process] → store."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial

from rtaplatform import telemetry
from rtaplatform.core.events import RecordOutcome
from rtaplatform.core.time.sliding_counts import SlidingCounts
from rtaplatform.stream.port import Partition


class PartitionGauges:
    """Shown only while this worker owns the partition. Else its last value would be added to that of the next owner."""

    def __init__(self) -> None:
        self._partitions: set[Partition] = set()

    def show_lag(self, partition: Partition, records: int) -> None:
        self._partitions.add(partition)
        telemetry.WORKER_LAG.labels(*_make_labels(partition)).set(records)

    def show_advance(self, partition: Partition) -> None:
        self._partitions.add(partition)
        telemetry.WORKER_ADVANCED_AT.labels(*_make_labels(partition)).set_to_current_time()

    def keep_only(self, partitions: Collection[Partition]) -> None:
        for partition in self._partitions - set(partitions):
            for gauge in (telemetry.WORKER_LAG, telemetry.WORKER_ADVANCED_AT):
                with suppress(KeyError):  # only one of the two was shown
                    gauge.remove(*_make_labels(partition))
        self._partitions &= set(partitions)


class RecentOutcomes:
    """How many records of the last 5 minutes had each outcome, computed when the signals are read.

    A worker that starts again knows nothing of the time before. So it also shows for how long it has counted.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._counts, self._clock = SlidingCounts(clock()), clock
        self._lock = threading.Lock()  # the signals are read in a thread of their own
        for outcome in RecordOutcome:
            telemetry.WORKER_RECENT_RECORDS.labels(str(outcome)).set_function(partial(self._count, outcome))
        telemetry.WORKER_RECENT_SECONDS.set_function(lambda: self._counts.measure_covered_seconds(clock()))

    def add(self, outcome: RecordOutcome, n: int) -> None:
        with self._lock:
            self._counts.add(outcome, n, self._clock())

    def _count(self, outcome: RecordOutcome) -> int:
        with self._lock:
            return self._counts.count(outcome, self._clock())


def _make_labels(partition: Partition) -> tuple[str, str]:
    return partition.topic, str(partition.number)
