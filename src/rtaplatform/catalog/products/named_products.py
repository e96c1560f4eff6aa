"""Single products by their ids, for projects that have too many to be kept whole.

What was read is kept for a while, at most PRODUCTS_MAX of all projects together. While PostgreSQL is away it is
served longer: the catalog enriches answers and is never in their way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Generic, NamedTuple, TypeVar

from rtaplatform.core.errors import Unavailable

PRODUCTS_MAX = 20_000
FRESH_SECONDS = 30.0
AT_ONCE = 2  # of the pool's few connections

P = TypeVar("P")


class _NamedProduct(NamedTuple, Generic[P]):
    product: P | None
    at: float


class NamedProducts(Generic[P]):
    """`read` asks PostgreSQL for some ids of a project (a slug); it raises Unavailable."""

    def __init__(self, read: Callable[[str, list[str]], Awaitable[Mapping[str, P]]], now: Callable[[], float]) -> None:
        self._read, self._now = read, now
        self._entries: dict[tuple[str, str], _NamedProduct[P]] = {}
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def some(self, project: str, ids: Collection[str]) -> dict[str, P]:
        """Those of `ids` that there are; raises Unavailable where none of them was ever read."""
        missing = [id for id in ids if not self._is_fresh(project, id)]
        try:
            if missing:
                async with self._turn:
                    self._keep(project, missing, await self._read(project, missing))
        except Unavailable:
            if all((project, id) not in self._entries for id in ids):
                raise
        entries = {id: self._entries.get((project, id)) for id in ids}
        return {id: entry.product for id, entry in entries.items() if entry is not None and entry.product is not None}

    def _is_fresh(self, project: str, id: str) -> bool:
        entry = self._entries.get((project, id))
        return entry is not None and self._now() - entry.at <= FRESH_SECONDS

    def _keep(self, project: str, ids: Collection[str], found: Mapping[str, P]) -> None:
        for id in ids:
            self._entries.pop((project, id), None)
            self._entries[project, id] = _NamedProduct(found.get(id), self._now())
        while len(self._entries) > PRODUCTS_MAX:
            del self._entries[next(iter(self._entries))]
