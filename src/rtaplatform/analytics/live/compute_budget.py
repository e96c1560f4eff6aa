"""A budget of computing time for all live queries, shared fairly by projects.   Stage 5 of 6.

At most AT_ONCE computations run at once, each in a slot. After a computation its slot rests for as long as it took. So
live queries take about half of the time, however many and expensive they are, and requests keep the other half. The
next turn goes to the project that has used the least time lately: a project with one cheap query never waits behind
the queue of another project.
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
        self._free_slots, self._now = at_once, now
        self._waiters: dict[str, deque[asyncio.Future[None]]] = {}
        self._used_seconds: dict[str, tuple[float, float]] = {}  # project → seconds used, decayed up to this time

    @asynccontextmanager
    async def turn(self, project: str) -> AsyncIterator[None]:
        """Wait for the project's turn, and compute inside the context."""
        queued_at = self._now()
        await self._enter(project)
        started_at = self._now()
        telemetry.LIVE_WAIT_SECONDS.observe(started_at - queued_at)
        try:
            yield
        finally:
            seconds = self._now() - started_at
            self.charge(project, seconds)
            asyncio.get_running_loop().call_later(min(seconds, REST_S_MAX), self._pass_slot_on)

    def charge(self, project: str, seconds: float) -> None:
        """Count computing time outside of a turn: the first answer of a stream."""
        self._used_seconds[project] = (self._compute_use(project) + seconds, self._now())
        if len(self._used_seconds) > PROJECTS_MAX:
            least_first = sorted(self._used_seconds, key=self._compute_use)
            for idle_project in least_first[: PROJECTS_MAX // 2]:
                del self._used_seconds[idle_project]

    async def _enter(self, project: str) -> None:
        if self._free_slots:
            self._free_slots -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(project, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it got its turn at the same moment
                self._pass_slot_on()
            raise

    def _pass_slot_on(self) -> None:
        while self._waiters:
            project = min(self._waiters, key=self._compute_use)
            queue = self._waiters[project]
            turn = queue.popleft()
            if not queue:
                del self._waiters[project]
            if not turn.done():
                turn.set_result(None)
                return
        self._free_slots += 1

    def _compute_use(self, project: str) -> float:
        seconds, as_of = self._used_seconds.get(project, (0.0, 0.0))
        return seconds * math.exp2((as_of - self._now()) / HALF_LIFE_S)
