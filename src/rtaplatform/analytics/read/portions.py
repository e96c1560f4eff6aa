"""Large reads are made in portions, so that none of them holds up the others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def split_into_portions(weighted_items: Iterable[tuple[T, int]], weight_max: int) -> list[list[T]]:
    """Split in order, into portions of at most this weight; a heavier item is a portion by itself."""
    portions: list[list[T]] = []
    room = 0
    for item, weight in weighted_items:
        if weight > room or not portions:
            portions.append([])
            room = weight_max
        portions[-1].append(item)
        room -= weight
    return portions
