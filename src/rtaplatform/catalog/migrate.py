"""Bring the catalog's tables to a revision, up or down.   `rta migrate`; never done by the API itself.

One migrator at a time, by an advisory lock; each revision in its own transaction. Raises `Unavailable`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from rtaplatform.catalog.database import connect, engine_for
from rtaplatform.catalog.grants import grant_rows
from rtaplatform.core.errors import Unavailable
from rtaplatform.settings import CatalogSettings

CONNECT_SECONDS = 10
_LOCK = 0x52544131  # "RTA1"


def upgrade_catalog(settings: CatalogSettings) -> None:
    """As the tables' owner, where there is one beside the application's role, which is granted its work on rows."""
    url = settings.url.get_secret_value()
    if settings.migrate_url is None:
        upgrade(url)
    else:
        upgrade(settings.migrate_url.get_secret_value(), app_role=_role_of(url))


def upgrade(url: str, revision: str = "head", *, app_role: str | None = None) -> None:
    def work(config: Config) -> None:
        connection: Connection = config.attributes["connection"]
        if app_role is not None:  # before, so that a table is granted as it is made
            _grant(connection, app_role)
        command.upgrade(config, revision)
        if app_role is not None:
            _grant(connection, app_role)

    _migrate(url, work)


def downgrade(url: str, revision: str) -> None:
    _migrate(url, lambda config: command.downgrade(config, revision))


def current(url: str) -> str | None:
    """The revision that the database has; None: none yet."""
    found: list[str | None] = []
    _migrate(url, lambda config: found.append(_revision_of(config.attributes["connection"])))
    return found[0]


def head() -> str:
    """The revision that this version of the platform needs."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None
    return revision


def _grant(connection: Connection, role: str) -> None:
    grant_rows(connection, role)
    connection.commit()


def _role_of(url: str) -> str:
    try:
        with connect(url, connect_timeout=CONNECT_SECONDS) as connection:
            return connection.info.user
    except psycopg.Error as error:
        raise Unavailable("postgres", (str(error).strip().splitlines() or ["No answer."])[0]) from error


def _revision_of(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config() -> Config:
    config = Config()
    # Alembic reads its options through configparser, where % is special.
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    return config


def _migrate(url: str, work: Callable[[Config], None]) -> None:
    config = _config()
    engine = engine_for(url, connect_seconds=CONNECT_SECONDS)
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
