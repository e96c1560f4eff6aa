"""When visitors who are not known come back: on the same day, on a later one, or after weeks.   simulate: [returns].

Memory is bounded: beyond the limit nobody makes plans. A run that is shorter than a plan never meets it.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Generic, TypeVar

from rtaplatform.core.time.buckets import DAY_MS, HOUR_MS, MINUTE_MS

_SAME_DAY, _LATER_DAY, _AFTER_WEEKS = 0.12, 0.26, 0.36  # cumulative shares of those who leave
_SAME_DAY_MIN_MS, _SAME_DAY_MAX_MS = 40 * MINUTE_MS, 8 * HOUR_MS
_DAYS_MAX, _WEEKS_FIRST_DAY, _WEEKS_LAST_DAY = 6, 7, 42
_JITTER_MS = 2 * HOUR_MS

T = TypeVar("T")


class Returns(Generic[T]):
    """Visitors by the time at which they want to come back."""

    def __init__(self, rng: Random, places: int) -> None:
        self._rng, self._places = rng, places
        self._returns: list[tuple[int, int, T]] = []
        self._numbers: Iterator[int] = count()

    def plan(self, visitor: T, now_ms: int) -> None:
        """Let a visitor who leaves now decide whether to come back, and when."""
        delay_ms = self._draw_delay_ms()
        if delay_ms is not None and len(self._returns) < self._places:
            heappush(self._returns, (now_ms + delay_ms, next(self._numbers), visitor))

    def take(self, now_ms: int) -> T | None:
        """Return a visitor who is due, and forget the plan. None if nobody is."""
        if self._returns and self._returns[0][0] <= now_ms:
            return heappop(self._returns)[2]
        return None

    def _draw_delay_ms(self) -> int | None:
        chance = self._rng.random()
        if chance < _SAME_DAY:
            return int(_SAME_DAY_MIN_MS + self._rng.random() * (_SAME_DAY_MAX_MS - _SAME_DAY_MIN_MS))
        if chance < _LATER_DAY:
            return self._draw_days_ms(1, _DAYS_MAX)
        return self._draw_days_ms(_WEEKS_FIRST_DAY, _WEEKS_LAST_DAY) if chance < _AFTER_WEEKS else None

    def _draw_days_ms(self, first: int, last: int) -> int:
        """About the same local time on another day; sooner is more likely."""
        days = first + int(self._rng.random() ** 2 * (last - first + 1))
        return days * DAY_MS + int((self._rng.random() - 0.5) * 2 * _JITTER_MS)
