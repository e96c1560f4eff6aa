"""A store's server in the simulated world, as its operator and its misfortunes handle it."""

from __future__ import annotations

import pickle
from typing import Any, Protocol

from rtaplatform.core.caps import CAPS, Caps
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.store.memory.memory_store import MemoryStore
from tests.comparison import Totals, read_memory_totals
from tests.simulation.persons import Values, read_values

HALF = "demo|applied"  # what a torn batch has written, of all that it should have
PROJECTS = [
    ProjectSettings("demo", "Europe/Berlin", "EUR", event_properties=("query", "currency", "quantity", "products")),
    ProjectSettings("other", "Asia/Kolkata", "USD", user_traits=("country", "plan")),
]
RULES = {
    project.slug: {
        "zone": project.zone,
        "currency": project.currency,
        "event_properties": project.event_properties,
        "user_traits": project.user_traits,
    }
    for project in PROJECTS
}  # of the oracle


class Home(Protocol):
    """A store's server, as its operator and its misfortunes handle it."""

    store: Any  # `AggregateStore`, and `begin`
    generations: Any  # `GenerationStore`, over the same server

    def set_projects(self, version: str) -> None: ...
    def touch_projects(self, version: str) -> None: ...
    def take_snapshot(self, shard: int) -> Any: ...
    def restore(self, shard: int, past: Any) -> None: ...
    def empty(self, shard: int) -> None: ...
    def tear(self, shard: int) -> None: ...
    def read_totals(self) -> Totals: ...
    def read_values(self) -> Values: ...


class MemoryHome:
    def __init__(self, shards: int, caps: Caps = CAPS) -> None:
        self.store = self.generations = MemoryStore(shards, caps)

    def set_projects(self, version: str) -> None:
        self.store.set_projects(PROJECTS, version)

    def touch_projects(self, version: str) -> None:
        for shard in self.store.shards:
            shard.projects_version = version

    def take_snapshot(self, shard: int) -> Any:
        return pickle.dumps(self.store.shards[shard])

    def restore(self, shard: int, past: Any) -> None:
        self.store.shards[shard] = pickle.loads(past)  # noqa: S301  (our own)

    def empty(self, shard: int) -> None:
        self.store.empty(shard)

    def tear(self, shard: int) -> None:
        totals = self.store.shards[shard].totals
        totals.inflight = "half of a batch"
        totals.counts[HALF] = totals.counts.get(HALF, 0) + 1

    def read_totals(self) -> Totals:
        return read_memory_totals(self.store)

    def read_values(self) -> Values:
        return read_values(self.store)
