"""Counts in memory how often a record has ended a worker, as `store/redis/redis_ends.py` does.   Stage 4 of 6."""

from __future__ import annotations

from collections.abc import Sequence

from rtaplatform.store.memory.memory_store import MemoryStore
from rtaplatform.store.port import ENDS_KEPT_MAX


class MemoryEnds:
    """The counts are part of the first shard, and go back in time with it."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def read_ends(self) -> dict[str, int]:
        self._store.read_clock_s()
        return dict(self._store.shards[0].ends)

    def count_ends(self, names: Sequence[str]) -> None:
        ends = self._store.shards[0].ends
        if len(ends) + len(names) > ENDS_KEPT_MAX:
            ends.clear()
        for name in names:
            ends[name] = ends.get(name, 0) + 1

    def forget_ends(self, names: Sequence[str]) -> None:
        for name in names:
            self._store.shards[0].ends.pop(name, None)
