"""Projects that records name and the worker does not know: they may have been made lately.   Stage 3 of 6.

A portion's unknown names are asked for when it is read, each name once in a while. Those of a whole batch are asked for
once more before it is applied. So no event becomes a dead letter whose project was made before the event was sent, and
a name that stays unknown costs one question a batch, however many records have it. The questions matter: the store
answers them only after the batch that it is busy with.
"""

from __future__ import annotations

from collections.abc import Iterable

from rtaplatform.core.sharding import shard_of
from rtaplatform.process.worker.positions import Positions
from rtaplatform.store.port import AggregateStore

NAMES_KEPT_MAX = 1_000


class ProjectLookup:
    """What was asked for in vain, lately and in the batch that is open."""

    def __init__(self, store: AggregateStore, shards: int) -> None:
        self._store, self._shards = store, shards
        self._in_vain: set[str] = set()
        self._in_batch: set[str] = set()

    def begin_batch(self) -> None:
        """Nothing is open any more."""
        self._in_batch.clear()

    def learn(self, positions: Positions, names: Iterable[str]) -> bool:
        """Ask for the names that were not asked for lately; whether any of them has become a project."""
        unknown = set(names)
        found = self._ask(positions, unknown - self._in_vain)
        self._in_batch |= unknown - found
        return bool(found)

    def learn_at_last(self, positions: Positions) -> bool:
        """Ask once more for the names of the whole batch; whether any has become a project meanwhile."""
        return bool(self._ask(positions, self._in_batch))

    def _ask(self, positions: Positions, names: Iterable[str]) -> set[str]:
        """Those that are projects by now; the positions have learnt of them."""
        by_shard: dict[int, list[str]] = {}
        for name in sorted(names):
            by_shard.setdefault(shard_of(name, self._shards), []).append(name)
        known: set[str] = set()
        for shard, asked in by_shard.items():
            if shard in positions.shards:
                found = self._store.projects(shard, asked)
                positions.learn(shard, found)
                known |= found.keys()
                self._remember_in_vain(set(asked) - found.keys())
        self._in_vain -= known
        return known

    def _remember_in_vain(self, names: set[str]) -> None:
        if len(self._in_vain) + len(names) > NAMES_KEPT_MAX:
            self._in_vain.clear()
        self._in_vain |= names
