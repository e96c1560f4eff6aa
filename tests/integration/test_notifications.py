"""What PostgreSQL tells of the catalog's changes, and what is kept of the catalog meanwhile: on the real server."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from rtaplatform.catalog.change_notifications import CatalogChange, CatalogChanges, CatalogListener, read_change
from rtaplatform.catalog.database import Database
from rtaplatform.catalog.demo_project import SeededDemoKeys, seed_demo
from rtaplatform.catalog.keys.key_admin import NewKey
from rtaplatform.catalog.keys.key_cache import KeyCache
from rtaplatform.catalog.keys.key_format import SCOPES_BY_KIND
from rtaplatform.catalog.keys.operator_keys import create_key, list_keys, revoke_key
from rtaplatform.catalog.products.product_tables import ProductTables
from rtaplatform.core.errors import Busy, InvalidParameter, Unavailable
from rtaplatform.local.servers.postgres import Postgres
from rtaplatform.settings import CatalogSettings
from tests.integration.catalog_site import wait_until
from tests.integration.servers import Running, empty_catalog

KEYS = SeededDemoKeys(write="rta_w_news", read="rta_r_news", admin="rta_a_news")
MANY = 100_000
BYTES_A_PRODUCT_MAX = 700
CLOCK_S = 0.002  # a sleep may end a millisecond early


@pytest.fixture
def settings(postgres_server: Running[Postgres]) -> CatalogSettings:
    return CatalogSettings(url=SecretStr(postgres_server.server.url), timeout_seconds=1.0)


@pytest.fixture
async def database(postgres_server: Running[Postgres], settings: CatalogSettings) -> AsyncIterator[Database]:
    await asyncio.to_thread(empty_catalog, postgres_server.server)
    new_database = Database(settings)
    await seed_demo(new_database, KEYS, users=[], products=[])
    yield new_database
    await new_database.close()


class Following:
    """The caches of a process, and its listener."""

    def __init__(self, database: Database, settings: CatalogSettings) -> None:
        self.keys, self.products = KeyCache(database, settings), ProductTables(database)
        self.news, self.changes = CatalogChanges(self.keys, self.products), list[CatalogChange]()
        self.listener = CatalogListener(settings, on_change=self._take, on_state=self.news.set_listening)

    def _take(self, change: CatalogChange) -> None:
        self.changes.append(change)
        self.news.note_change(change)


@asynccontextmanager
async def following(database: Database, settings: CatalogSettings) -> AsyncIterator[Following]:
    follower = Following(database, settings)
    task = asyncio.create_task(follower.listener.run())
    try:
        await wait_until(lambda: follower.products.is_listening)
        yield follower
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await follower.products.close()


async def execute(settings: CatalogSettings, statement: str) -> None:
    async with await psycopg.AsyncConnection.connect(settings.url.get_secret_value(), autocommit=True) as connection:
        await connection.execute(statement.encode())


async def insert_many(settings: CatalogSettings, first: int, last: int) -> None:
    await execute(
        settings,
        "INSERT INTO products (project_id, id, name, category, brand, price, currency, image_url) SELECT 'prj_demo', "
        "'product-' || n, 'A product named ' || n, 'category ' || n % 50, 'brand ' || n % 300, n % 1000 + 0.5, 'EUR', "
        f"'https://images.example.com/products/' || n || '.jpg' FROM generate_series({first}, {last}) n",
    )


async def test_changes_of_products_arrive_by_themselves(database: Database, settings: CatalogSettings) -> None:
    await insert_many(settings, 1, 3)
    async with following(database, settings) as here:
        table = await here.products.find_table("demo")
        assert table.by_id["product-1"].category == "category 1"
        await execute(settings, "UPDATE products SET category = 'shoes' WHERE id = 'product-1'")
        await wait_until(lambda: table.by_id["product-1"].category == "shoes")
        await execute(settings, "DELETE FROM products WHERE id = 'product-2'")
        await wait_until(lambda: "product-2" not in table.by_id)
        version = table.version
        await insert_many(settings, 10, 2_000)
        await wait_until(lambda: len(table.by_id) == 1_993)
        assert table.version > version
        assert [change.ids for change in here.changes] == [["product-1"], ["product-2"], None]


async def test_what_was_missed_is_read_after_a_reconnect(
    database: Database, settings: CatalogSettings, postgres_server: Running[Postgres]
) -> None:
    await insert_many(settings, 1, 3)
    async with following(database, settings) as here:
        table = await here.products.find_table("demo")
        postgres_server.kill()
        try:
            await wait_until(lambda: not here.products.is_listening)
            assert len((await here.products.find_table("demo")).by_id) == 3
        finally:
            postgres_server.start()
        await execute(settings, "UPDATE products SET category = 'shoes' WHERE id = 'product-1'")
        await wait_until(lambda: table.by_id["product-1"].category == "shoes")
        await wait_until(lambda: here.products.is_listening)


async def test_a_revoked_key_is_dead_at_once_and_a_made_one_known(
    database: Database, settings: CatalogSettings
) -> None:
    async with following(database, settings) as here:
        assert await here.keys.find("rta_w_unknown") is None
        new_key = await database.run(
            lambda connection: create_key(connection, "demo", NewKey("shop", SCOPES_BY_KIND["write"]))
        )
        assert new_key is not None
        assert await here.keys.find(new_key.key) is not None
        await database.run(lambda connection: revoke_key(connection, "demo", new_key.row.id))

        async def is_dead() -> bool:
            return await here.keys.find(new_key.key) is None

        await wait_until(is_dead, seconds=2)


async def test_a_key_expires_to_the_moment_while_it_is_cached(database: Database, settings: CatalogSettings) -> None:
    ring, end = KeyCache(database, settings), datetime.now(UTC) + timedelta(seconds=0.7)
    new_key = await database.run(
        lambda connection: create_key(connection, "demo", NewKey("shop", SCOPES_BY_KIND["write"], end))
    )
    assert new_key is not None
    assert await ring.find(new_key.key) is not None
    while datetime.now(UTC) < end - timedelta(seconds=0.02):
        assert await ring.find(new_key.key) is not None
        await asyncio.sleep(0.005)
    await asyncio.sleep(max(0.0, (end - datetime.now(UTC)).total_seconds()) + CLOCK_S)
    assert await ring.find(new_key.key) is None


async def test_an_expired_key_is_not_served_while_postgres_is_away(
    database: Database, settings: CatalogSettings, postgres_server: Running[Postgres]
) -> None:
    ring, end = KeyCache(database, settings), datetime.now(UTC) + timedelta(seconds=1)
    new_key = await database.run(
        lambda connection: create_key(connection, "demo", NewKey("shop", SCOPES_BY_KIND["write"], end))
    )
    assert new_key is not None
    assert await ring.find(new_key.key) is not None
    postgres_server.kill()
    try:
        await asyncio.sleep(1.1)
        assert await ring.find(new_key.key) is None
    finally:
        postgres_server.start()


async def test_use_is_written_in_one_batch_and_off_the_request_s_path(
    database: Database, settings: CatalogSettings
) -> None:
    ring = KeyCache(database, settings)
    for key in (KEYS.write, KEYS.read):
        assert await ring.find(key) is not None

    async def used() -> dict[str, datetime | None]:
        rows = await database.run(lambda connection: list_keys(connection, "demo"))
        return {row.id: row.last_used_at for row in rows}

    assert set((await used()).values()) == {None}
    await ring._write_used()
    first = await used()
    assert {id for id, at in first.items() if at} == {"key_demo_write", "key_demo_read"}
    await ring._write_used()
    assert await used() == first


class Counted:
    """A database, and how often it was asked."""

    reads = 0

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run(self, work: Any, **more: Any) -> Any:
        Counted.reads += 1
        return await self._database.run(work, **more)


async def test_a_hundred_thousand_products_fit(database: Database, settings: CatalogSettings) -> None:
    await insert_many(settings, 1, MANY)
    products = ProductTables(database)
    tracemalloc.start()
    table = await products.find_table("demo")
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(table.by_id) == MANY
    assert used < MANY * BYTES_A_PRODUCT_MAX
    small = ProductTables(Counted(database), products_max=MANY - 1)  # type: ignore[arg-type]  # a database that counts
    for _ in range(3):
        with pytest.raises(InvalidParameter):
            await small.find_table("demo")
    # That there are too many is remembered; what an answer shows is read by its ids, and kept for a while.
    reads = Counted.reads
    for _ in range(3):
        assert list(await small.find_products("demo", ["product-1", "nowhere"])) == ["product-1"]
        with pytest.raises(InvalidParameter):
            await small.find_table("demo")
    assert Counted.reads == reads + 1


async def test_nothing_known_and_postgres_away_is_unavailable(
    database: Database, settings: CatalogSettings, postgres_server: Running[Postgres]
) -> None:
    products = ProductTables(database)
    postgres_server.kill()
    try:
        for _ in range(3):
            with pytest.raises(Unavailable):
                await products.find_table("demo")
    finally:
        postgres_server.start()


async def test_the_projects_asked_for_last_are_kept(database: Database, settings: CatalogSettings) -> None:
    await execute(settings, "INSERT INTO projects (id, slug, name) VALUES ('prj_2', 'two', 'Two')")
    await insert_many(settings, 1, 80)
    await execute(
        settings, "INSERT INTO products (project_id, id) SELECT 'prj_2', 'p-' || n FROM generate_series(1, 50) n"
    )
    products = ProductTables(database, products_max=100)
    first = await products.find_table("demo")
    second = await products.find_table("two")
    assert (len(first.by_id), len(second.by_id)) == (80, 50)
    assert await products.find_table("two") is second
    assert await products.find_table("demo") is not first


async def test_two_large_projects_do_not_push_each_other_out_at_every_question(
    database: Database, settings: CatalogSettings
) -> None:
    await execute(settings, "INSERT INTO projects (id, slug, name) VALUES ('prj_2', 'two', 'Two')")
    await insert_many(settings, 1, 12_000)
    await execute(
        settings, "INSERT INTO products (project_id, id) SELECT 'prj_2', 'p-' || n FROM generate_series(1, 12000) n"
    )
    now = [1_000.0]
    products = ProductTables(database, lambda: now[0], products_max=20_000)
    await products.find_table("demo")
    second = await products.find_table("two")
    for _ in range(3):
        with pytest.raises(Busy, match="no room"):
            await products.find_table("demo")
        assert list(await products.find_products("demo", ["product-7"])) == ["product-7"]
        assert await products.find_table("two") is second
    now[0] += 61
    assert len((await products.find_table("demo")).by_id) == 12_000
    await products.close()


@pytest.mark.parametrize("payload", ["", "echo", "[]", '{"kind": 1}', '{"ids": "x"}', "\x00"])
def test_what_is_not_ours_on_the_channel_is_passed_over(payload: str) -> None:
    assert read_change(payload) is None
