"""Wakes one listener of a live query: when there is news, and at a time that the listener chooses.   Stage 5 of 6.

A ring while the listener is busy is kept until it waits again. There is one timer for each listener and not for each
wait: thousands of listeners wait several times a second.
"""

from __future__ import annotations

import asyncio

CLOCK_S = 0.001  # a timer may be early by the resolution of the clock


class ListenerBell:
    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._is_rung = True  # whoever has just joined looks first
        self._waiter: asyncio.Future[None] | None = None  # an asyncio.Event takes a kilobyte more
        self._alarm: asyncio.TimerHandle | None = None

    def ring(self) -> None:
        self._is_rung = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> None:
        """Wait until somebody rings, or has rung since the last wait."""
        if not self._is_rung:
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        self._is_rung = False

    def set_alarm(self, at_s: float) -> None:
        """Ring just after this time of the event loop. Replaces an earlier alarm."""
        self.end()
        self._alarm = self._loop.call_at(at_s + CLOCK_S, self.ring)

    def end(self) -> None:
        """Forget the alarm."""
        if self._alarm is not None:
            self._alarm.cancel()
