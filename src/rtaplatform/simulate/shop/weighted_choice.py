"""Weighted choice that sums the weights only once; `random.choices` sums them for every draw."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Sequence
from itertools import accumulate
from random import Random
from typing import Generic, TypeVar

T = TypeVar("T")


class WeightedChoice(Generic[T]):
    """Values, each drawn in proportion to its weight."""

    def __init__(self, values: Sequence[T], weights: Iterable[float]) -> None:
        self._values = tuple(values)
        self._cumulative_weights = list(accumulate(weights))

    def draw(self, rng: Random) -> T:
        """Return one of the values."""
        return self._values[bisect(self._cumulative_weights, rng.random() * self._cumulative_weights[-1])]
