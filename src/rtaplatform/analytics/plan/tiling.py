"""Tile a period with the coarsest buckets that are kept.   Stage 5 of 6, pure.

Promise: the tiles of a period are disjoint, cover it exactly, and are all kept; where no such tiles exist the
answer is None, never a near miss. Times are minutes since 1970; tiles are buckets of the project's zone.
"""

from __future__ import annotations

from collections.abc import Sequence

from rtaplatform.core.time.buckets import MINUTE_MS, RETENTION_MS, BucketKind
from rtaplatform.core.time.calendar import floor_to_kind, next_of_kind

Tile = tuple[BucketKind, int]
FINEST_FIRST = (BucketKind.MINUTE, BucketKind.HOUR, BucketKind.DAY)


def kept_from(kind: BucketKind, now_ms: int) -> int:
    """The first minute from which buckets of this kind are kept whole; the one it falls into is kept too."""
    return -((RETENTION_MS[kind] - now_ms) // MINUTE_MS)


def finest_kept(start: int, zone: str, now_ms: int, kinds: Sequence[BucketKind] = FINEST_FIRST) -> BucketKind:
    """The smallest kind of which all buckets from the one of `start` on are kept; days where none is."""
    return next(
        (kind for kind in kinds if _is_kept(kind, floor_to_kind(start, kind, zone), zone, now_ms)), BucketKind.DAY
    )


def tile(
    start: int, end: int, *, zone: str, now_ms: int, kinds: Sequence[BucketKind] = FINEST_FIRST
) -> list[Tile] | None:
    """The fewest buckets that make up [start, end) exactly, or None."""
    tiles: list[Tile] = []
    at = start
    while at < end:
        found = _coarsest(at, end, zone, now_ms, kinds)
        if found is None:
            return None
        tiles.append((found[0], at))
        at = found[1]
    return tiles


def _coarsest(at: int, end: int, zone: str, now_ms: int, kinds: Sequence[BucketKind]) -> tuple[BucketKind, int] | None:
    for kind in reversed(kinds):
        if floor_to_kind(at, kind, zone) != at:
            continue
        following = next_of_kind(at, kind, zone)
        if following <= end and (kind is BucketKind.DAY or _is_kept(kind, at, zone, now_ms)):
            return kind, following
    return None


def _is_kept(kind: BucketKind, start: int, zone: str, now_ms: int) -> bool:
    return next_of_kind(start, kind, zone) > kept_from(kind, now_ms)
