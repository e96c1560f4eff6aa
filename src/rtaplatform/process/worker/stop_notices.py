"""What stands still and why, as readers are told.   Stage 3 of 6: stream → [process] → store."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from rtaplatform import telemetry
from rtaplatform.stream.port import Partition

log_line = telemetry.logger("worker")


class StopStore(Protocol):
    def set_stop(self, shard: int, what: str, reason: str) -> None: ...


class StopNotices:
    """A stop is told in each shard, by whoever finds it. Whoever finds the partition or shard well takes it back."""

    def __init__(self, store: StopStore, shards: Collection[int]) -> None:
        self._store, self._shards = store, shards
        self._told: dict[str, str] = {}
        self._found_well: set[str] = set()  # of which nobody tells a stop any more

    def begin(self, stops: Mapping[str, str], partitions: Collection[Partition]) -> None:
        """`stops` is what was found just now. What other workers told of our partitions is taken back too."""
        ours = {*map(str, partitions), *(f"shard {shard}" for shard in self._shards)}
        self._tell(stops, self._told.keys() | (ours - self._found_well))
        self._found_well = ours - stops.keys()

    def add(self, stops: dict[str, str], what: str, reason: str) -> None:
        """A partition or shard stands still from now on, until positions are found anew."""
        log_line.error("stopped", what=what, reason=reason)
        stops[what] = reason
        self._tell(stops, self._told.keys() | set())
        self._found_well -= stops.keys()

    def _tell(self, stops: Mapping[str, str], known: set[str]) -> None:
        """`known`: what somebody may have told."""
        for what in known - stops.keys():
            self._set(what, "")
        for what, reason in stops.items():
            self._set(what, reason)
        self._told = dict(stops)
        telemetry.WORKER_STOPPED.set(len(stops))

    def _set(self, what: str, reason: str) -> None:
        for shard in self._shards:
            self._store.set_stop(shard, what, reason)
