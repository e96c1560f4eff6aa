"""Whether the clock of this machine can be trusted, by Redis' clock and by what Kafka refuses.

The clock counts as wrong if it differs from Redis' by more than 5 minutes, or for a minute after Kafka has refused a
timestamp. No event is decided by this: the API reports why it is not ready, and answers are not `complete`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from rtaplatform.core.errors import PlatformError, WrongClock
from rtaplatform.core.events import FUTURE_MS_MAX

REFUSAL_COUNTS_SECONDS = 60.0
COMPARE_EVERY_SECONDS = 5.0
ANSWER_SECONDS_MAX = 5.0
REFUSED = "Kafka refuses the times of its records, as too far ahead of Kafka's own clock."


class MachineClock:
    """Judges the clock of this machine. `seconds` is a monotonic clock."""

    def __init__(self, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._refused_at: float | None = None
        self._ahead_seconds = 0.0

    def compare(self, own_seconds: float, other_seconds: float) -> None:
        """Note what Redis' clock said when this machine's clock said `own_seconds`."""
        self._ahead_seconds = own_seconds - other_seconds

    def note_refusal(self) -> None:
        """Note that Kafka has refused the timestamp of a record."""
        self._refused_at = self._seconds()

    def describe_fault(self) -> str | None:
        """Why the clock cannot be trusted; None if it seems right."""
        if abs(self._ahead_seconds) * 1000 > FUTURE_MS_MAX:
            side = "ahead of" if self._ahead_seconds > 0 else "behind"
            return f"It is {abs(self._ahead_seconds):.0f} s {side} Redis' clock."
        if self._refused_at is not None and self._seconds() - self._refused_at < REFUSAL_COUNTS_SECONDS:
            return REFUSED
        return None

    async def check(self) -> None:
        """Raise WrongClock if the clock cannot be trusted."""
        if fault := self.describe_fault():
            raise WrongClock("clock", f"The clock of this machine is wrong. {fault}")


async def watch_clock(
    clock: MachineClock, read_other: Callable[[], Awaitable[float]], read_own: Callable[[], float] = time.time
) -> None:
    """Compare until cancelled; wait while a server is unavailable."""
    while True:
        with suppress(PlatformError, TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                other_seconds = await read_other()
                clock.compare(read_own(), other_seconds)
        await asyncio.sleep(COMPARE_EVERY_SECONDS)
