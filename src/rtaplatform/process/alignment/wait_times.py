"""For which partitions others wait, and for how long.   Stage 3 of 6: stream → [process] → store.

A partition may have more to read and not advance: nobody owns it, it is stopped, or a broker does not answer. Others
wait for it for WAIT_SECONDS at each of its offsets, and then go on until it advances. Each look at it counts for a
second at most, so that a worker that was busy elsewhere, or stood still itself, does not take that for waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from rtaplatform import telemetry
from rtaplatform.stream.port import Partition

WAIT_SECONDS = 20.0  # less than UNOWNED_SECONDS of stalls.py, or a worker without partitions would rejoin meanwhile
LOOK_SECONDS_MAX = 1.0

log_line = telemetry.make_logger("worker")


class LaggingPartition(NamedTuple):
    """A partition that has more to read: the offset that is next, and the least stream time that it may have there."""

    offset: int
    stream_time_ms: int


class WaitTimes:
    """`clock` is in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._noted_at = clock()
        self._waits: dict[Partition, tuple[int, float]] = {}  # the offset at which we wait for it, and how long so far

    def select_waited_for(
        self, lagging_partitions: Mapping[Partition, LaggingPartition]
    ) -> dict[Partition, LaggingPartition]:
        """Those of these partitions for which others still wait."""
        return {p: at for p, at in lagging_partitions.items() if not self._is_given_up(p, at.offset)}

    def note(self, blocking: Mapping[Partition, LaggingPartition]) -> None:
        """Note that others wait for these partitions now."""
        now = self._clock()
        seconds, self._noted_at = min(now - self._noted_at, LOOK_SECONDS_MAX), now
        for partition, at in blocking.items():
            offset, waited = self._waits.get(partition, (at.offset, 0.0))
            self._waits[partition] = (at.offset, waited + seconds if offset == at.offset else 0.0)
            if self._is_given_up(partition, at.offset):
                telemetry.WORKER_WAITS_GIVEN_UP.labels(partition.topic, str(partition.number)).inc()
                log_line.warning(
                    "no longer waiting for partition",
                    partition=str(partition),
                    offset=at.offset,
                    reason=f"it has more to read and has not advanced for {WAIT_SECONDS:.0f} s",
                )

    def _is_given_up(self, partition: Partition, offset: int) -> bool:
        waited_at, seconds = self._waits.get(partition, (-1, 0.0))
        return waited_at == offset and seconds >= WAIT_SECONDS
