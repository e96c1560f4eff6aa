"""Times as clients write them.   Pure.

ISO 8601: a date, or a date and a time with `T` or a blank; any number of fraction digits, cut to
milliseconds; without an offset it is UTC. Years 1970 to 9999. Anything else is unreadable.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)? ?(?:([Zz])|([+-])(\d\d):?(\d\d)?)?)?",
    re.ASCII,
)
_MS = timedelta(milliseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_time(value: Any) -> int | None:
    """Milliseconds since 1970, or None where it cannot be read."""
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, _, sign, offset_hours, offset_minutes = match.groups()
    try:
        offset = timedelta(hours=int(offset_hours or 0), minutes=int(offset_minutes or 0))
        instant = datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0),
            tzinfo=timezone(-offset if sign == "-" else offset) if sign else UTC,
        )  # fmt: skip
        ms = (instant - _EPOCH) // _MS + int((fraction or "0")[:3].ljust(3, "0"))
    except (ValueError, OverflowError):
        return None
    return ms if 0 <= ms <= LAST_MS else None


LAST_MS = (datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC) - _EPOCH) // _MS


def write_time(ms: int) -> str:
    """`2026-11-22T10:00:00.120Z`."""
    return (_EPOCH + ms * _MS).isoformat(timespec="milliseconds")[:-6] + "Z"
