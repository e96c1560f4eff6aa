"""Looks at one project of each shard, so that health knows how each stands also while nobody asks.   Stage 5 of 6.

Promise: what is wrong with one project or shard keeps no other from being looked at; it is said once in the log.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable

from rtaplatform import telemetry
from rtaplatform.core.errors import Unavailable
from rtaplatform.core.sharding import shard_of

PROJECTS_SECONDS = 30.0
log_line = telemetry.logger("observer")


class ShardObserver:
    """`slugs` lists the projects, `look` reads one; both raise Unavailable where the server is away."""

    def __init__(
        self,
        slugs: Callable[[], Awaitable[Iterable[str]]],
        look: Callable[[str], Awaitable[object]],
        shards: int,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._slugs, self._look, self._shards, self._now = slugs, look, shards, now
        self._chosen: dict[int, str] = {}
        self._said: dict[int, str] = {}
        self._read_at = float("-inf")

    async def observe(self) -> None:
        """Raises Unavailable. Projects that could not be listed are listed with the next call."""
        is_first = not self._chosen
        if not is_first:  # what is known is looked at first: a catalog that hangs holds it up no longer
            await self._look_at_all()
        if self._now() - self._read_at >= PROJECTS_SECONDS:
            self._chosen = {shard_of(slug, self._shards): slug for slug in await self._slugs()}
            self._read_at = self._now()
        if is_first:
            await self._look_at_all()

    async def _look_at_all(self) -> None:
        for shard, slug in self._chosen.items():
            try:
                await self._look(slug)
                self._said.pop(shard, None)
            except Unavailable:
                raise  # the server of all shards
            except Exception as error:  # noqa: BLE001  # what a damaged shard answers ends neither the round nor the API
                said = f"{type(error).__name__}: {error}"
                if self._said.get(shard) != said:
                    self._said[shard] = said
                    log_line.error("cannot_observe", shard=shard, project=slug, error=said)
