"""Migrate the catalog's tables to a revision, up or down.   `rta migrate`; the API never does this itself.

An advisory lock admits one migrator at a time. Each revision is one transaction. Raises `Unavailable`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from rtaplatform.catalog.database import connect, make_engine
from rtaplatform.catalog.grants import grant_rows
from rtaplatform.core.errors import Unavailable
from rtaplatform.settings import CatalogSettings

CONNECT_SECONDS = 10
_LOCK = 0x52544131  # "RTA1"


def upgrade_catalog(settings: CatalogSettings) -> None:
    """Migrate as the owner of the tables. If that is not the application's role, grant this role its rights."""
    url = settings.url.get_secret_value()
    if settings.migrate_url is None:
        upgrade(url)
    else:
        upgrade(settings.migrate_url.get_secret_value(), app_role=_read_role(url))


def upgrade(url: str, revision: str = "head", *, app_role: str | None = None) -> None:
    def work(config: Config) -> None:
        connection: Connection = config.attributes["connection"]
        if app_role is not None:  # before, so that new tables are granted when they are created
            _grant(connection, app_role)
        command.upgrade(config, revision)
        if app_role is not None:
            _grant(connection, app_role)

    _migrate(url, work)


def downgrade(url: str, revision: str) -> None:
    _migrate(url, lambda config: command.downgrade(config, revision))


def read_head_revision() -> str:
    """The newest revision, which this version of the platform needs."""
    revision = ScriptDirectory.from_config(_make_config()).get_current_head()
    assert revision is not None
    return revision


def _grant(connection: Connection, role: str) -> None:
    grant_rows(connection, role)
    connection.commit()


def _read_role(url: str) -> str:
    try:
        with connect(url, connect_timeout=CONNECT_SECONDS) as connection:
            return connection.info.user
    except psycopg.Error as error:
        raise Unavailable("postgres", (str(error).strip().splitlines() or ["No answer."])[0]) from error


def _make_config() -> Config:
    config = Config()
    # Alembic reads its options through configparser, where % is special.
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    return config


def _migrate(url: str, work: Callable[[Config], None]) -> None:
    config = _make_config()
    engine = make_engine(url, connect_seconds=CONNECT_SECONDS)
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
            connection.commit()
            config.attributes["connection"] = connection
            work(config)
    except DBAPIError as error:
        raise Unavailable("postgres", str(error.orig).strip().splitlines()[0]) from error
    finally:
        engine.dispose()
