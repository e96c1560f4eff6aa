"""Which partitions and shards are stopped and why, as readers are told.   Stage 3 of 6: stream → [process] → store."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from rtaplatform import telemetry
from rtaplatform.stream.port import Partition

log_line = telemetry.make_logger("worker")


class StopStore(Protocol):
    def set_stop(self, shard: int, subject: str, reason: str) -> None: ...


class StopNotices:
    """The worker that finds a stop writes it to every shard; any worker that finds the stop gone removes it."""

    def __init__(self, store: StopStore, shards: Collection[int]) -> None:
        self._store, self._shards = store, shards
        self._published: dict[str, str] = {}
        self._clean: set[str] = set()  # partitions and shards that are known to have no notice

    def publish(self, stops: Mapping[str, str], partitions: Collection[Partition]) -> None:
        """Write the stops that were found just now. Notices of other workers about our partitions are removed."""
        ours = {*map(str, partitions), *(f"shard {shard}" for shard in self._shards)}
        self._write(stops, self._published.keys() | (ours - self._clean))
        self._clean = ours - stops.keys()

    def add(self, stops: dict[str, str], stopped: str, reason: str) -> None:
        """Stop a partition or shard until positions are found again."""
        log_line.error("counting stopped", what=stopped, reason=reason)
        stops[stopped] = reason
        self._write(stops, self._published.keys() | set())
        self._clean -= stops.keys()

    def _write(self, stops: Mapping[str, str], noticed: set[str]) -> None:
        """`noticed`: partitions and shards that may have a notice now."""
        for stopped in noticed - stops.keys():
            self._set(stopped, "")
        for stopped, reason in stops.items():
            self._set(stopped, reason)
        self._published = dict(stops)
        telemetry.WORKER_STOPPED.set(len(stops))

    def _set(self, stopped: str, reason: str) -> None:
        for shard in self._shards:
            self._store.set_stop(shard, stopped, reason)
