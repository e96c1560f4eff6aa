"""The catalog on the real PostgreSQL: migrations on data, the demo's seed, keys while the server is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from rtaplatform.catalog import migrate
from rtaplatform.catalog.database import Database
from rtaplatform.catalog.demo_project import SeededDemoKeys, seed_demo
from rtaplatform.catalog.keys.key_admin import NewKey
from rtaplatform.catalog.keys.key_cache import KeyCache
from rtaplatform.catalog.keys.key_format import SCOPES_BY_KIND, hash_key, make_key
from rtaplatform.catalog.keys.key_roster import LISTED_BYTES, read_listed
from rtaplatform.catalog.keys.operator_keys import create_key, list_keys, revoke_key
from rtaplatform.catalog.products.product_tables import ProductTables
from rtaplatform.catalog.projects.project_list import list_projects
from rtaplatform.core.errors import Unavailable
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.local.servers.postgres import Postgres
from rtaplatform.settings import CatalogSettings
from rtaplatform.simulate.shop.demo_catalog import draw_products, draw_users
from tests.integration.servers import APP_ROLE, Running, empty_catalog, read_revision

KEYS = SeededDemoKeys(write="rta_w_demo", read="rta_r_demo", admin="rta_a_demo")


class Clock:
    """Time that a test moves."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def url(postgres_server: Running[Postgres]) -> str:
    return postgres_server.server.url


@pytest.fixture
def settings(url: str) -> CatalogSettings:
    return CatalogSettings(url=SecretStr(url), timeout_seconds=1.0)


@pytest.fixture
async def database(postgres_server: Running[Postgres], settings: CatalogSettings) -> AsyncIterator[Database]:
    await asyncio.to_thread(empty_catalog, postgres_server.server)
    new_database = Database(settings)
    await seed_demo(new_database, KEYS, users=draw_users(50, 1), products=draw_products(20, 1))
    yield new_database
    await new_database.close()


async def test_migrations_go_up_and_down_on_data(database: Database, postgres_server: Running[Postgres]) -> None:
    url = postgres_server.server.owner_url
    assert await asyncio.to_thread(read_revision, url) == migrate.read_head_revision()
    await asyncio.to_thread(migrate.upgrade, url, app_role=APP_ROLE)
    assert len(await list_projects(database)) == 1
    await asyncio.to_thread(migrate.downgrade, url, "base")
    assert await asyncio.to_thread(read_revision, url) is None
    with pytest.raises(Unavailable):
        await database.check()
    await asyncio.to_thread(migrate.upgrade, url, app_role=APP_ROLE)
    await database.check()


async def test_seed_is_idempotent(database: Database) -> None:
    users, products = draw_users(2_000, 1), draw_products(200, 1)
    for _ in range(2):
        await seed_demo(database, KEYS, users=users, products=products)
    counts = await database.run(
        lambda connection: [
            connection.scalar(text(f"SELECT count(*) FROM {table}"))
            for table in ("projects", "keys", "users", "products")
        ]
    )
    assert counts == [1, 3, 2_000, 200]
    assert await list_projects(database) == [ProjectSettings("demo", "Europe/Berlin", "EUR", "monday")]


async def test_no_key_stands_in_the_database(database: Database) -> None:
    rows = await database.run(
        lambda connection: connection.execute(text("SELECT keys::text FROM keys")).scalars().all()
    )
    assert not [row for row in rows for key in (KEYS.write, KEYS.read, KEYS.admin) if key in row]


async def test_keys_open_what_they_are_for(database: Database, settings: CatalogSettings) -> None:
    ring = KeyCache(database, settings)
    write, admin = await ring.find(KEYS.write), await ring.find(KEYS.admin)
    assert write is not None
    assert admin is not None
    assert (write.project, set(write.scopes)) == ("demo", {"collect"})
    assert admin.scopes == {"collect", "read", "catalog:read", "catalog:write", "admin"}
    for wrong in ("", "x" * 10_000, make_key("write"), KEYS.write + " ", "\x00", "' OR 1=1 --", "ключ"):
        assert await ring.find(wrong) is None


async def test_made_key_is_known_until_it_is_revoked_or_expires(database: Database, settings: CatalogSettings) -> None:
    clock = Clock()
    ring = KeyCache(database, settings, clock)
    new_key = await database.run(
        lambda connection: create_key(connection, "demo", NewKey("shop", SCOPES_BY_KIND["read"]))
    )
    past = NewKey("old", SCOPES_BY_KIND["read"], datetime.now(UTC) - timedelta(seconds=1))
    expired = await database.run(lambda connection: create_key(connection, "demo", past))
    assert new_key is not None
    assert expired is not None
    assert await ring.find(expired.key) is None
    assert await ring.find(new_key.key) is not None
    assert await database.run(lambda connection: revoke_key(connection, "demo", new_key.row.id))
    assert not await database.run(lambda connection: revoke_key(connection, "demo", new_key.row.id))
    clock.now += 51
    assert await ring.find(new_key.key) is None
    await ring._write_used()
    shown = await database.run(lambda connection: list_keys(connection, "demo"))
    assert new_key.key not in str(shown)
    assert next(row for row in shown if row.id == new_key.row.id).last_used_at is not None


async def test_the_roster_lists_the_keys_that_open_something(database: Database, settings: CatalogSettings) -> None:
    """So they pass from an address that has guessed all that it may, and only they."""
    clock = Clock()
    ring = KeyCache(database, settings, clock)
    for key in (KEYS.write, KEYS.read, KEYS.admin):
        assert await ring.find_from("1.2.3.4", key, may_guess=False) is not None
    new_key = await database.run(
        lambda connection: create_key(connection, "demo", NewKey("shop", SCOPES_BY_KIND["read"]))
    )
    past = NewKey("old", SCOPES_BY_KIND["read"], datetime.now(UTC) - timedelta(seconds=1))
    expired = await database.run(lambda connection: create_key(connection, "demo", past))
    assert new_key is not None
    assert expired is not None
    clock.now += 11
    assert await ring.find_from("1.2.3.4", new_key.key, may_guess=False) is not None
    assert await database.run(lambda connection: revoke_key(connection, "demo", new_key.row.id))
    listed = await database.run(read_listed)
    assert sorted(listed[at : at + LISTED_BYTES] for at in range(0, len(listed), LISTED_BYTES)) == sorted(
        hash_key(key)[:LISTED_BYTES] for key in (KEYS.write, KEYS.read, KEYS.admin)
    )
    assert await ring.find_from("1.2.3.4", expired.key, may_guess=False) is None


async def test_revoked_key_in_use_is_dead_within_a_minute(database: Database, settings: CatalogSettings) -> None:
    clock = Clock()
    ring = KeyCache(database, settings, clock)
    new_key = await database.run(
        lambda connection: create_key(connection, "demo", NewKey("shop", SCOPES_BY_KIND["write"]))
    )
    assert new_key is not None
    await ring.find(new_key.key)
    await database.run(lambda connection: revoke_key(connection, "demo", new_key.row.id))
    lived = 0
    while await ring.find(new_key.key) is not None:
        clock.now += 1
        lived += 1
        await asyncio.sleep(0.02)
    assert lived <= 35


async def test_known_keys_outlive_postgres_for_a_while(
    database: Database, settings: CatalogSettings, postgres_server: Running[Postgres]
) -> None:
    clock = Clock()
    ring, products = KeyCache(database, settings, clock), ProductTables(database, clock)
    assert await ring.find(KEYS.write) is not None
    assert "p-1" in (await products.find_table("demo")).by_id
    postgres_server.kill()
    try:
        for age in (29, 45, 120, 890):
            clock.now = 1_000.0 + age
            assert await ring.find(KEYS.write) is not None
            assert "p-1" in (await products.find_table("demo")).by_id
        with pytest.raises(Unavailable):
            await ring.find("never seen")
        clock.now = 1_000.0 + 901
        with pytest.raises(Unavailable):
            await ring.find(KEYS.write)
    finally:
        postgres_server.start()
    clock.now += 5
    assert await ring.find(KEYS.write) is not None
    await products.close()
    assert "p-1" in (await products.find_table("demo")).by_id


async def test_postgres_that_hangs_holds_up_nobody_for_long(
    database: Database, settings: CatalogSettings, postgres_server: Running[Postgres]
) -> None:
    clock = Clock()
    ring = KeyCache(database, settings, clock)
    await ring.find(KEYS.write)
    postgres_server.freeze()
    try:
        clock.now += 60
        started_at = time.perf_counter()
        assert await ring.find(KEYS.write) is not None
        assert time.perf_counter() - started_at < 3
        started_at = time.perf_counter()
        for _ in range(100):
            assert await ring.find(KEYS.write) is not None
        assert time.perf_counter() - started_at < 0.5
    finally:
        postgres_server.thaw()
    clock.now += 5
    assert await ring.find(KEYS.read) is not None


async def test_a_key_is_looked_up_once_however_many_ask(database: Database, settings: CatalogSettings) -> None:
    ring = KeyCache(database, settings)
    entries = await asyncio.gather(*(ring.find(KEYS.write) for _ in range(500)))
    assert all(entries)
    assert len(ring._entries) == 1
