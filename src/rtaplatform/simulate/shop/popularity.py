"""The popularity of products: Zipf's law over a ranking that drifts.   simulate: [popularity] → journey.

The ranking changes slowly with the time of the events: neighbours swap all the time, and now and then a product from
the back becomes a hit. The time is that of the run, so the drift does not depend on the rate.
"""

from __future__ import annotations

from bisect import bisect
from itertools import accumulate
from random import Random
from typing import Any

_ZIPF_EXPONENT = 0.9
_SWAP_EVERY_MS = 2_000
_HIT_EVERY_SWAPS = 300
_SWAPS_AT_ONCE_MAX = 10_000


class Popularity:
    """Draws products. `advance` takes the time, which must never go back."""

    def __init__(self, products: list[dict[str, Any]], rng: Random) -> None:
        self._rng = rng
        self._ranking = rng.sample(products, len(products))
        self._cumulative_weights = list(accumulate(rank**-_ZIPF_EXPONENT for rank in range(1, len(products) + 1)))
        self._swaps = 0
        self._next_ms = _SWAP_EVERY_MS

    def draw(self) -> dict[str, Any]:
        """Return a random product, a popular one more often."""
        return self._ranking[bisect(self._cumulative_weights, self._rng.random() * self._cumulative_weights[-1])]

    def advance(self, now_ms: int) -> None:
        """Let the ranking drift until this time."""
        if now_ms < self._next_ms:
            return
        swaps_due = (now_ms - self._next_ms) // _SWAP_EVERY_MS + 1
        self._next_ms += swaps_due * _SWAP_EVERY_MS
        for _ in range(min(swaps_due, _SWAPS_AT_ONCE_MAX)):
            self._swap()

    def _swap(self) -> None:
        self._swaps += 1
        size = len(self._ranking)
        if self._swaps % _HIT_EVERY_SWAPS == 0:
            hit = self._ranking.pop(int(size * (0.5 + self._rng.random() / 2)))
            self._ranking.insert(int(size * 0.05 * self._rng.random()), hit)
            return
        low = int((size - 1) * self._rng.random())
        high = min(size - 1, low + 1)
        self._ranking[low], self._ranking[high] = self._ranking[high], self._ranking[low]
