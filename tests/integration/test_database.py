"""Transactions on the real PostgreSQL: servers that take no writes for a while, and sessions that are set otherwise."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.engine import Connection

from rtaplatform.catalog import migrate
from rtaplatform.catalog.database import Database
from rtaplatform.core.errors import Unable, Unavailable
from rtaplatform.local.servers.postgres import Postgres
from rtaplatform.settings import CatalogSettings
from tests.integration.catalog_site import Site, open_site
from tests.integration.servers import Running, empty_catalog, read_revision

LOOPBACK = "127.0.0.1"


def open_database(url: str) -> Database:
    return Database(CatalogSettings(url=SecretStr(url), timeout_seconds=2.0))


@pytest.fixture
def url(postgres_server: Running[Postgres]) -> str:
    empty_catalog(postgres_server.server)
    return postgres_server.server.url


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    new_database = open_database(url)
    yield new_database
    await new_database.close()


def write(connection: Connection) -> None:
    connection.execute(text("INSERT INTO projects (id, slug, name) VALUES ('p', 'p', 'p') ON CONFLICT DO NOTHING"))


def read(connection: Connection) -> Any:
    return connection.scalar(text("SELECT pg_sleep(0.05)"))


def set_read_only(postgres: Running[Postgres], value: str) -> None:
    """For sessions that begin from now on; those of before are ended where it is on."""
    with psycopg.connect(postgres.server.superuser_url, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(f"ALTER DATABASE rta {value}".encode())
        if "on" in value.split():
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'rta'")


async def test_writes_go_on_as_soon_as_the_server_takes_them(
    database: Database, postgres_server: Running[Postgres]
) -> None:
    """As after a fail-over: sessions that began on a replica, or read-only, are not kept."""
    await database.run(write)
    set_read_only(postgres_server, "SET default_transaction_read_only TO on")
    try:
        await asyncio.gather(*(database.run(read) for _ in range(10)))
        with pytest.raises(Unable):
            await database.run(write)
        with pytest.raises(Unable):
            await database.check()
        await asyncio.gather(*(database.run(read) for _ in range(10)))
    finally:
        set_read_only(postgres_server, "RESET default_transaction_read_only")
    for _ in range(10):
        await database.run(write)
    await database.check()


async def test_health_is_well_again_by_itself(database: Database, postgres_server: Running[Postgres]) -> None:
    """The look at health renews the sessions, so that the first write after it is good."""
    set_read_only(postgres_server, "SET default_transaction_read_only TO on")
    try:
        with pytest.raises(Unable):
            await database.check()
    finally:
        set_read_only(postgres_server, "RESET default_transaction_read_only")
    await database.check()


async def test_a_url_may_name_several_hosts(url: str, postgres_server: Running[Postgres]) -> None:
    port = postgres_server.server.port
    several = url.replace(f"{LOOPBACK}:{port}", f"{LOOPBACK}:9,{LOOPBACK}:{port}") + "?target_session_attrs=read-write"
    database = open_database(several)
    await database.run(write)
    await database.close()
    await asyncio.to_thread(migrate.upgrade, several)
    assert await asyncio.to_thread(read_revision, several) == migrate.read_head_revision()


@pytest.mark.parametrize("options", ["timezone=Asia/Tokyo", "datestyle=German", "client_encoding=latin1"])
async def test_answers_do_not_depend_on_how_sessions_are_set(postgres_server: Running[Postgres], options: str) -> None:
    async def ask(site: Site) -> list[bytes]:
        user = {"id": "ü", "first_seen": "2026-01-01T00:00:00Z", "name": "Zoë"}
        async with site.make_client() as client:
            creation = await client.put("/v1/users/%C3%BC", json=user)
            assert creation.status_code == 201
            assert creation.json()["created_at"].endswith("Z")
            with psycopg.connect(postgres.owner_url, autocommit=True) as connection:
                connection.execute("UPDATE users SET created_at = '2026-01-01', field_times = '{}'")
                connection.execute("ALTER TABLE users DISABLE TRIGGER users_version")
                connection.execute("UPDATE users SET updated_at = '2026-07-01 01:02:03.456'")
                connection.execute("ALTER TABLE users ENABLE TRIGGER users_version")
            return [(await client.get(path)).content for path in ("/v1/users/%C3%BC", "/v1/users")]

    postgres = postgres_server.server
    async with open_site(postgres) as site:
        expected = await ask(site)
    async with open_site(postgres, f"{postgres.url}?options=-c%20{options.replace('=', '%3D')}") as site:
        assert await ask(site) == expected


async def test_what_is_abandoned_shuts_no_other_transaction(database: Database) -> None:
    """Every second transaction is given up at its very end; those that get its connection are whole."""
    for _ in range(3):
        with pytest.raises(Unavailable):
            await database.run(lambda connection: connection.scalar(text("SELECT pg_sleep(0.6)")), seconds=0.001)
        await asyncio.gather(*(database.run(write) for _ in range(4)))
    assert threading.active_count() < 50
