"""Lists of all projects: the settings that workers and readers need, and the allowed origins."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.engine import Connection

from rtaplatform.catalog.database import Database
from rtaplatform.catalog.tables import PROJECTS
from rtaplatform.core.projects import ProjectSettings


async def list_projects(database: Database) -> list[ProjectSettings]:
    """All projects, ordered by slug. Raises Unavailable."""
    columns = PROJECTS.c
    declarations = (columns.event_properties, columns.user_traits)
    query = select(columns.slug, columns.zone, columns.currency, columns.week_start, *declarations).order_by(
        columns.slug
    )

    def read(connection: Connection) -> list[ProjectSettings]:
        return [ProjectSettings(*row[:-2], *map(tuple, row[-2:])) for row in connection.execute(query)]

    return await database.run(read)


async def list_slugs(database: Database) -> list[str]:
    """The slugs of all projects. Raises Unavailable."""
    return [project.slug for project in await list_projects(database)]


async def list_origins(database: Database) -> dict[str, list[str]]:
    """Slug → origins, for the projects that list any. Raises Unavailable."""
    columns = PROJECTS.c
    query = select(columns.slug, columns.allowed_origins).where(func.cardinality(columns.allowed_origins) > 0)

    def read(connection: Connection) -> dict[str, list[str]]:
        return {slug: list(entries) for slug, entries in connection.execute(query)}

    return await database.run(read)
