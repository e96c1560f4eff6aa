"""Reads one project of each shard, so that health knows every shard even without queries.   Stage 5 of 6.

Promise: an error of one project or shard does not stop the others from being read. It is logged once.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable

from rtaplatform import telemetry
from rtaplatform.core.errors import Unavailable
from rtaplatform.core.sharding import find_shard

PROJECTS_SECONDS = 30.0
log_line = telemetry.make_logger("observer")


class ShardObserver:
    """`list_slugs` lists the projects, `read` reads one. Both raise Unavailable if the server is unavailable."""

    def __init__(
        self,
        list_slugs: Callable[[], Awaitable[Iterable[str]]],
        read: Callable[[str], Awaitable[object]],
        shards: int,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._list_slugs, self._read, self._shards, self._now = list_slugs, read, shards, now
        self._slugs: dict[int, str] = {}
        self._logged_errors: dict[int, str] = {}
        self._listed_at = float("-inf")

    async def observe(self) -> None:
        """Read every shard. Raises Unavailable. If the projects cannot be listed, the next call tries again."""
        is_first = not self._slugs
        if not is_first:  # known shards come first, so that a catalog that hangs does not delay them
            await self._read_all()
        if self._now() - self._listed_at >= PROJECTS_SECONDS:
            self._slugs = {find_shard(slug, self._shards): slug for slug in await self._list_slugs()}
            self._listed_at = self._now()
        if is_first:
            await self._read_all()

    async def _read_all(self) -> None:
        for shard, slug in self._slugs.items():
            try:
                await self._read(slug)
                self._logged_errors.pop(shard, None)
            except Unavailable:
                raise  # it concerns all shards
            except Exception as error:  # noqa: BLE001  # an error of a damaged shard must end neither the round nor the API
                message = f"{type(error).__name__}: {error}"
                if self._logged_errors.get(shard) != message:
                    self._logged_errors[shard] = message
                    log_line.error("shard_not_observed", shard=shard, project=slug, error=message)
