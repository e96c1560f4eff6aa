"""Which buckets of an event are kept at a stream time.   Pure.   Stage 3 of 6."""

from __future__ import annotations

from rtaplatform.core.time.buckets import (
    EXPIRY_SLACK_MS,
    MINUTE_MS,
    RETENTION_MS,
    SHORT_SKETCHES_OF_HOURS_MS,
    BucketKind,
    BucketStarts,
)

MINUTES_KEPT_MS, HOURS_KEPT_MS, DAYS_KEPT_MS = (RETENTION_MS[kind] for kind in BucketKind)
NEW_MS = MINUTES_KEPT_MS - MINUTE_MS  # the minute bucket of a younger event is kept, wherever in the minute it lies
# Levels of retention: NONE means late. `KINDS_KEPT`: how many of day, hour and minute are kept, by level.
ALL, HOUR, HOUR_WITHOUT_SHORT_SKETCHES, DAY, NONE = 4, 3, 2, 1, 0
KINDS_KEPT = (0, 1, 2, 2, 3)


def find_oldest_minute_ms(server_s: int) -> int:
    """Events before it have no minute bucket in the store any more, whose clock has passed `server_s`."""
    return server_s * 1000 - MINUTES_KEPT_MS - EXPIRY_SLACK_MS[BucketKind.MINUTE] - MINUTE_MS


def find_level(starts: BucketStarts, stream_time_ms: int) -> int:
    """The level of retention at this stream time."""
    if starts.minute * MINUTE_MS + MINUTES_KEPT_MS > stream_time_ms:
        return ALL
    if starts.hour * MINUTE_MS + SHORT_SKETCHES_OF_HOURS_MS > stream_time_ms:
        return HOUR
    if starts.hour * MINUTE_MS + HOURS_KEPT_MS > stream_time_ms:
        return HOUR_WITHOUT_SHORT_SKETCHES
    return DAY if starts.day * MINUTE_MS + DAYS_KEPT_MS > stream_time_ms else NONE


def list_kept_buckets(starts: BucketStarts, level: int) -> list[tuple[BucketKind, int]]:
    kinds = [(BucketKind.DAY, starts.day), (BucketKind.HOUR, starts.hour), (BucketKind.MINUTE, starts.minute)]
    return kinds[: KINDS_KEPT[level]]
