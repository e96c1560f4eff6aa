"""How long a worker waits while a server is unavailable.   Stage 3 of 6: stream → [process] → store."""

from __future__ import annotations

from collections.abc import Callable

BACKOFF_SECONDS_MAX = 2.0


class BackOff:
    """Waits twice as long each time, until `reset`."""

    def __init__(self, sleep: Callable[[float], None]) -> None:
        self._sleep, self._seconds = sleep, 0.0

    def wait(self) -> None:
        self._seconds = min(BACKOFF_SECONDS_MAX, self._seconds * 2 or 0.1)
        self._sleep(self._seconds)

    def reset(self) -> None:
        self._seconds = 0.0
