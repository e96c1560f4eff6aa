"""The oracle's times: reading ISO 8601 and numbers, and the buckets of a time.

All times are milliseconds since 1970. None means that a time cannot be read.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from importlib.resources import files
from math import floor
from typing import Any
from zoneinfo import ZoneInfo

from rtaplatform.simulate.oracle.oracle_json import OracleNumber

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
RETENTION_MS = {"minute": 48 * HOUR_MS + MINUTE_MS, "hour": 60 * DAY_MS + HOUR_MS, "day": 400 * DAY_MS}

_DATES = (
    (re.compile(r"(\d{4})-?(\d\d)-?(\d\d)", re.ASCII), date),
    (re.compile(r"(\d{4})-?W(\d\d)-?([1-7])", re.ASCII), date.fromisocalendar),
    (re.compile(r"(\d{4})-?(\d{3})", re.ASCII), lambda y, n: _find_day_of_year(y, n)),
)
_DATES_WITHOUT_TIME = (
    (re.compile(r"(\d{4})-?W(\d\d)", re.ASCII), lambda y, w: date.fromisocalendar(y, w, 1)),
    (re.compile(r"(\d{4})-(\d\d)", re.ASCII), lambda y, m: date(y, m, 1)),
    (re.compile(r"(\d{4})", re.ASCII), lambda y: date(y, 1, 1)),
)
_CLOCK = re.compile(r"(\d\d)(?::?(\d\d)(?::?(\d\d))?)?(?:[.,](\d+))?", re.ASCII)
_OFFSET = re.compile(r"(?:[Zz]|([+−-])(\d\d)(?::?(\d\d))?)$", re.ASCII)
_JSON_NUMBER = re.compile(r"(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_END_MS = 253_402_300_800_000  # the end of the year 9999


def read_time(value: Any) -> int | None:
    """Return the time of an ISO 8601 text (UTC without an offset) or of a number, also as text; cut to ms."""
    if isinstance(value, OracleNumber):
        return _read_number(value.text)
    if not isinstance(value, str):
        return None
    time_ms = _read_iso(value)
    return _read_number(value) if time_ms is None else time_ms


def _read_number(text: str) -> int | None:
    if len(text) > 100 or not _JSON_NUMBER.fullmatch(text):
        return None
    number = Fraction(text)
    return _check_range(floor(number * 1000 if number < 100_000_000_000 else number))


def _read_iso(text: str) -> int | None:
    text = text[3:] if re.match(r"\+00\d{4}", text, re.ASCII) else text
    day, separator, clock = text, "", ""
    for sign in "Tt ":
        if sign in text:
            day, separator, clock = text.partition(sign)
            break
    try:
        if not separator:
            return _check_range(_read_day_ms(day, (*_DATES, *_DATES_WITHOUT_TIME)))
        offset = _OFFSET.search(clock)
        if offset is not None:
            clock = clock[: offset.start()]
        return _check_range(_read_day_ms(day, _DATES) + _read_clock_ms(clock) - _read_offset_ms(offset))
    except (ValueError, OverflowError):
        return None


def _check_range(ms: int) -> int | None:
    return ms if 0 <= ms < _END_MS else None


def _read_day_ms(text: str, forms: Any) -> int:
    for form, make in forms:
        match = form.fullmatch(text)
        if match is not None:
            day: date = make(*map(int, match.groups()))
            return (day - date(1970, 1, 1)).days * DAY_MS
    raise ValueError(text)


def _find_day_of_year(year: int, number: int) -> date:
    day = date(year, 1, 1) + timedelta(days=number - 1)
    if day.year != year:
        raise ValueError("no such day of the year")
    return day


def _read_clock_ms(text: str) -> int:
    match = _CLOCK.fullmatch(text)
    if match is None:
        raise ValueError(text)
    parts = [int(part) for part in match.groups()[:3] if part is not None]
    units = (HOUR_MS, MINUTE_MS, 1000)
    ms = sum(part * unit for part, unit in zip(parts, units, strict=False))
    digits = (match[4] or "0")[: 3 if len(parts) == 3 else 40]
    part = floor(Fraction(int(digits), 10 ** len(digits)) * units[len(parts) - 1])
    hour, minute, second = (*parts, 0, 0)[:3]
    if hour > 24 or minute > 59 or second > 60 or (hour == 24 and ms + part != DAY_MS):
        raise ValueError(text)
    return ms if second == 60 else ms + part  # a leap second counts as the first second of the next minute


def _read_offset_ms(match: re.Match[str] | None) -> int:
    if match is None or match[1] is None:
        return 0
    hours, minutes = int(match[2]), int(match[3] or 0)
    if hours > 23 or minutes > 59:
        raise ValueError("no such offset")
    return (hours * HOUR_MS + minutes * MINUTE_MS) * (1 if match[1] == "+" else -1)


def find_bucket_starts(time_ms: int, zone: str) -> dict[str, int]:
    """Return the start of the minute, the local hour and the local day, in minutes since 1970."""
    minute = time_ms // MINUTE_MS
    hour, day = _find_local_starts(minute, zone)
    return {"minute": minute, "hour": hour, "day": day}


def is_kept(kind: str, start_minute: int, stream_time: int) -> bool:
    """Return whether a bucket is still updated at this stream time (rule 4)."""
    return start_minute * MINUTE_MS + RETENTION_MS[kind] > stream_time


def keeps_persons_by_product(kind: str, start_minute: int, stream_time: int) -> bool:
    """Return whether a bucket still counts persons by product: an hour does so for 8 days only (rule 5)."""
    return kind != "hour" or start_minute * MINUTE_MS + 8 * DAY_MS > stream_time


@lru_cache(maxsize=1 << 17)
def _find_local_starts(minute: int, zone: str) -> tuple[int, int]:
    zone_info = load_zone_info(zone)
    local = _to_local(minute, zone_info)
    hour = minute
    # Go back minute by minute through the local hour, but not beyond a change of the clocks.
    while local.minute and _is_same_hour(_to_local(hour - 1, zone_info), local):
        hour -= 1
    midnight = datetime(local.year, local.month, local.day, tzinfo=zone_info)
    return hour, int(midnight.timestamp()) // 60


@lru_cache
def load_zone_info(name: str) -> ZoneInfo:
    """Return the zone of an IANA name."""
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def _is_same_hour(earlier: datetime, later: datetime) -> bool:
    return earlier.hour == later.hour and earlier.utcoffset() == later.utcoffset()


def _to_local(minute: int, zone_info: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(minute * 60, zone_info)
