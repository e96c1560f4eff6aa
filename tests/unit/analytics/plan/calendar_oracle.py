"""The calendar, counted by hand: minute after minute, by the standard library alone. Shares no code with the analytics.

A local day begins at its first minute. Nothing here knows how long a day is.
"""

from __future__ import annotations

from bisect import bisect_left
from datetime import date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

WEEK = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@cache
def convert_to_local(minute: int, zone: str) -> datetime:
    return datetime.fromtimestamp(minute * 60, ZoneInfo(zone))


@cache
def name_bucket(minute: int, interval: str, zone: str, week_start: str) -> object:
    """Two minutes are in one bucket where these are equal."""
    at = convert_to_local(minute, zone)
    if interval == "minute":
        return minute
    if interval == "hour":
        return (at.date(), at.hour, at.utcoffset())
    if interval == "week":
        return at.date() - timedelta(days=(at.weekday() - WEEK.index(week_start)) % 7)
    return (at.year, at.month) if interval == "month" else at.date()


def find_first_of_bucket(minute: int, interval: str, zone: str, week_start: str) -> int:
    """Back in steps of whole hours, then minute by minute, as long as the bucket is the same."""
    name, at = name_bucket(minute, interval, zone, week_start), minute
    for step in (60, 1):
        while name_bucket(at - step, interval, zone, week_start) == name:
            at -= step
    return at


@cache
def find_first_of_day(day: date, zone: str) -> int:
    """The first minute of the local day, looked for among all of three days; a skipped day has that of the next."""
    start = int(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo("UTC")).timestamp()) // 60 - 1_440
    minutes = range(start, start + 3 * 1_440)
    return minutes[bisect_left(minutes, day, key=lambda minute: convert_to_local(minute, zone).date())]


def is_midnight(minute: int, zone: str) -> bool:
    return convert_to_local(minute - 1, zone).date() < convert_to_local(minute, zone).date()


def list_minutes_at(wall: datetime, zone: str) -> list[int]:
    """The minutes that show this wall time: none in a gap, two where the clock goes back.

    Every offset in use is a multiple of a quarter of an hour.
    """
    near = int(wall.replace(tzinfo=ZoneInfo("UTC")).timestamp()) // 60
    return [
        m for m in range(near - 900, near + 900, 15) if convert_to_local(m, zone).replace(tzinfo=None, fold=0) == wall
    ]
