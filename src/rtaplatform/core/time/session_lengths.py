"""Lengths of sessions in log buckets: each begins a tenth above the one before.   Pure.

Bucket 0 is the length 0. Bucket i begins at 1.1^(i - 1) ms; the last begins after a month. A bucket stands for the
geometric middle of the whole milliseconds in it, so it is off by less than `LENGTH_ERROR`.
"""

from __future__ import annotations

from bisect import bisect_right
from math import sqrt

LENGTH_ERROR = 0.05  # relative, at most
LENGTH_BOUNDS_MS = [-(-(11**i) // 10**i) for i in range(230)]  # of a few ms several are equal: their buckets are empty


def find_length_index(length_ms: int) -> int:
    """The bucket of a length."""
    return bisect_right(LENGTH_BOUNDS_MS, length_ms)


def compute_middle_ms(index: int) -> float:
    """The length that a bucket stands for."""
    if index == 0:
        return 0.0
    low = LENGTH_BOUNDS_MS[index - 1]
    high = LENGTH_BOUNDS_MS[index] - 1 if index < len(LENGTH_BOUNDS_MS) else low
    return sqrt(low * max(low, high))
