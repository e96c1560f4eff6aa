"""A worker's gauges for its partitions.   Stage 3 of 6: stream → [process] → store."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress

from rtaplatform import telemetry
from rtaplatform.stream.port import Partition


class PartitionGauges:
    """Shown only while this worker owns the partition. Else its last value would be added to that of the next owner."""

    def __init__(self) -> None:
        self._partitions: set[Partition] = set()

    def show_lag(self, partition: Partition, records: int) -> None:
        self._partitions.add(partition)
        telemetry.WORKER_LAG.labels(*_labels(partition)).set(records)

    def show_advance(self, partition: Partition) -> None:
        self._partitions.add(partition)
        telemetry.WORKER_ADVANCED_AT.labels(*_labels(partition)).set_to_current_time()

    def keep_only(self, partitions: Collection[Partition]) -> None:
        for partition in self._partitions - set(partitions):
            for gauge in (telemetry.WORKER_LAG, telemetry.WORKER_ADVANCED_AT):
                with suppress(KeyError):  # only one of the two was shown
                    gauge.remove(*_labels(partition))
        self._partitions &= set(partitions)


def _labels(partition: Partition) -> tuple[str, str]:
    return partition.topic, str(partition.number)
