"""Products, for the join of `/v1/products/popular`: from a cache, since the catalog never blocks an answer.

An entry is fresh for 30 s. While PostgreSQL is away what is known is served; what is not is simply not there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from msgspec import Struct
from sqlalchemy import select
from sqlalchemy.engine import Connection

from rtaplatform.catalog.database import Database
from rtaplatform.catalog.tables import PRODUCTS, PROJECTS
from rtaplatform.core.errors import Unavailable

ENTRIES_MAX = 20_000
FRESH_SECONDS = 30.0
AWAY_SECONDS = 2.0  # how long a failed server is left alone


class Product(Struct, frozen=True):
    id: str
    name: str | None
    category: str | None
    brand: str | None
    price: float | None
    currency: str | None
    image_url: str | None


class _Entry(NamedTuple):
    product: Product | None
    at: float


class Products:
    """Products by project and id."""

    def __init__(self, database: Database, now: Callable[[], float] = time.monotonic) -> None:
        self._database, self._now = database, now
        self._entries: dict[tuple[str, str], _Entry] = {}
        self._away_until = 0.0

    async def products_by_id(self, project: str, ids: Iterable[str]) -> dict[str, Product]:
        """The products of `project` (a slug) that are known; never raises for PostgreSQL's absence."""
        wanted = list(dict.fromkeys(ids))
        await self._refresh(project, wanted)
        found = {id: self._entries.get((project, id)) for id in wanted}
        return {id: entry.product for id, entry in found.items() if entry is not None and entry.product is not None}

    async def _refresh(self, project: str, ids: list[str]) -> None:
        now = self._now()
        missing = [id for id in ids if "\x00" not in id and self._is_old((project, id), now)]
        if not missing or now < self._away_until:
            return
        try:
            products = await self._database.run(lambda connection: _read(connection, project, missing))
        except Unavailable:
            self._away_until = now + AWAY_SECONDS
            return
        for id in missing:
            self._entries.pop((project, id), None)
            self._entries[project, id] = _Entry(products.get(id), now)
        while len(self._entries) > ENTRIES_MAX:
            del self._entries[next(iter(self._entries))]

    def _is_old(self, key: tuple[str, str], now: float) -> bool:
        entry = self._entries.get(key)
        return entry is None or now - entry.at > FRESH_SECONDS


def _read(connection: Connection, project: str, ids: list[str]) -> dict[str, Product]:
    columns = PRODUCTS.c
    rows = connection.execute(
        select(
            columns.id, columns.name, columns.category, columns.brand,
            columns.price, columns.currency, columns.image_url,
        )
        .join_from(PRODUCTS, PROJECTS).where(PROJECTS.c.slug == project, columns.id.in_(ids))
    )  # fmt: skip
    return {
        row[0]: Product(row[0], row[1], row[2], row[3], None if row[4] is None else float(row[4]), row[5], row[6])
        for row in rows
    }
