"""Counts over the last minutes. Pure: the caller says what time it is, in seconds of any clock that never goes back."""

from __future__ import annotations

from collections import Counter

RECENT_SECONDS = 300.0
SLICE_SECONDS = 5.0


class SlidingCounts:
    """Counts by name over the last `window_seconds`, exact to one slice: a slice leaves the window as a whole.

    It holds at most one slice more than the window has, however long it runs.
    """

    def __init__(
        self, started_s: float, window_seconds: float = RECENT_SECONDS, slice_seconds: float = SLICE_SECONDS
    ) -> None:
        self._started_s, self._window_seconds, self._slice_seconds = started_s, window_seconds, slice_seconds
        self._slices: dict[int, Counter[str]] = {}

    def add(self, name: str, n: int, now_s: float) -> None:
        number = self._find_slice(now_s)
        if number not in self._slices:
            first = self._find_first_in_window(now_s)
            self._slices = {old: counts for old, counts in self._slices.items() if old >= first}
            self._slices[number] = Counter()
        self._slices[number][name] += n

    def count(self, name: str, now_s: float) -> int:
        """The count of the window that ends now."""
        first = self._find_first_in_window(now_s)
        return sum(counts[name] for number, counts in self._slices.items() if number >= first)

    def measure_covered_seconds(self, now_s: float) -> float:
        """How much of the window has passed since the start: less than the window only in the first minutes."""
        return min(now_s - self._started_s, self._window_seconds)

    def _find_slice(self, now_s: float) -> int:
        return int(now_s // self._slice_seconds)

    def _find_first_in_window(self, now_s: float) -> int:
        return self._find_slice(now_s) - int(self._window_seconds // self._slice_seconds) + 1
