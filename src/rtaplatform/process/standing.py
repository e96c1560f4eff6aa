"""Which partitions have more to read and do not move.   Stage 3 of 6: stream → [process] → store.   Pure.

A partition that stands is sought again: once for each place, since what is left there may be no records at all.
"""

from __future__ import annotations

from collections.abc import Mapping

from rtaplatform.stream.port import Extent, Partition

IDLE_SECONDS = 5.0
BUSY_SECONDS = 60.0  # while others keep the worker busy, a partition may only be waiting for its turn


class Standing:
    def __init__(self) -> None:
        self._since: dict[Partition, tuple[int, float]] = {}  # where it stands, and since when we know
        self._sought: dict[Partition, int] = {}

    def look(
        self, following: Mapping[Partition, int], extents: Mapping[Partition, Extent], now: float, *, is_idle: bool
    ) -> Partition | None:
        """One that is to be sought again. `following`: the offset that comes next for us; `now` in seconds."""
        before, self._since = self._since, {}
        for partition, extent in extents.items():
            at = following[partition]
            if at < extent.high:
                known = before.get(partition)
                self._since[partition] = known if known and known[0] == at else (at, now)
        patience = IDLE_SECONDS if is_idle else BUSY_SECONDS
        for partition, (at, since) in self._since.items():
            if now - since >= patience and self._sought.get(partition) != at:
                self._sought[partition] = at
                return partition
        return None
