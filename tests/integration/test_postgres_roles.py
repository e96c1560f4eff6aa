"""The application's role works on rows and on nothing else; the tables belong to the role that migrates."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from rtaplatform.catalog import migrate
from rtaplatform.local.servers.postgres import Postgres
from rtaplatform.settings import CatalogSettings
from tests.integration.catalog_site import open_site
from tests.integration.servers import APP_ROLE, Running, empty_catalog, start_postgres

FORBIDDEN = (
    "DROP TABLE keys CASCADE", "TRUNCATE products", "ALTER TABLE users DROP COLUMN email", "CREATE TABLE mine (x int)",
    "DROP FUNCTION rta_tell_key CASCADE", "ALTER TABLE users DISABLE TRIGGER ALL", "DROP SCHEMA public CASCADE",
    "CREATE SCHEMA mine", "CREATE ROLE mine", "GRANT rta_owner TO rta", "SET ROLE rta_owner", "DROP DATABASE rta",
    "CREATE TEMPORARY TABLE mine (x int)", "ALTER DATABASE rta SET timezone TO 'Asia/Tokyo'",
    "SELECT setval('row_version', 1)", "COPY products TO PROGRAM 'true'",
)  # fmt: skip


@pytest.fixture
def postgres(postgres_server: Running[Postgres]) -> Postgres:
    empty_catalog(postgres_server.server)
    return postgres_server.server


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_application_may_not(postgres: Postgres, statement: str) -> None:
    with (
        psycopg.connect(postgres.url, autocommit=True) as connection,
        pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectInUse)),
    ):
        connection.execute(statement.encode())


async def test_the_application_does_all_its_work(postgres: Postgres) -> None:
    """What the API writes; the workers' and profiles' part is in every other test, which has this role too."""
    async with open_site(postgres) as site, site.make_client() as client:
        assert (await client.put("/v1/products/p", json={"name": "x"})).status_code == 201
        assert (await client.delete("/v1/products/p")).status_code == 204
        assert (await client.post("/v1/projects", json={"slug": "shop"})).status_code == 201
        assert (await client.post("/v1/keys", json={"name": "k", "scopes": ["read"]})).status_code == 201
        await site.database.check()


def test_neither_role_is_a_superuser(postgres: Postgres) -> None:
    with psycopg.connect(postgres.owner_url) as connection:
        rows = connection.execute(
            "SELECT rolname, rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls FROM pg_roles "
            "WHERE rolname IN ('rta', 'rta_owner') ORDER BY 1"
        ).fetchall()
    assert rows == [("rta", False), ("rta_owner", False)]


def test_one_role_for_both_is_enough(postgres: Postgres) -> None:
    """As with a server that is given by one URL."""
    empty_catalog(postgres, is_migrated=False)
    migrate.upgrade_catalog(CatalogSettings(url=SecretStr(postgres.owner_url)))
    migrate.upgrade_catalog(CatalogSettings(url=SecretStr(postgres.url), migrate_url=SecretStr(postgres.owner_url)))
    migrate.upgrade_catalog(
        CatalogSettings(url=SecretStr(postgres.owner_url), migrate_url=SecretStr(postgres.owner_url))
    )
    with psycopg.connect(postgres.url) as connection:
        assert connection.execute("SELECT count(*) FROM projects").fetchone() == (0,)


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Running[Postgres]]:
    """A folder of an earlier version: database and tables belong to `rta`."""
    running = start_postgres(tmp_path)
    server = running.server
    empty_catalog(server, is_migrated=False)
    with psycopg.connect(server.superuser_url, autocommit=True) as connection:
        connection.execute("ALTER DATABASE rta OWNER TO rta")
        connection.execute("ALTER SCHEMA public OWNER TO pg_database_owner")
    migrate.upgrade(server.url, "0004")
    with psycopg.connect(server.url) as connection:
        connection.execute("INSERT INTO projects (id, slug, name) VALUES ('p', 'p', 'p')")
        connection.execute("INSERT INTO erasures (project_id, user_id) VALUES ('p', 'u')")
    yield running
    running.stop()


def test_tables_of_an_earlier_version_change_their_owner(old: Running[Postgres]) -> None:
    server = Postgres(old.server.folder, old.server.port)
    assert server.answers()
    migrate.upgrade(server.owner_url, app_role=APP_ROLE)
    with psycopg.connect(server.url, autocommit=True) as connection:
        assert connection.execute("SELECT slug FROM projects").fetchall() == [("p",)]
        assert connection.execute("SELECT user_id, id LIKE 'era_%' FROM erasures").fetchall() == [("u", True)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DROP TABLE keys CASCADE")


async def test_a_table_is_granted_as_it_is_made(postgres: Postgres) -> None:
    """An API that works while the catalog is migrated meets no table that is closed to it."""
    await asyncio.to_thread(migrate.downgrade, postgres.owner_url, "base")
    await asyncio.to_thread(migrate.upgrade, postgres.owner_url)
    with psycopg.connect(postgres.url) as connection:
        assert connection.execute("SELECT count(*) FROM products").fetchone() == (0,)
