"""Publish all projects to the shards of the store, and their origins to this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from rtaplatform.catalog.database import Database
from rtaplatform.catalog.projects.project_list import list_origins, list_projects
from rtaplatform.core.projects import ProjectSettings


class ProjectPublisher:
    """`put_origins` is called with slug → origins; `put_projects` with all projects, in a thread."""

    def __init__(
        self,
        database: Database,
        put_origins: Callable[[Mapping[str, Sequence[str]]], None],
        put_projects: Callable[[Sequence[ProjectSettings]], None],
    ) -> None:
        self._database, self._put_origins, self._put_projects = database, put_origins, put_projects

    async def publish(self) -> None:
        """Raises Unavailable; safe to repeat."""
        self._put_origins(await list_origins(self._database))
        await asyncio.to_thread(self._put_projects, await list_projects(self._database))
