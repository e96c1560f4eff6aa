"""Local days as numbers, and the buckets that they have.   Pure.   Stage 3 of 6.

A day is a whole number: days from 1970-01-01 to the local date. So what lies a week apart differs by 7, whatever the
clock did in between.
"""

from __future__ import annotations

from datetime import date, datetime
from functools import lru_cache

from rtaplatform.core.time.buckets import find_day_start
from rtaplatform.core.time.calendar import WEEKDAYS
from rtaplatform.core.time.zones import load_zone

EPOCH = date(1970, 1, 1).toordinal()
EPOCH_WEEKDAY = date(1970, 1, 1).weekday()


@lru_cache(maxsize=65_536)
def find_local_day(minute: int, zone: str) -> int:
    """The local day of a UTC minute."""
    return datetime.fromtimestamp(minute * 60, load_zone(zone)).toordinal() - EPOCH


@lru_cache(maxsize=65_536)
def find_day_bucket(day: int, zone: str) -> int | None:
    """Where the day's bucket starts, in minutes since 1970. None: the zone has skipped that day (Samoa, 2011)."""
    local_date, tz = date.fromordinal(day + EPOCH), load_zone(zone)
    start = find_day_start(datetime(local_date.year, local_date.month, local_date.day, tzinfo=tz), tz)
    return start if datetime.fromtimestamp(start * 60, tz).date() == local_date else None


def find_first_of_week(day: int, week_start: str) -> int:
    return day - (day + EPOCH_WEEKDAY - WEEKDAYS.index(week_start)) % 7
