"""All products of a project in memory, for the join. The catalog enriches answers and never blocks them.

The products of a project are read at its first query, and kept up to date by notifications (`change_notifications.py`).
While PostgreSQL is away, the products in memory are served. Without notifications (a pooler swallows them) a project in
use is read again every STALE_SECONDS. At most `products_max` products are kept; the least recently used project is
evicted first. A project that does not fit is remembered as such, and only the products that an answer shows are read.
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
GATHER_SECONDS = 0.02  # changes come in bursts
RETRY_SECONDS = 2.0  # how long a server that failed is not asked again
LISTENING_SECONDS = 900.0  # the greatest age of a table while notifications keep it up to date
STALE_SECONDS = 20.0  # its greatest age without notifications: changes show within 30 s
READ_SECONDS_MAX = 30.0
TOO_MANY_SECONDS = 600.0  # how long it is remembered that a project has too many products
EVICTED_SECONDS = 60.0  # how long a large project that was evicted for another is not read again
LARGE_PROJECT_PRODUCTS = 10_000
REFUSALS_MAX = 1_000


class _ProjectEntry:
    """One project. `table` is None until its products have been read."""

    def __init__(self) -> None:
        self.project_id = ""
        self.table: ProjectProductTable | None = None
        self.read_at = 0.0
        self.needs_reload = False
        self.changed_ids: set[str] = set()
        self.task: asyncio.Task[None] | None = None


class ProductTables:
    """The products of the projects in use. Lives on one event loop."""

    def __init__(
        self, database: Database, now: Callable[[], float] = time.monotonic, products_max: int = PRODUCTS_MAX
    ) -> None:
        self._database, self._now, self._products_max = database, now, products_max
        self._entries: dict[str, _ProjectEntry] = {}
        self._refusals: dict[str, tuple[float, PlatformError]] = {}
        self._named_products = NamedProducts(self._read_named, now)
        self._away_until = -RETRY_SECONDS
        self.is_listening = False

    async def find_table(self, project: str) -> ProjectProductTable:
        """All products of a project (a slug). Raises Unavailable if none were read yet, Rejected if too many."""
        self._raise_refusal(project)
        entry = self._entries.pop(project, None) or _ProjectEntry()
        self._entries[project] = entry
        if entry.table is None:
            await self._read_first_time(project, entry)
        elif self._now() - entry.read_at > (LISTENING_SECONDS if self.is_listening else STALE_SECONDS):
            entry.read_at = self._now()
            self._renew(project, entry)
        assert entry.table is not None
        return entry.table

    async def find_products(self, project: str, ids: Collection[str]) -> Mapping[str, Product]:
        """At least the products that exist among `ids`, even if the project is not kept whole. Raises Unavailable."""
        try:
            return (await self.find_table(project)).by_id
        except (InvalidParameter, Busy):
            return await self._named_products.find(project, ids)

    def note_change(self, project_id: str, ids: Iterable[str] | None) -> None:
        """These products of a project have changed; None: any may have."""
        for project, entry in self._entries.items():
            if entry.project_id == project_id:
                if ids is None:
                    self._renew(project, entry)
                else:
                    entry.changed_ids.update(ids)
                    self._start_following(project, entry)

    def reload(self) -> None:
        """Read all products again, because changes may have been missed."""
        for project, entry in self._entries.items():
            if entry.table is not None:
                self._renew(project, entry)

    async def close(self) -> None:
        tasks = [entry.task for entry in self._entries.values() if entry.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # inside ----------------------------------------------------------------------------------------------------

    def _raise_refusal(self, project: str) -> None:
        until, error = self._refusals.get(project, (0.0, None))
        if error is not None and self._now() < until:
            raise error.with_traceback(None)  # the same error is raised many times; its traceback must not grow

    def _refuse(self, project: str, error: PlatformError, seconds: float) -> None:
        self._refusals.pop(project, None)
        self._refusals[project] = self._now() + seconds, error
        while len(self._refusals) > REFUSALS_MAX:
            del self._refusals[next(iter(self._refusals))]

    async def _read_named(self, project: str, ids: list[str]) -> Mapping[str, Product]:
        return await self._database.run(
            lambda connection: _read_some(connection, _find_project_id(connection, project), ids)
        )

    async def _read_first_time(self, project: str, entry: _ProjectEntry) -> None:
        if entry.task is None:
            if self._now() < self._away_until:
                raise Unavailable("postgres", "No answer a moment ago.")
            entry.task = asyncio.create_task(self._read_all(project, entry))
            entry.task.add_done_callback(lambda task: self._end_first_read(project, entry, task))
        # Shielded: requests share this read, and one that is cancelled must not end it.
        await asyncio.shield(entry.task)

    def _end_first_read(self, project: str, entry: _ProjectEntry, task: asyncio.Task[None]) -> None:
        entry.task = None
        if task.cancelled() or task.exception() is not None:
            self._entries.pop(project, None)
        elif entry.changed_ids:
            self._start_following(project, entry)

    def _renew(self, project: str, entry: _ProjectEntry) -> None:
        entry.needs_reload = True
        self._start_following(project, entry)

    def _start_following(self, project: str, entry: _ProjectEntry) -> None:
        if entry.task is None and entry.table is not None:
            entry.task = asyncio.create_task(self._follow(project, entry))

    async def _follow(self, project: str, entry: _ProjectEntry) -> None:
        """Read changes until there are none left. Waits while PostgreSQL is away."""
        try:
            while (entry.needs_reload or entry.changed_ids) and self._entries.get(project) is entry:
                await asyncio.sleep(GATHER_SECONDS)
                try:
                    await (self._read_all(project, entry) if entry.needs_reload else self._read_changed(entry))
                except Unavailable:
                    await asyncio.sleep(RETRY_SECONDS)
                except InvalidParameter:  # too many by now: the next query is told so
                    self._entries.pop(project, None)
        finally:
            entry.task = None

    async def _read_all(self, project: str, entry: _ProjectEntry) -> None:
        """Read all products, in portions. Changes that arrive meanwhile are read afterwards."""
        entry.needs_reload = False
        try:
            entry.project_id = await self._database.run(lambda connection: _find_project_id(connection, project))
            by_id = await self._read_portions(entry.project_id)
        except InvalidParameter as error:
            self._refuse(project, error, TOO_MANY_SECONDS)
            raise
        except Unavailable:
            self._away_until, entry.needs_reload = self._now() + RETRY_SECONDS, entry.table is not None
            raise
        entry.read_at = self._now()
        if entry.table is None:
            entry.table = ProjectProductTable(by_id)
        else:
            await entry.table.replace(by_id)
        self._make_room()

    async def _read_portions(self, project_id: str) -> dict[str, Product]:
        by_id: dict[str, Product] = {}
        last: str | None = None
        while True:
            read_portion = partial(_read_after, project_id=project_id, last=last)
            portion = await self._database.run(read_portion, seconds=READ_SECONDS_MAX)
            by_id.update(portion)
            if len(by_id) > self._products_max:
                raise InvalidParameter(
                    f"The project has more than {self._products_max} products: their attributes are not joined.",
                    field="product_category", hint="Ask by product_id.",
                )  # fmt: skip
            if len(portion) < ROWS_AT_ONCE:
                return by_id
            last = next(reversed(portion))

    async def _read_changed(self, entry: _ProjectEntry) -> None:
        ids = list(itertools.islice(entry.changed_ids, IDS_AT_ONCE))
        entry.changed_ids.difference_update(ids)
        try:
            products = await self._database.run(lambda connection: _read_some(connection, entry.project_id, ids))
        except Unavailable:
            entry.changed_ids.update(ids)
            raise
        if entry.table is not None:
            entry.table.update(ids, products)

    def _make_room(self) -> None:
        sizes = {slug: len(entry.table.by_id) for slug, entry in self._entries.items() if entry.table is not None}
        total = sum(sizes.values())
        for slug in list(sizes)[:-1]:
            if total <= self._products_max:
                return
            total -= sizes[slug]
            del self._entries[slug]
            if sizes[slug] > LARGE_PROJECT_PRODUCTS:
                # Otherwise every query could evict one of two large projects and read it again.
                message = (
                    f"There is no room for the products of this project beside others': {self._products_max} in all."
                )
                self._refuse(slug, Busy(message, retry_after_seconds=int(EVICTED_SECONDS)), EVICTED_SECONDS)


_COLUMNS = (
    PRODUCTS.c.id, PRODUCTS.c.name, PRODUCTS.c.category, PRODUCTS.c.brand,
    PRODUCTS.c.price, PRODUCTS.c.currency, PRODUCTS.c.image_url,
)  # fmt: skip


def _find_project_id(connection: Connection, slug: str) -> str:
    """The project's id; empty, which no project has, if the project was deleted."""
    project_id = connection.scalar(select(PROJECTS.c.id).where(PROJECTS.c.slug == slug))
    return "" if project_id is None else str(project_id)


def _read_after(connection: Connection, project_id: str, last: str | None) -> dict[str, Product]:
    query = select(*_COLUMNS).where(PRODUCTS.c.project_id == project_id)
    query = query if last is None else query.where(PRODUCTS.c.id > last)
    return dict(map(_read_product, connection.execute(query.order_by(PRODUCTS.c.id).limit(ROWS_AT_ONCE))))


def _read_some(connection: Connection, project_id: str, ids: list[str]) -> dict[str, Product]:
    query = select(*_COLUMNS).where(PRODUCTS.c.project_id == project_id, PRODUCTS.c.id.in_(ids))
    return dict(map(_read_product, connection.execute(query)))


def _read_product(row: Any) -> tuple[str, Product]:
    id, name, category, brand, price, currency, image_url = row
    labels = (_intern(category), _intern(brand))
    return str(id), Product(_to_text(name), *labels, _to_number(price), _intern(currency), _to_text(image_url))


def _to_text(value: object) -> str | None:
    return None if value is None else str(value)


def _intern(value: object) -> str | None:
    """One string object for all products that share it."""
    return None if value is None else intern(str(value))


def _to_number(value: object) -> float | None:
    return None if value is None else float(str(value))
