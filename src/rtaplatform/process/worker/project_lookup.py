"""Projects that records name and the worker does not know: they may be new.   Stage 3 of 6: stream → [process] → store.

The unknown names of a portion are looked up when it is read, each name once in a while. The unknown names of a whole
batch are looked up again before it is applied. So an event never becomes a dead letter if its project was made before
the event was sent. A name that stays unknown costs one lookup a batch, however many records have it. Lookups are worth
saving, because the store answers them only after the batch that it is busy with.
"""

from __future__ import annotations

from collections.abc import Iterable

from rtaplatform.core.sharding import find_shard
from rtaplatform.process.worker.positions import Positions
from rtaplatform.store.port import AggregateStore

NAMES_KEPT_MAX = 1_000


class ProjectLookup:
    """Remembers the names that were not found, lately and in the open batch."""

    def __init__(self, store: AggregateStore, shards: int) -> None:
        self._store, self._shards = store, shards
        self._unknown_lately: set[str] = set()
        self._unknown_in_batch: set[str] = set()

    def begin_batch(self) -> None:
        """No batch is open any more."""
        self._unknown_in_batch.clear()

    def learn(self, positions: Positions, names: Iterable[str]) -> bool:
        """Look up the names that were not looked up lately. Return whether any of them is a project now."""
        unknown = set(names)
        projects = self._look_up(positions, unknown - self._unknown_lately)
        self._unknown_in_batch |= unknown - projects
        return bool(projects)

    def learn_whole_batch(self, positions: Positions) -> bool:
        """Look up the unknown names of the whole batch again. Return whether any of them is a project now."""
        return bool(self._look_up(positions, self._unknown_in_batch))

    def _look_up(self, positions: Positions, names: Iterable[str]) -> set[str]:
        """Return the names that are projects by now, after adding them to the positions."""
        names_by_shard: dict[int, list[str]] = {}
        for name in sorted(names):
            names_by_shard.setdefault(find_shard(name, self._shards), []).append(name)
        project_names: set[str] = set()
        for shard, shard_names in names_by_shard.items():
            if shard in positions.shards:
                projects = self._store.read_projects(shard, shard_names)
                positions.add_projects(shard, projects)
                project_names |= projects.keys()
                self._remember_unknown(set(shard_names) - projects.keys())
        self._unknown_lately -= project_names
        return project_names

    def _remember_unknown(self, names: set[str]) -> None:
        if len(self._unknown_lately) + len(names) > NAMES_KEPT_MAX:
            self._unknown_lately.clear()
        self._unknown_lately |= names
