"""Whether this process is alive, and whether it can serve.

Ready: PostgreSQL has answered once (from then on what is known of keys and products is cached), Redis has its
manifest, and Kafka's metadata is there. A process that has been ready once stays so while PostgreSQL is
away; without Redis or Kafka it is not ready, nor with a clock of this machine that is wrong. What is told in `degraded`
takes no requests away, and answers stay 200: a Redis that answers and takes no writes (a replica, a full disk), one
that is nearly full, and profiles that stand still. Looked at most every 2 s, however many ask.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from rtaplatform.core.errors import PlatformError, Unable

Check = Callable[[], Awaitable[object]]
CHECK_SECONDS_MAX = 4.0
REUSED_SECONDS = 2.0
ONCE_IS_ENOUGH = frozenset({"postgres"})


class Health:
    """`checks` by server; each raises a PlatformError where the server cannot serve us.

    `freshness` tells lag, stops and the age of the last advance; it has no say in readiness.
    """

    def __init__(self, checks: Mapping[str, Check], freshness: Callable[[], Awaitable[object]] | None = None):
        self._checks, self._freshness = dict(checks), freshness
        self._good: set[str] = set()
        self._seen: tuple[float, bool, dict[str, Any]] | None = None
        self._lock = asyncio.Lock()

    async def readiness(self) -> tuple[bool, dict[str, Any]]:
        """Whether to send requests here, and why not."""
        async with self._lock:
            if self._seen is None or time.monotonic() - self._seen[0] > REUSED_SECONDS:
                self._seen = (time.monotonic(), *await self._look())
            return self._seen[1], self._seen[2]

    async def _look(self) -> tuple[bool, dict[str, Any]]:
        said = await asyncio.gather(*(_ask(check) for check in self._checks.values()))
        answers = dict(zip(self._checks, said, strict=True))
        away = {name for name, trouble in answers.items() if trouble and not isinstance(trouble, Unable)}
        self._good |= answers.keys() - away
        missing = [name for name in answers if name in away and not (name in ONCE_IS_ENOUGH and name in self._good)]
        detail: dict[str, Any] = {
            "status": "not ready" if missing else "ready",
            "missing": missing,
            "degraded": [name for name, trouble in answers.items() if isinstance(trouble, Unable)],
            "servers": {name: str(trouble or "answers") for name, trouble in answers.items()},
        }
        if self._freshness is not None:
            detail["freshness"] = await _tell(self._freshness)
        return not missing, detail


async def _ask(check: Check) -> PlatformError | str | None:
    """What is wrong, None where nothing is."""
    try:
        await asyncio.wait_for(check(), CHECK_SECONDS_MAX)
    except PlatformError as error:
        return error
    except TimeoutError:
        return "does not answer"
    return None


async def _tell(freshness: Callable[[], Awaitable[object]]) -> dict[str, Any]:
    try:
        told: dict[str, Any] = msgspec.to_builtins(await asyncio.wait_for(freshness(), CHECK_SECONDS_MAX))
        return told
    except (PlatformError, TimeoutError) as error:
        return {"unknown": str(error) or "does not answer"}
