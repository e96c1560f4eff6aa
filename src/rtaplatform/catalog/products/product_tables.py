"""Products of projects, whole, for the join: the catalog enriches answers and is never in their way.

A project's products are read at its first question, and kept up to date by notifications (`change_notifications.py`).
While PostgreSQL is away what is known is served. Without notifications (a pooler swallows them) a project is read
again every STALE_SECONDS while it is asked for. Bounded: `products_max` in all, the least recently asked go first.
A project that does not fit is remembered as such, and only the products that an answer shows are read of it.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from sys import intern
from typing import Any

from sqlalchemy import select
from sqlalchemy.engine import Connection

from rtaplatform.catalog.database import Database
from rtaplatform.catalog.products.named_products import NamedProducts
from rtaplatform.catalog.products.product_table import Product, ProjectProductTable
from rtaplatform.catalog.tables import PRODUCTS, PROJECTS
from rtaplatform.core.errors import Busy, InvalidParameter, PlatformError, Unavailable

PRODUCTS_MAX = 400_000
ROWS_AT_ONCE = 5_000
IDS_AT_ONCE = 1_000
GATHER_SECONDS = 0.02  # changes come in flocks
RETRY_SECONDS = 2.0  # how long a failed server is left alone
LISTENING_SECONDS = 900.0  # how old a table may be that notifications keep up to date
STALE_SECONDS = 20.0  # … and one that they do not: changes show within 30 s
READ_SECONDS_MAX = 30.0
TOO_MANY_SECONDS = 600.0  # how long it is remembered that a project has too many products
LEFT_OUT_SECONDS = 60.0  # … and how long a large project waits that had to make room for another
LARGE = 10_000
REFUSALS_MAX = 1_000


class _ProjectProducts:
    """What is known of a project. `table` None: nothing yet."""

    def __init__(self) -> None:
        self.project_id = ""
        self.table: ProjectProductTable | None = None
        self.read_at = 0.0
        self.reload = False
        self.changed: set[str] = set()
        self.task: asyncio.Task[None] | None = None


class ProductTables:
    """The products of the projects that were asked for last. Lives on one event loop."""

    def __init__(
        self, database: Database, now: Callable[[], float] = time.monotonic, products_max: int = PRODUCTS_MAX
    ) -> None:
        self._database, self._now, self._products_max = database, now, products_max
        self._shelves: dict[str, _ProjectProducts] = {}
        self._refusals: dict[str, tuple[float, PlatformError]] = {}
        self._named = NamedProducts(self._read_named, now)
        self._away_until = -RETRY_SECONDS
        self.is_listening = False

    async def products(self, project: str) -> ProjectProductTable:
        """Those of `project` (a slug); raises Unavailable where nothing is known, Rejected where they are too many."""
        self._raise_refusal(project)
        shelf = self._shelves.pop(project, None) or _ProjectProducts()
        self._shelves[project] = shelf
        if shelf.table is None:
            await self._first(project, shelf)
        elif self._now() - shelf.read_at > (LISTENING_SECONDS if self.is_listening else STALE_SECONDS):
            shelf.read_at = self._now()
            self._renew(project, shelf)
        assert shelf.table is not None
        return shelf.table

    async def some(self, project: str, ids: Collection[str]) -> Mapping[str, Product]:
        """At least those of `ids` that there are, also of a project that is not kept whole; raises Unavailable."""
        try:
            return (await self.products(project)).by_id
        except (InvalidParameter, Busy):
            return await self._named.some(project, ids)

    def change(self, project_id: str, ids: Iterable[str] | None) -> None:
        """Some products of a project have changed, or (None) nobody knows which."""
        for project, shelf in self._shelves.items():
            if shelf.project_id == project_id:
                if ids is None:
                    self._renew(project, shelf)
                else:
                    shelf.changed.update(ids)
                    self._start(project, shelf)

    def reload(self) -> None:
        """Changes may have been missed: read everything again."""
        for project, shelf in self._shelves.items():
            if shelf.table is not None:
                self._renew(project, shelf)

    async def close(self) -> None:
        tasks = [shelf.task for shelf in self._shelves.values() if shelf.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # inside ----------------------------------------------------------------------------------------------------

    def _raise_refusal(self, project: str) -> None:
        until, error = self._refusals.get(project, (0.0, None))
        if error is not None and self._now() < until:
            raise error.with_traceback(None)  # it is raised again and again, and must not grow

    def _refuse(self, project: str, error: PlatformError, seconds: float) -> None:
        self._refusals.pop(project, None)
        self._refusals[project] = self._now() + seconds, error
        while len(self._refusals) > REFUSALS_MAX:
            del self._refusals[next(iter(self._refusals))]

    async def _read_named(self, project: str, ids: list[str]) -> Mapping[str, Product]:
        return await self._database.run(
            lambda connection: _read_some(connection, _project_id(connection, project), ids)
        )

    async def _first(self, project: str, shelf: _ProjectProducts) -> None:
        if shelf.task is None:
            if self._now() < self._away_until:
                raise Unavailable("postgres", "No answer a moment ago.")
            shelf.task = asyncio.create_task(self._read(project, shelf))
            shelf.task.add_done_callback(lambda done: self._read_once(project, shelf, done))
        # Shielded: the reading is shared, and one request that goes away must not end it.
        await asyncio.shield(shelf.task)

    def _read_once(self, project: str, shelf: _ProjectProducts, task: asyncio.Task[None]) -> None:
        shelf.task = None
        if task.cancelled() or task.exception() is not None:
            self._shelves.pop(project, None)
        elif shelf.changed:
            self._start(project, shelf)

    def _renew(self, project: str, shelf: _ProjectProducts) -> None:
        shelf.reload = True
        self._start(project, shelf)

    def _start(self, project: str, shelf: _ProjectProducts) -> None:
        if shelf.task is None and shelf.table is not None:
            shelf.task = asyncio.create_task(self._follow(project, shelf))

    async def _follow(self, project: str, shelf: _ProjectProducts) -> None:
        """Read what has changed, until nothing has; waits out an absence of PostgreSQL."""
        try:
            while (shelf.reload or shelf.changed) and self._shelves.get(project) is shelf:
                await asyncio.sleep(GATHER_SECONDS)
                try:
                    await (self._read(project, shelf) if shelf.reload else self._read_changed(shelf))
                except Unavailable:
                    await asyncio.sleep(RETRY_SECONDS)
                except InvalidParameter:  # too many by now: the next question says so
                    self._shelves.pop(project, None)
        finally:
            shelf.task = None

    async def _read(self, project: str, shelf: _ProjectProducts) -> None:
        """All of them, in portions; what changes meanwhile is read afterwards."""
        shelf.reload = False
        try:
            shelf.project_id = await self._database.run(lambda connection: _project_id(connection, project))
            by_id = await self._read_portions(shelf.project_id)
        except InvalidParameter as error:
            self._refuse(project, error, TOO_MANY_SECONDS)
            raise
        except Unavailable:
            self._away_until, shelf.reload = self._now() + RETRY_SECONDS, shelf.table is not None
            raise
        shelf.read_at = self._now()
        if shelf.table is None:
            shelf.table = ProjectProductTable(by_id)
        else:
            await shelf.table.replace(by_id)
        self._make_room()

    async def _read_portions(self, project_id: str) -> dict[str, Product]:
        by_id: dict[str, Product] = {}
        last: str | None = None
        while True:
            read = partial(_read_after, project_id=project_id, last=last)
            found = await self._database.run(read, seconds=READ_SECONDS_MAX)
            by_id.update(found)
            if len(by_id) > self._products_max:
                raise InvalidParameter(
                    f"The project has more than {self._products_max} products: their attributes are not joined.",
                    field="product_category", hint="Ask by product_id.",
                )  # fmt: skip
            if len(found) < ROWS_AT_ONCE:
                return by_id
            last = next(reversed(found))

    async def _read_changed(self, shelf: _ProjectProducts) -> None:
        ids = list(itertools.islice(shelf.changed, IDS_AT_ONCE))
        shelf.changed.difference_update(ids)
        try:
            found = await self._database.run(lambda connection: _read_some(connection, shelf.project_id, ids))
        except Unavailable:
            shelf.changed.update(ids)
            raise
        if shelf.table is not None:
            shelf.table.put(ids, found)

    def _make_room(self) -> None:
        sizes = {slug: len(shelf.table.by_id) for slug, shelf in self._shelves.items() if shelf.table is not None}
        total = sum(sizes.values())
        for slug in list(sizes)[:-1]:
            if total <= self._products_max:
                return
            total -= sizes[slug]
            del self._shelves[slug]
            if sizes[slug] > LARGE:
                # Two large projects would else be read in turn, whole, at every question.
                said = f"There is no room for the products of this project beside others': {self._products_max} in all."
                self._refuse(slug, Busy(said, retry_after_seconds=int(LEFT_OUT_SECONDS)), LEFT_OUT_SECONDS)


_COLUMNS = (
    PRODUCTS.c.id, PRODUCTS.c.name, PRODUCTS.c.category, PRODUCTS.c.brand,
    PRODUCTS.c.price, PRODUCTS.c.currency, PRODUCTS.c.image_url,
)  # fmt: skip


def _project_id(connection: Connection, slug: str) -> str:
    """The project's id; empty, which no project has, where it is gone."""
    found = connection.scalar(select(PROJECTS.c.id).where(PROJECTS.c.slug == slug))
    return "" if found is None else str(found)


def _read_after(connection: Connection, project_id: str, last: str | None) -> dict[str, Product]:
    query = select(*_COLUMNS).where(PRODUCTS.c.project_id == project_id)
    query = query if last is None else query.where(PRODUCTS.c.id > last)
    return dict(map(_product, connection.execute(query.order_by(PRODUCTS.c.id).limit(ROWS_AT_ONCE))))


def _read_some(connection: Connection, project_id: str, ids: list[str]) -> dict[str, Product]:
    query = select(*_COLUMNS).where(PRODUCTS.c.project_id == project_id, PRODUCTS.c.id.in_(ids))
    return dict(map(_product, connection.execute(query)))


def _product(row: Any) -> tuple[str, Product]:
    id, name, category, brand, price, currency, image_url = row
    shared = (_shared(category), _shared(brand))
    return str(id), Product(_text(name), *shared, _number(price), _shared(currency), _text(image_url))


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _shared(value: object) -> str | None:
    """One string for all products that have it."""
    return None if value is None else intern(str(value))


def _number(value: object) -> float | None:
    return None if value is None else float(str(value))
