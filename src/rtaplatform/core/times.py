"""ISO 8601 text → milliseconds since 1970.   Pure.

A date, or a date and a time with T or a blank between them; any number of fraction digits, cut to
milliseconds; without an offset it is UTC. Years 1970 to 9999. Everything else is unreadable: None.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

_FORM = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})(?:[Tt ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d+))?)?(?:([Zz])|([+-])(\d{2}):?(\d{2})?)?)?",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTES: dict[str, int] = {}  # "2026-11-22T10:00" → ms; events come in time order, so a few minutes serve them all
_MINUTES_MAX = 4_096
# The rest of the form that nearly all senders use, ":05.120Z": two look-ups instead of a parse.
_SECONDS = {f":{second:02}.": second * 1000 for second in range(60)}
_MILLISECONDS = {f"{millisecond:03}Z": millisecond for millisecond in range(1000)}
TIME_MS_MAX = 253_402_300_800_000  # the end of the year 9999


def read_time_ms(text: str) -> int | None:
    """Milliseconds since 1970, or None where the text cannot be read as a time."""
    second, fraction = _SECONDS.get(text[16:20]), _MILLISECONDS.get(text[20:])
    if second is not None and fraction is not None:
        start = _MINUTES.get(text[:16])
        if start is None:
            start = _remember_minute(text)
        if start is not None:
            return start + second + fraction
    return _read_any(text)


def _remember_minute(text: str) -> int | None:
    start = _read_any(text[:16] + "Z") if text[10] == "T" else None
    if start is not None:
        if len(_MINUTES) >= _MINUTES_MAX:
            _MINUTES.clear()
        _MINUTES[text[:16]] = start
    return start


def _read_any(text: str) -> int | None:
    form = _FORM.fullmatch(text)
    if form is None:
        return None
    year, month, day, hour, minute, second, fraction, _z, sign, ahead_h, ahead_m = form.groups()
    milliseconds = int(((fraction or "") + "000")[:3])
    try:
        zone = UTC if sign is None else _zone(sign, int(ahead_h), int(ahead_m or 0))
        moment = datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), tzinfo=zone
        )
        ms = int(moment.timestamp()) * 1000 + milliseconds
    except (ValueError, OverflowError):
        return None
    return ms if 0 <= ms < TIME_MS_MAX else None


def _zone(sign: str, hours: int, minutes: int) -> timezone:
    if minutes > 59:
        raise ValueError("minutes of an offset")
    ahead = timedelta(hours=hours, minutes=minutes)
    return timezone(ahead if sign == "+" else -ahead)


def iso_utc(ms: int) -> str:
    """2026-11-22T10:00:00.120Z"""
    return (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
