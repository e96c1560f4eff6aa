"""The period of a recount: whole local days of a project, and the buckets in them.   Pure."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from rtaplatform.core.errors import SetupError
from rtaplatform.core.time.buckets import RETENTION_MS, BucketKind, find_bucket_starts, find_day_start
from rtaplatform.core.time.zones import load_zone

DAYS_MAX = 62
DAY_MIN, DAY_MAX = date(1970, 1, 2), date(9998, 12, 31)  # beyond them, a day has no midnight in every zone
_AHEAD_MINUTES = 7  # an event may be up to five minutes ahead
# A bucket that goes so soon is not compared: it may be deleted while it is read.
_SOON_MS = 3_600_000


class ReconcilePeriod(NamedTuple):
    """`starts` of buckets that are still kept, in minutes since 1970; `end` is the first minute after the period."""

    first_day: date
    last_day: date
    begin: int
    end: int
    starts: dict[BucketKind, tuple[int, ...]]

    def covers(self, start: int) -> bool:
        """Tell whether a bucket with this start lies in the period."""
        return self.begin <= start < self.end


def choose_period(first: date | None, last: date | None, zone: str, now_ms: int) -> ReconcilePeriod:
    """Return the days from `first` to `last`, both included; by default yesterday and today. Raises SetupError."""
    for day in (first, last):
        if day is not None and not DAY_MIN <= day <= DAY_MAX:
            message = f"{day} is not between {DAY_MIN} and {DAY_MAX}."
            raise SetupError(message, "Correct --from or --to.", exit_code=2)
    tz = load_zone(zone)
    today = datetime.fromtimestamp(now_ms / 1000, tz).date()
    last_day = last or today
    first_day = first or last_day - timedelta(days=1)
    if first_day > last_day or (last_day - first_day).days >= DAYS_MAX:
        raise SetupError(
            f"The period from {first_day} to {last_day} is not 1 to {DAYS_MAX} days.",
            "See --from and --to.",
            exit_code=2,
        )
    begin, end = _find_midnight(first_day, tz), _find_midnight(last_day + timedelta(days=1), tz)
    until = min(end, now_ms // 60_000 + _AHEAD_MINUTES)
    return ReconcilePeriod(first_day, last_day, begin, end, _list_starts(begin, until, zone, now_ms))


def _list_starts(begin: int, end: int, zone: str, now_ms: int) -> dict[BucketKind, tuple[int, ...]]:
    starts_of: dict[BucketKind, set[int]] = {kind: set() for kind in BucketKind}
    for minute in range(begin, end):
        for kind, start in zip(BucketKind, find_bucket_starts(minute, zone), strict=True):
            starts_of[kind].add(start)
    return {
        kind: tuple(s for s in sorted(starts) if s * 60_000 + RETENTION_MS[kind] > now_ms + _SOON_MS)
        for kind, starts in starts_of.items()
    }


def _find_midnight(day: date, tz: ZoneInfo) -> int:
    return find_day_start(datetime(day.year, day.month, day.day, 12, tzinfo=tz), tz)
