"""Tile a period with the coarsest buckets that are kept.   Stage 5 of 6, pure.

The tiles of a period are disjoint, cover it exactly, and are all kept. If there are no such tiles, the answer is None,
never an approximation. Times are minutes since 1970; tiles are buckets in the project's time zone.
"""

from __future__ import annotations

from collections.abc import Sequence

from rtaplatform.core.time.buckets import BucketKind, is_kept
from rtaplatform.core.time.calendar import find_next_of_kind, round_down_to_kind

Tile = tuple[BucketKind, int]
FINEST_FIRST = (BucketKind.MINUTE, BucketKind.HOUR, BucketKind.DAY)


def find_finest_kept(start: int, zone: str, now_ms: int, kinds: Sequence[BucketKind] = FINEST_FIRST) -> BucketKind:
    """The smallest kind whose buckets are all kept from `start` on; days if there is none."""
    return next(
        (kind for kind in kinds if is_kept(kind, round_down_to_kind(start, kind, zone), now_ms)), BucketKind.DAY
    )


def tile_range(
    start: int, end: int, *, zone: str, now_ms: int, kinds: Sequence[BucketKind] = FINEST_FIRST
) -> list[Tile] | None:
    """The fewest buckets that cover [start, end) exactly, or None."""
    tiles: list[Tile] = []
    tile_start = start
    while tile_start < end:
        kind = _find_coarsest_kind(tile_start, end, zone, now_ms, kinds)
        if kind is None:
            return None
        tiles.append((kind, tile_start))
        tile_start = find_next_of_kind(tile_start, kind, zone)
    return tiles


def _find_coarsest_kind(start: int, end: int, zone: str, now_ms: int, kinds: Sequence[BucketKind]) -> BucketKind | None:
    """The largest kind with a kept bucket that begins at `start` and ends by `end`."""
    for kind in reversed(kinds):
        if round_down_to_kind(start, kind, zone) != start:
            continue
        is_inside = find_next_of_kind(start, kind, zone) <= end
        if is_inside and (kind is BucketKind.DAY or is_kept(kind, start, now_ms)):
            return kind
    return None
