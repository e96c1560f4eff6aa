"""Interval buckets of the local calendar: where each starts, and where the next one does.   Pure.

Times are whole minutes since 1970. A bucket is named by its start; the first bucket of a period may begin before the
period. Minutes are UTC, hours follow `core/time/buckets.py`; days, weeks and months begin at a local midnight.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

from rtaplatform.core.time.buckets import BucketKind, find_bucket_starts
from rtaplatform.core.time.zones import load_zone

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
# The least length of each interval, in minutes: it bounds the number of points before any is made.
LEAST_MINUTES = {"minute": 1, "hour": 60, "day": 23 * 60, "week": 167 * 60, "month": 671 * 60}


def round_down_to(minute: int, interval: str, zone: str, week_start: str = "monday") -> int:
    """The start of the interval bucket that holds `minute`."""
    if interval == "minute":
        return minute
    if interval == "hour":
        return find_bucket_starts(minute, zone).hour
    if interval == "day":
        return find_bucket_starts(minute, zone).day
    return find_midnight(_find_first_date(find_local_date(minute, zone), interval, week_start), zone)


def find_next_start(start: int, interval: str, zone: str, week_start: str = "monday") -> int:
    """The start of the bucket after the one that starts at `start`."""
    if interval == "minute":
        return start + 1
    if interval == "hour":
        return _find_next_hour(start, zone)
    first = _find_first_date(find_local_date(start, zone), interval, week_start)
    end = find_midnight(_find_next_date(first, interval), zone)
    # A local day that was skipped completely (Samoa, 2011) has no length.
    return end if end > start else find_midnight(_find_next_date(first, "day") + timedelta(days=1), zone)


def round_down_to_kind(minute: int, kind: BucketKind, zone: str) -> int:
    starts = find_bucket_starts(minute, zone)
    return {BucketKind.MINUTE: starts.minute, BucketKind.HOUR: starts.hour, BucketKind.DAY: starts.day}[kind]


def find_next_of_kind(start: int, kind: BucketKind, zone: str) -> int:
    return find_next_start(
        start, {BucketKind.MINUTE: "minute", BucketKind.HOUR: "hour", BucketKind.DAY: "day"}[kind], zone
    )


def find_local_date(minute: int, zone: str) -> date:
    return datetime.fromtimestamp(minute * 60, load_zone(zone)).date()


def find_midnight(day: date, zone: str) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=load_zone(zone)).timestamp()) // 60


def is_midnight(minute: int, zone: str) -> bool:
    return find_bucket_starts(minute, zone).day == minute


def find_previous_period(start: int, end: int, zone: str) -> tuple[int, int]:
    """The period of equal length just before. If it starts at local midnight, it is shifted by whole days instead."""
    if not is_midnight(start, zone):
        return start - (end - start), start
    first, last = find_local_date(start, zone), find_local_date(end, zone)
    days = (last - first).days + (0 if is_midnight(end, zone) else 1)
    before = find_midnight(first - timedelta(days=days), zone)
    return before, min(start, find_midnight(first, zone) if is_midnight(end, zone) else _subtract_days(end, days, zone))


def find_previous_year(start: int, end: int, zone: str) -> tuple[int, int]:
    """The same local dates and times a year earlier. 29 February: the 28th as a start, 1 March as an end."""
    return _subtract_year(start, zone, (2, 28)), _subtract_year(end, zone, (3, 1))


def _subtract_days(minute: int, days: int, zone: str) -> int:
    local = datetime.fromtimestamp(minute * 60, load_zone(zone))
    return int((local - timedelta(days=days)).timestamp()) // 60


def _subtract_year(minute: int, zone: str, leap_day: tuple[int, int]) -> int:
    local = datetime.fromtimestamp(minute * 60, load_zone(zone))
    month, day = leap_day if (local.month, local.day) == (2, 29) else (local.month, local.day)
    if is_midnight(minute, zone):  # where midnight is skipped, the day begins at another time than a year earlier
        return find_midnight(date(local.year - 1, month, day), zone)
    return int(local.replace(year=local.year - 1, month=month, day=day).timestamp()) // 60


def _find_next_hour(start: int, zone: str) -> int:
    hour = find_bucket_starts(start + 60, zone).hour
    # An offset that changes within an hour makes a short hour, which a step of 60 minutes may skip.
    while (earlier := find_bucket_starts(hour - 1, zone).hour) > start:
        hour = earlier
    return hour


def _find_first_date(day: date, interval: str, week_start: str) -> date:
    if interval == "week":
        return day - timedelta(days=(day.weekday() - WEEKDAYS.index(week_start)) % 7)
    return day.replace(day=1) if interval == "month" else day


def _find_next_date(first: date, interval: str) -> date:
    if interval == "month":
        return (first + timedelta(days=32)).replace(day=1)
    return first + timedelta(days=7 if interval == "week" else 1)
