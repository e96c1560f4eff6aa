"""Weights by age: an event that is one half-life old counts half.   Stage 5 of 6, pure.

Weights are integers, so that their sum does not depend on the order. A bucket's age is that of its middle.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

ONE = 2**20  # the weight of an event at the end of the period


def compute_weights(starts: Sequence[int], end: int, half_life: int) -> list[int]:
    """A weight for each bucket of a period. Buckets begin at `starts`, the last ends at `end`; one unit of time."""
    return [round(ONE * 0.5 ** ((2 * end - low - high) / (2 * half_life))) for low, high in pairwise((*starts, end))]
