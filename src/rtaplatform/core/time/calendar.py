"""Interval buckets of the local calendar: where each starts, and where the next one does.   Pure.

Times are whole minutes since 1970. A bucket is named by its start; the first bucket of a period may begin before the
period. Minutes are UTC, hours follow `core/time/buckets.py`; days, weeks and months begin at a local midnight.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

from rtaplatform.core.time.buckets import BucketKind, bucket_starts
from rtaplatform.core.time.zones import load_zone

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
# The least length of each interval, in minutes: it bounds the number of points before any is made.
LEAST_MINUTES = {"minute": 1, "hour": 60, "day": 23 * 60, "week": 167 * 60, "month": 671 * 60}


def floor_to(minute: int, interval: str, zone: str, week_start: str = "monday") -> int:
    """The start of the interval bucket that holds `minute`."""
    if interval == "minute":
        return minute
    if interval == "hour":
        return bucket_starts(minute, zone).hour
    if interval == "day":
        return bucket_starts(minute, zone).day
    return midnight(_first_date(local_date(minute, zone), interval, week_start), zone)


def next_start(start: int, interval: str, zone: str, week_start: str = "monday") -> int:
    """The start of the bucket after the one that starts at `start`."""
    if interval == "minute":
        return start + 1
    if interval == "hour":
        return _next_hour(start, zone)
    first = _first_date(local_date(start, zone), interval, week_start)
    end = midnight(_next_date(first, interval), zone)
    # A local day that was skipped completely (Samoa, 2011) has no length.
    return end if end > start else midnight(_next_date(first, "day") + timedelta(days=1), zone)


def floor_to_kind(minute: int, kind: BucketKind, zone: str) -> int:
    starts = bucket_starts(minute, zone)
    return {BucketKind.MINUTE: starts.minute, BucketKind.HOUR: starts.hour, BucketKind.DAY: starts.day}[kind]


def next_of_kind(start: int, kind: BucketKind, zone: str) -> int:
    return next_start(start, {BucketKind.MINUTE: "minute", BucketKind.HOUR: "hour", BucketKind.DAY: "day"}[kind], zone)


def local_date(minute: int, zone: str) -> date:
    return datetime.fromtimestamp(minute * 60, load_zone(zone)).date()


def midnight(day: date, zone: str) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=load_zone(zone)).timestamp()) // 60


def is_midnight(minute: int, zone: str) -> bool:
    return bucket_starts(minute, zone).day == minute


def previous_period(start: int, end: int, zone: str) -> tuple[int, int]:
    """The period of equal length just before. If it starts at local midnight, it is shifted by whole days instead."""
    if not is_midnight(start, zone):
        return start - (end - start), start
    first, last = local_date(start, zone), local_date(end, zone)
    days = (last - first).days + (0 if is_midnight(end, zone) else 1)
    before = midnight(first - timedelta(days=days), zone)
    return before, min(start, midnight(first, zone) if is_midnight(end, zone) else _days_before(end, days, zone))


def previous_year(start: int, end: int, zone: str) -> tuple[int, int]:
    """The same local dates and times a year earlier. 29 February: the 28th as a start, 1 March as an end."""
    return _year_before(start, zone, (2, 28)), _year_before(end, zone, (3, 1))


def _days_before(minute: int, days: int, zone: str) -> int:
    local = datetime.fromtimestamp(minute * 60, load_zone(zone))
    return int((local - timedelta(days=days)).timestamp()) // 60


def _year_before(minute: int, zone: str, leap_day: tuple[int, int]) -> int:
    local = datetime.fromtimestamp(minute * 60, load_zone(zone))
    month, day = leap_day if (local.month, local.day) == (2, 29) else (local.month, local.day)
    if is_midnight(minute, zone):  # where midnight is skipped, the day begins at another time than a year earlier
        return midnight(date(local.year - 1, month, day), zone)
    return int(local.replace(year=local.year - 1, month=month, day=day).timestamp()) // 60


def _next_hour(start: int, zone: str) -> int:
    hour = bucket_starts(start + 60, zone).hour
    # An offset that changes within an hour makes a short hour, which a step of 60 minutes may skip.
    while (earlier := bucket_starts(hour - 1, zone).hour) > start:
        hour = earlier
    return hour


def _first_date(day: date, interval: str, week_start: str) -> date:
    if interval == "week":
        return day - timedelta(days=(day.weekday() - WEEKDAYS.index(week_start)) % 7)
    return day.replace(day=1) if interval == "month" else day


def _next_date(first: date, interval: str) -> date:
    if interval == "month":
        return (first + timedelta(days=32)).replace(day=1)
    return first + timedelta(days=7 if interval == "week" else 1)
