"""Turns for computing live questions again: a budget for all of them, shared by projects.   Stage 5 of 6.

AT_ONCE computations run at once, and after each its place rests for as long as it took. So live questions take about
half of the time, however many there are and however dear, and ordinary requests keep the other half. The next turn is
the project's that has used the least lately: one with a single cheap question waits for no queue of another's.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from rtaplatform import telemetry

AT_ONCE = 4
HALF_LIFE_S = 10.0
PROJECTS_MAX = 1_000
REST_S_MAX = 10.0


class ComputeBudget:
    def __init__(self, at_once: int = AT_ONCE, now: Callable[[], float] = time.monotonic) -> None:
        self._free, self._now = at_once, now
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._used: dict[str, tuple[float, float]] = {}  # project → seconds, and as of when

    @asynccontextmanager
    async def turn(self, project: str) -> AsyncIterator[None]:
        """Compute inside; it begins when it is this project's turn."""
        begun = self._now()
        await self._enter(project)
        entered = self._now()
        telemetry.LIVE_WAIT_SECONDS.observe(entered - begun)
        try:
            yield
        finally:
            took = self._now() - entered
            self.charge(project, took)
            asyncio.get_running_loop().call_later(min(took, REST_S_MAX), self._hand_on)

    def charge(self, project: str, seconds: float) -> None:
        """Count what was computed outside of a turn: a stream's first answer."""
        self._used[project] = (self._used_by(project) + seconds, self._now())
        if len(self._used) > PROJECTS_MAX:
            least = sorted(self._used, key=self._used_by)
            for one in least[: PROJECTS_MAX // 2]:
                del self._used[one]

    async def _enter(self, project: str) -> None:
        if self._free:
            self._free -= 1
            return
        place = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(project, deque()).append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():  # it was given the turn at the same moment
                self._hand_on()
            raise

    def _hand_on(self) -> None:
        while self._waiting:
            project = min(self._waiting, key=self._used_by)
            queue = self._waiting[project]
            place = queue.popleft()
            if not queue:
                del self._waiting[project]
            if not place.done():
                place.set_result(None)
                return
        self._free += 1

    def _used_by(self, project: str) -> float:
        seconds, at = self._used.get(project, (0.0, 0.0))
        return seconds * math.exp2((at - self._now()) / HALF_LIFE_S)
