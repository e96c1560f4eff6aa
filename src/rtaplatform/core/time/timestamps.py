"""Read ISO 8601 text or a number as milliseconds since 1970.   Pure; used by collector and workers.

Dates may be by month, week or day of the year. Times may end with a fraction of the hour, minute or second, which is
cut to milliseconds. Both may be in basic or extended format, with T or a blank between them; without an offset they are
UTC. A number below 10^11 is in seconds, else in milliseconds. Years are 1970 to 9999. Anything else is unreadable:
None.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

_DATE = r"(?:\+00)?(\d{4})(?:-?(\d{2})-?(\d{2})|-(\d{2})|-?W(\d{2})(?:-?([1-7]))?|-?(\d{3}))?"
_TIME = r"(\d{2})(?::?(\d{2})(?::?(\d{2}))?)?(?:[.,](\d+))?"
_ZONE = r"(?:([Zz])|([+−-])(\d{2}):?(\d{2})?)?"
_FORM = re.compile(rf"{_DATE}(?:[Tt ]{_TIME}{_ZONE})?", re.ASCII)
_NUMBER = re.compile(r"(0|[1-9]\d*)(?:\.(\d+))?(?:[eE]([+-]?\d{1,3}))?", re.ASCII)
NUMBER_CHARACTERS_MAX = 100
FRACTION_DIGITS_MAX = 40  # of an hour or a minute: more digits do not change the millisecond
MILLISECONDS_FROM = 10**11  # a smaller number is seconds
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTES: dict[str, int] = {}  # "2026-11-22T10:00" → ms; events come in time order, so a few minutes serve them all
_MINUTES_MAX = 4_096
# The end of the format that nearly all senders use, ":05.120Z": two look-ups instead of a parse.
_SECONDS = {f":{second:02}.": second * 1000 for second in range(60)}
_MILLISECONDS = {f"{millisecond:03}Z": millisecond for millisecond in range(1000)}
TIME_MS_MAX = 253_402_300_800_000  # the end of the year 9999


def read_time_ms(text: str) -> int | None:
    """Milliseconds since 1970, or None if the text cannot be read as a time."""
    second, fraction = _SECONDS.get(text[16:20]), _MILLISECONDS.get(text[20:])
    if second is not None and fraction is not None:
        start = _MINUTES.get(text[:16])
        if start is None:
            start = _remember_minute(text)
        if start is not None:
            return start + second + fraction
    return _read_any(text)


def _remember_minute(text: str) -> int | None:
    is_plain = text[10] == "T" and text[13] == ":" and text[11:13] != "24"  # after 24:00 there are no seconds
    start = _read_any(text[:16] + "Z") if is_plain else None
    if start is not None:
        if len(_MINUTES) >= _MINUTES_MAX:
            _MINUTES.clear()
        _MINUTES[text[:16]] = start
    return start


def _read_any(text: str) -> int | None:
    form = _FORM.fullmatch(text)
    time_ms = None if form is None else _read_form(form)
    return read_number_ms(text) if time_ms is None else time_ms


def read_number_ms(text: str) -> int | None:
    """A JSON number as a time: in seconds below 10^11, else in milliseconds, cut. None if it is no time."""
    form = _NUMBER.fullmatch(text) if len(text) <= NUMBER_CHARACTERS_MAX else None
    if form is None:
        return None
    whole, fraction, exponent = form.groups()
    mantissa, shift = int(whole + (fraction or "")), int(exponent or 0) - len(fraction or "")
    if mantissa and len(str(mantissa)) + shift > len(str(TIME_MS_MAX)):
        return None
    numerator, denominator = (mantissa * 10**shift, 1) if shift >= 0 else (mantissa, 10**-shift)
    if numerator < MILLISECONDS_FROM * denominator:
        numerator *= 1000
    return _take_in_range(numerator // denominator)


def _read_form(form: re.Match[str]) -> int | None:
    year, month, day, month_alone, week, weekday, ordinal, hour, minute, second, fraction, _, *zone = form.groups()
    if hour is not None and day is None and weekday is None and ordinal is None:
        return None  # a time of day needs a date with a day
    try:
        if week is not None:
            start = date.fromisocalendar(int(year), int(week), int(weekday or 1))
        elif ordinal is not None:
            start = date(int(year), 1, 1) + timedelta(int(ordinal) - 1)
            if start.year != int(year):
                return None
        else:
            start = date(int(year), int(month or month_alone or 1), int(day or 1))
        ms = (start - _EPOCH.date()).days * 86_400_000
        return _take_in_range(
            ms if hour is None else ms + _parse_time_ms(hour, minute, second, fraction) - _parse_ahead_ms(*zone)
        )
    except (ValueError, OverflowError):
        return None


def _parse_time_ms(hour: str, minute: str | None, second: str | None, fraction: str | None) -> int:
    """The time of day. 24:00 is the end of the day; second 60, a leap second, is the next minute's first."""
    h, m, s = int(hour), int(minute or 0), int(second or 0)
    unit_ms = 3_600_000 if minute is None else 60_000 if second is None else 1000
    part = _parse_fraction_ms(fraction, unit_ms)
    if h > 24 or m > 59 or s > 60 or (h == 24 and (m or s or part)):
        raise ValueError("no such time of day")
    return h * 3_600_000 + m * 60_000 + s * 1000 + (part if s < 60 else 0)


def _parse_fraction_ms(digits: str | None, unit_ms: int) -> int:
    if digits is None:
        return 0
    if unit_ms == 1000:
        return int((digits + "000")[:3])
    cut = digits[:FRACTION_DIGITS_MAX]
    scale: int = 10 ** len(cut)
    return int(cut) * unit_ms // scale


def _parse_ahead_ms(sign: str | None, hours: str | None, minutes: str | None) -> int:
    if sign is None:
        return 0
    h, m = int(hours or 0), int(minutes or 0)
    if h > 23 or m > 59:
        raise ValueError("no such offset")
    return (h * 60 + m) * (60_000 if sign == "+" else -60_000)


def _take_in_range(ms: int) -> int | None:
    return ms if 0 <= ms < TIME_MS_MAX else None


def format_iso_utc(ms: int) -> str:
    """2026-11-22T10:00:00.120Z"""
    second, milliseconds = divmod(ms, 1000)
    return f"{_format_iso_second(second)}.{milliseconds:03}Z"


@lru_cache(maxsize=4_096)
def _format_iso_second(second: int) -> str:
    return (_EPOCH + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%S")
