"""How long the event loop has stood still: everybody waits meanwhile, live probes and streams too."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from rtaplatform import telemetry

TICK_SECONDS = 0.05
WINDOW_SECONDS = 60.0
LOGGED_SECONDS = 1.0
_log = telemetry.logger("serve.standstill")


class LoopStandstill:
    """The longest standstill of the last minute, from ticks that came late."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._late: deque[tuple[float, float]] = deque()  # when, how long; each longer than all that follow

    def note(self, late_seconds: float) -> None:
        at = self._now()
        while self._late and self._late[-1][1] <= late_seconds:
            self._late.pop()
        self._late.append((at, late_seconds))
        self._forget(at)

    def longest(self) -> float:
        self._forget(self._now())
        return self._late[0][1] if self._late else 0.0

    def _forget(self, at: float) -> None:
        while self._late and self._late[0][0] < at - WINDOW_SECONDS:
            self._late.popleft()


async def watch_standstill() -> None:
    """Tick until cancelled; what comes late is told by a signal, and what comes very late by a line of the log too."""
    standstill = LoopStandstill()
    telemetry.LOOP_STANDSTILL.set_function(standstill.longest)
    while True:
        due = time.monotonic() + TICK_SECONDS
        await asyncio.sleep(TICK_SECONDS)
        late = max(0.0, time.monotonic() - due)
        standstill.note(late)
        if late > LOGGED_SECONDS:
            _log.warning("event_loop_stood_still", seconds=round(late, 2))
