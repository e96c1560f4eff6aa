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
        self._notices: dict[str, str] = {}
        self._clean: set[str] = set()  # partitions and shards that are known to have no notice

    def publish(self, stops: Mapping[str, str], partitions: Collection[Partition]) -> None:
        """Write the stops that were found just now. Notices of other workers about our partitions are removed."""
        places = {*map(str, partitions), *(f"shard {shard}" for shard in self._shards)}
        self._write(stops, self._notices.keys() | (places - self._clean))
        self._clean = places - stops.keys()

    def add(self, stops: dict[str, str], place: str, reason: str) -> None:
        """Stop a partition or shard until positions are found again."""
        log_line.error("counting stopped", what=place, reason=reason)
        stops[place] = reason
        self._write(stops, self._notices.keys() | set())
        self._clean -= stops.keys()

    def _write(self, stops: Mapping[str, str], places_noticed: set[str]) -> None:
        """`places_noticed`: partitions and shards that may have a notice now."""
        for place in places_noticed - stops.keys():
            self._set(place, "")
        for place, reason in stops.items():
            self._set(place, reason)
        self._notices = dict(stops)
        telemetry.WORKER_STOPPED.set(len(stops))

    def _set(self, place: str, reason: str) -> None:
        for shard in self._shards:
            self._store.set_stop(shard, place, reason)
