"""Single products by their ids, for projects that have too many to be kept whole.

Products are cached for a while, at most PRODUCTS_MAX of all projects together. While PostgreSQL is away they are served
for longer: the catalog enriches answers and never blocks them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Generic, NamedTuple, TypeVar

from rtaplatform.core.errors import Unavailable

PRODUCTS_MAX = 20_000
FRESH_SECONDS = 30.0
AT_ONCE = 2  # the pool has few connections

P = TypeVar("P")


class _NamedProduct(NamedTuple, Generic[P]):
    product: P | None
    read_at: float


class NamedProducts(Generic[P]):
    """`read` reads products of a project (a slug) from PostgreSQL. It raises Unavailable."""

    def __init__(self, read: Callable[[str, list[str]], Awaitable[Mapping[str, P]]], now: Callable[[], float]) -> None:
        self._read, self._now = read, now
        self._entries: dict[tuple[str, str], _NamedProduct[P]] = {}
        self._read_slots = asyncio.Semaphore(AT_ONCE)

    async def find(self, project: str, ids: Collection[str]) -> dict[str, P]:
        """The products that exist among `ids`. Raises Unavailable if none of them was ever read."""
        stale_ids = [id for id in ids if not self._is_fresh(project, id)]
        try:
            if stale_ids:
                async with self._read_slots:
                    self._keep(project, stale_ids, await self._read(project, stale_ids))
        except Unavailable:
            if all((project, id) not in self._entries for id in ids):
                raise
        entries = {id: self._entries.get((project, id)) for id in ids}
        return {id: entry.product for id, entry in entries.items() if entry is not None and entry.product is not None}

    def _is_fresh(self, project: str, id: str) -> bool:
        entry = self._entries.get((project, id))
        return entry is not None and self._now() - entry.read_at <= FRESH_SECONDS

    def _keep(self, project: str, ids: Collection[str], products: Mapping[str, P]) -> None:
        for id in ids:
            self._entries.pop((project, id), None)
            self._entries[project, id] = _NamedProduct(products.get(id), self._now())
        while len(self._entries) > PRODUCTS_MAX:
            del self._entries[next(iter(self._entries))]
