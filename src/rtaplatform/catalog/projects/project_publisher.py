"""Tells whoever must know of all projects: the shards of the store, and this process's list of origins."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from rtaplatform.catalog.database import Database
from rtaplatform.catalog.projects.project_list import list_origins, list_projects
from rtaplatform.core.projects import ProjectSettings


class ProjectPublisher:
    """`to_origins` takes slug → origins; `to_shards` takes all projects, and is called in a thread."""

    def __init__(
        self,
        database: Database,
        to_origins: Callable[[Mapping[str, Sequence[str]]], None],
        to_shards: Callable[[Sequence[ProjectSettings]], None],
    ) -> None:
        self._database, self._to_origins, self._to_shards = database, to_origins, to_shards

    async def publish(self) -> None:
        """Raises Unavailable; safe to repeat."""
        self._to_origins(await list_origins(self._database))
        await asyncio.to_thread(self._to_shards, await list_projects(self._database))
