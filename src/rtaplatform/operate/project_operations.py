"""Commands' direct access to the catalog: list projects, check the owner of the demo project, make a reading key.

Names adapters, like wiring; used by `cli`. Raises Unavailable if PostgreSQL is away.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeVar

from sqlalchemy.engine import Connection

from rtaplatform.catalog.database import Database
from rtaplatform.catalog.demo_project import SeededDemoKeys, has_other_keys
from rtaplatform.catalog.keys.key_admin import NewKey
from rtaplatform.catalog.keys.operator_keys import create_key, revoke_key
from rtaplatform.catalog.projects.project_list import list_projects
from rtaplatform.core.errors import SetupError
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.settings import CatalogSettings

T = TypeVar("T")
READING_KEY_NAME = "live table of rta up"
READING_KEY_LIFE = timedelta(days=1)


class ReadingKey(NamedTuple):
    """A key that reads one project for a day. `key` is secret."""

    id: str
    key: str


async def find_projects(catalog: CatalogSettings) -> dict[str, ProjectSettings]:
    """All projects by their slugs."""
    database = Database(catalog)
    try:
        return {project.slug: project for project in await list_projects(database)}
    finally:
        await database.close()


async def require_own_demo_keys(catalog: CatalogSettings, keys: tuple[str, str, str]) -> None:
    """Raise SetupError if the database has a demo project with other keys: another instance still uses them."""
    if await _with_database(catalog, lambda connection: has_other_keys(connection, SeededDemoKeys(*keys))):
        raise SetupError(
            "The database has a demo project already, with the keys of another data directory.",
            "Use that data directory or its keys.json, or name another database with --postgres. "
            "`rta migrate --demo --replace-demo-keys` gives it these keys; those before open nothing then.",
        )


async def make_reading_key(catalog: CatalogSettings, project: str) -> ReadingKey:
    """Create a key for the live table. Raises SetupError if there is no such project."""
    new = NewKey(READING_KEY_NAME, ("read", "catalog:read"), datetime.now(UTC) + READING_KEY_LIFE)
    new_key = await _with_database(catalog, lambda connection: create_key(connection, project, new))
    if new_key is None:
        raise SetupError(f"There is no project {project!r}.", "Name one that exists with --project.", exit_code=2)
    return ReadingKey(new_key.row.id, new_key.key)


async def revoke_reading_key(catalog: CatalogSettings, project: str, key: ReadingKey) -> None:
    await _with_database(catalog, lambda connection: revoke_key(connection, project, key.id))


async def _with_database(catalog: CatalogSettings, work: Callable[[Connection], T]) -> T:
    database = Database(catalog)
    try:
        return await database.run(work)
    finally:
        await database.close()
