"""Whether there is the project that a command names. Where no PostgreSQL is known, the command goes on and says so."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from rtaplatform.cli.connections import Connections
from rtaplatform.core.errors import SetupError

if TYPE_CHECKING:
    from rtaplatform.core.projects import ProjectSettings

_USAGE = 2
_LISTED_MAX = 20


def require_project(connections: Connections, project: str) -> ProjectSettings | None:
    """Return the project, or None if no PostgreSQL is known. Raises SetupError if there is none, Unavailable."""
    try:
        catalog = connections.read_catalog_settings()
    except SetupError as error:
        if error.exit_code == _USAGE:
            raise
        print(
            f"No PostgreSQL is known, so it is not checked whether there is a project {project!r}.",
            file=sys.stderr, flush=True,
        )  # fmt: skip
        return None
    from rtaplatform.operate.project_operations import find_projects

    projects = asyncio.run(find_projects(catalog))
    if project not in projects:
        slugs = ", ".join(sorted(projects)[:_LISTED_MAX]) or "none"
        raise SetupError(f"There is no project {project!r}.", f"There are: {slugs}.", exit_code=_USAGE)
    return projects[project]
