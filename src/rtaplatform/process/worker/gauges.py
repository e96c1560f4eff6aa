"""A worker's gauges of its partitions.   Stage 3 of 6: stream → [process] → store."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress

from rtaplatform import telemetry
from rtaplatform.stream.port import Partition


class PartitionGauges:
    """Shown while the partition is ours: what its next owner shows would else be summed with what we showed last."""

    def __init__(self) -> None:
        self._shown: set[Partition] = set()

    def show_lag(self, partition: Partition, records: int) -> None:
        self._shown.add(partition)
        telemetry.WORKER_LAG.labels(*_labels(partition)).set(records)

    def show_advance(self, partition: Partition) -> None:
        self._shown.add(partition)
        telemetry.WORKER_ADVANCED_AT.labels(*_labels(partition)).set_to_current_time()

    def keep_only(self, partitions: Collection[Partition]) -> None:
        for partition in self._shown - set(partitions):
            for gauge in (telemetry.WORKER_LAG, telemetry.WORKER_ADVANCED_AT):
                with suppress(KeyError):  # only one of the two was shown
                    gauge.remove(*_labels(partition))
        self._shown &= set(partitions)


def _labels(partition: Partition) -> tuple[str, str]:
    return partition.topic, str(partition.number)
