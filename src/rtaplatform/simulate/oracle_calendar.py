"""The oracle's times: reading ISO 8601, and the buckets of a time.   Code of its own, by the standard library.

Milliseconds since 1970 throughout; None is "cannot be read".
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
RETENTION_MS = {"minute": 48 * HOUR_MS, "hour": 60 * DAY_MS, "day": 400 * DAY_MS}

_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)"
    r"(?:[Tt ](\d\d:\d\d)(?::(\d\d)(?:[.,](\d+))?)?([Zz]|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_time(value: Any) -> int | None:
    """Return the time of an ISO 8601 text, cut to milliseconds; without an offset it is UTC."""
    found = _ISO.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    date, minutes, seconds, fraction, offset = found.groups()
    try:
        moment = datetime.fromisoformat(f"{date}T{minutes or '00:00'}:{seconds or '00'}+00:00")
        moment -= _offset(offset)
    except (ValueError, OverflowError):
        return None
    milliseconds = (moment - _EPOCH) // timedelta(milliseconds=1) + int(((fraction or "") + "000")[:3])
    return milliseconds if milliseconds >= 0 else None


def bucket_starts(time_ms: int, zone: str) -> dict[str, int]:
    """Return the start of the minute, the local hour and the local day, in minutes since 1970."""
    minute = time_ms // MINUTE_MS
    hour, day = _local_starts(minute, zone)
    return {"minute": minute, "hour": hour, "day": day}


def kept(kind: str, start_minute: int, record_time: int) -> bool:
    """Tell whether a bucket is still updated at this record time (rule 4)."""
    return start_minute * MINUTE_MS + RETENTION_MS[kind] > record_time


@lru_cache(maxsize=1 << 17)
def _local_starts(minute: int, zone: str) -> tuple[int, int]:
    place = _zone(zone)
    local = _local(minute, place)
    hour = minute
    # Back through the local hour, minute by minute, and no further than a change of the clocks.
    while local.minute and _same_hour(_local(hour - 1, place), local):
        hour -= 1
    midnight = datetime(local.year, local.month, local.day, tzinfo=place)
    return hour, int(midnight.timestamp()) // 60


@lru_cache
def _zone(name: str) -> ZoneInfo:
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def _same_hour(earlier: datetime, later: datetime) -> bool:
    return earlier.hour == later.hour and earlier.utcoffset() == later.utcoffset()


def _local(minute: int, place: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(minute * 60, place)


def _offset(text: str | None) -> timedelta:
    if text is None or text in "Zz":
        return timedelta()
    sign = -1 if text[0] == "-" else 1
    digits = text[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 23 or minutes > 59:
        raise ValueError("no such offset")
    return sign * timedelta(hours=hours, minutes=minutes)
