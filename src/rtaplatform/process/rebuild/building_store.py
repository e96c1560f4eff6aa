"""The store as a rebuild sees it: the worker that counts again reads and writes the generation being built.

Reads of what does not depend on a generation, and of the live one, go to the store as they are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from rtaplatform.core.projects import ProjectSettings
from rtaplatform.store.port import Delta, GenerationStore, LooseIdQuery, Outcome, ShardState


class RebuildStore(GenerationStore, Protocol):
    """The store as a rebuild uses it: the live generation, the one that is being built, and those that are neither."""

    def read_state(self, shard: int) -> ShardState | None: ...
    def read_blocks(self, shard: int, generation: str, names: Sequence[str]) -> list[bytes]: ...
    def read_loose_ids(self, shard: int, generation: str, query: LooseIdQuery) -> list[list[int]]: ...
    def read_persons(self, shard: int, generation: str, keys: Sequence[tuple[str, bytes]]) -> list[bytes]: ...
    def read_projects(self, shard: int, slugs: Sequence[str]) -> dict[str, ProjectSettings]: ...
    def read_clock_s(self) -> int: ...
    def read_retired(self, shard: int) -> Collection[str]: ...


class NotBuilt(Exception):
    """The shard is no longer building our generation."""


class BuildingStore:
    """The `AggregateStore` of a worker that counts into the generation being built. `stops`: what stops that worker."""

    def __init__(self, store: RebuildStore, names: Mapping[int, str]) -> None:
        self._store, self._names = store, names
        self.read_blocks, self.read_loose_ids = store.read_blocks, store.read_loose_ids
        self.read_persons, self.read_projects = store.read_persons, store.read_projects
        self.read_clock_s = store.read_clock_s
        self.stops: dict[str, str] = {}

    def read_state(self, shard: int) -> ShardState:
        state = self._store.read_building(shard)
        if state is None or state.generation != self._names[shard]:
            raise NotBuilt(shard)
        return state

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        return self._store.build(shard, generation, delta)

    def set_stop(self, shard: int, subject: str, reason: str) -> None:
        if reason:
            self.stops[subject] = reason
