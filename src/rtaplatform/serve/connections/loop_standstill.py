"""Measure how long the event loop was blocked: meanwhile all requests, probes and streams wait."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from rtaplatform import telemetry

TICK_SECONDS = 0.05
WINDOW_SECONDS = 60.0
LOGGED_SECONDS = 1.0
_log = telemetry.make_logger("serve.standstill")


class LoopStandstill:
    """The longest standstill of the last minute, measured by late ticks."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._late: deque[tuple[float, float]] = deque()  # time, delay; each delay is longer than all that follow

    def note(self, late_seconds: float) -> None:
        time_s = self._now()
        while self._late and self._late[-1][1] <= late_seconds:
            self._late.pop()
        self._late.append((time_s, late_seconds))
        self._forget(time_s)

    def find_longest(self) -> float:
        self._forget(self._now())
        return self._late[0][1] if self._late else 0.0

    def _forget(self, time_s: float) -> None:
        while self._late and self._late[0][0] < time_s - WINDOW_SECONDS:
            self._late.popleft()


async def watch_standstill() -> None:
    """Tick until cancelled. A signal shows the delay of late ticks; a very late one is logged too."""
    standstill = LoopStandstill()
    telemetry.LOOP_STANDSTILL.set_function(standstill.find_longest)
    while True:
        due = time.monotonic() + TICK_SECONDS
        await asyncio.sleep(TICK_SECONDS)
        late = max(0.0, time.monotonic() - due)
        standstill.note(late)
        if late > LOGGED_SECONDS:
            _log.warning("event_loop_blocked", seconds=round(late, 2))
