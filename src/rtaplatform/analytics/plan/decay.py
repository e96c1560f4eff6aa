"""Weights by age: what happened one half-life ago counts half.   Stage 5 of 6, pure.

Whole numbers, so that a sum of them is the same in any order. A bucket's age is that of its middle.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

ONE = 2**20  # the weight of what happens at the end of the period


def decay_weights(starts: Sequence[int], end: int, half_life: int) -> list[int]:
    """One for each of the buckets that begin at `starts` and make up a period until `end`; all in one unit of time."""
    return [round(ONE * 0.5 ** ((2 * end - low - high) / (2 * half_life))) for low, high in pairwise((*starts, end))]
