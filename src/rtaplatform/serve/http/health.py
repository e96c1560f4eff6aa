"""Whether this process is alive, and whether it can serve.

It is ready once PostgreSQL has answered (from then on keys and products are cached), Redis has its manifest, and Kafka
has sent its metadata. Without PostgreSQL a ready process stays ready. Without Redis or Kafka it is not ready, nor with
a wrong clock. `degraded` lists problems that do not make it unready: a Redis that takes no writes (a replica, a full
disk), a store that is nearly full, profiles that have stopped. The checks run at most every 2 s.
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
    """`checks` has one check per server; it raises a PlatformError if the server cannot serve us.

    `freshness` returns lag, stops and the age of the last advance. It has no effect on readiness.
    """

    def __init__(self, checks: Mapping[str, Check], freshness: Callable[[], Awaitable[object]] | None = None):
        self._checks, self._freshness = dict(checks), freshness
        self._ready_once: set[str] = set()
        self._last_check: tuple[float, bool, dict[str, Any]] | None = None
        self._lock = asyncio.Lock()

    async def check_readiness(self) -> tuple[bool, dict[str, Any]]:
        """Whether to send requests here, and the details."""
        async with self._lock:
            if self._last_check is None or time.monotonic() - self._last_check[0] > REUSED_SECONDS:
                self._last_check = (time.monotonic(), *await self._check_all())
            return self._last_check[1], self._last_check[2]

    async def _check_all(self) -> tuple[bool, dict[str, Any]]:
        results = await asyncio.gather(*(_run_check(check) for check in self._checks.values()))
        troubles = dict(zip(self._checks, results, strict=True))
        away = {name for name, trouble in troubles.items() if trouble and not isinstance(trouble, Unable)}
        self._ready_once |= troubles.keys() - away
        cached = ONCE_IS_ENOUGH & self._ready_once
        names_away = [name for name in troubles if name in away - cached]
        detail: dict[str, Any] = {
            "status": "not ready" if names_away else "ready",
            "missing": names_away,
            "degraded": [name for name, trouble in troubles.items() if isinstance(trouble, Unable)],
            "servers": {name: str(trouble or "answers") for name, trouble in troubles.items()},
        }
        if self._freshness is not None:
            detail["freshness"] = await _read_freshness(self._freshness)
        return not names_away, detail


async def _run_check(check: Check) -> PlatformError | str | None:
    """Return what is wrong; None if nothing is."""
    try:
        await asyncio.wait_for(check(), CHECK_SECONDS_MAX)
    except PlatformError as error:
        return error
    except TimeoutError:
        return "does not answer"
    return None


async def _read_freshness(freshness: Callable[[], Awaitable[object]]) -> dict[str, Any]:
    try:
        state: dict[str, Any] = msgspec.to_builtins(await asyncio.wait_for(freshness(), CHECK_SECONDS_MAX))
        return state
    except (PlatformError, TimeoutError) as error:
        return {"unknown": str(error) or "does not answer"}
