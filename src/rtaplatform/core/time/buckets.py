"""Time buckets: which minute, local hour and local day an instant belongs to, and how long each is kept.   Pure.

Starts are whole minutes since 1970 (every zone offset in use today is a whole number of minutes); instants are
milliseconds since 1970. Minutes are UTC; hours and days are local to the project's zone. If an offset changes within an
hour, a new hour bucket begins at the change.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from rtaplatform.core.rollups import is_short_lived
from rtaplatform.core.time.zones import load_zone

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000


class BucketKind(StrEnum):
    """The bucket sizes, finest first."""

    MINUTE = "m"
    HOUR = "h"
    DAY = "d"


# A bucket that starts at s is kept while s + retention > stream time (docs/reference/rules.md, 4). Minutes and hours
# are kept for their own length longer: a question from -48h or -60d begins in a bucket that still took late events.
RETENTION_MS = {
    BucketKind.MINUTE: 48 * HOUR_MS + MINUTE_MS,
    BucketKind.HOUR: 60 * DAY_MS + HOUR_MS,
    BucketKind.DAY: 400 * DAY_MS,
}
# Sketches of persons by product, by page and by visit expire sooner: there may be tens of thousands in an hour.
SHORT_SKETCHES_OF_HOURS_MS = 8 * DAY_MS
# How much longer Redis keeps a bucket: its greatest length, and slack for a reader that is still reading it.
EXPIRY_SLACK_MS = {BucketKind.MINUTE: HOUR_MS, BucketKind.HOUR: DAY_MS, BucketKind.DAY: 2 * DAY_MS}


class BucketStarts(NamedTuple):
    """The starts of the three buckets of an instant, in minutes since 1970."""

    minute: int
    hour: int
    day: int


@lru_cache(maxsize=65_536)
def find_bucket_starts(minute: int, zone: str) -> BucketStarts:
    """The buckets of the UTC minute `minute` in the time zone `zone` (an IANA name)."""
    tz = load_zone(zone)
    local = datetime.fromtimestamp(minute * 60, tz)
    hour = minute - local.minute
    if datetime.fromtimestamp(hour * 60, tz).utcoffset() != local.utcoffset():
        hour = _find_last_change(hour, minute, tz)
    return BucketStarts(minute, hour, find_day_start(local, tz))


def find_day_start(local: datetime, tz: ZoneInfo) -> int:
    """The first minute of the local day of `local`. If midnight is skipped, it is the first instant after the gap."""
    return int(datetime(local.year, local.month, local.day, tzinfo=tz).timestamp()) // 60


def _find_last_change(low: int, high: int, tz: ZoneInfo) -> int:
    """The first minute in (low, high] with the offset of `high`."""
    offset = datetime.fromtimestamp(high * 60, tz).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle * 60, tz).utcoffset() == offset:
            high = middle
        else:
            low = middle
    return high


def is_kept(kind: BucketKind, start: int, stream_time_ms: int) -> bool:
    return start * MINUTE_MS + RETENTION_MS[kind] > stream_time_ms


def find_sketch_retention_ms(kind: BucketKind, dimension: str) -> int:
    """How long sketches of persons by this dimension ("" for all persons) are kept."""
    is_short = kind is BucketKind.HOUR and is_short_lived(dimension)
    return SHORT_SKETCHES_OF_HOURS_MS if is_short else RETENTION_MS[kind]


def compute_expiry_s(kind: BucketKind, start: int) -> int:
    """When Redis may expire the bucket, in seconds since 1970. This only cleans up; no decision depends on it."""
    return (start * MINUTE_MS + RETENTION_MS[kind] + EXPIRY_SLACK_MS[kind]) // 1000
