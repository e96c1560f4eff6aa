"""Read times as people write them in queries.   Stage 5 of 6, pure.

A time is `now`, `-<n>` with m, h, d or w, or an ISO 8601 date or time. Without an offset it is in the query's zone.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from rtaplatform.core.errors import InvalidParameter
from rtaplatform.core.query import NOW, Anchor, TimeExpression
from rtaplatform.core.time.zones import load_zone

UNIT_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
ALLOWED = ["now", "-<n>m", "-<n>h", "-<n>d", "-<n>w", "YYYY-MM-DD", "YYYY-MM-DDThh:mm[:ss[.fff]][Z|±hh:mm]"]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_LEAP_YEAR = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_DAY = (
    "[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    f"|02-(?:0[1-9]|1[0-9]|2[0-8]))|{_LEAP_YEAR}-02-29"
)
_CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
# All times that can be read, as a regular expression for the API's description.
PATTERN = (
    f"^(?:now|-[0-9]{{1,9}}[mhdw]|(?!0000)(?:{_DAY})"
    f"(?:[Tt ]{_CLOCK}(?::[0-5][0-9](?:[.,][0-9]{{1,9}})?)?(?:[Zz]|[+ -](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)?)?)$"
)

_RELATIVE = re.compile(r"-(\d{1,9})([mhdw])", re.ASCII)
_ABSOLUTE = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[Tt ](\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?)(Z|z|[+\- ]\d{2}(?::?[0-5]\d)?)?)?", re.ASCII
)


def read_moment(text: str, field: str) -> TimeExpression:
    """Read a time. Raises `InvalidParameter` for `field`."""
    if text == "now":
        return NOW
    if match := _RELATIVE.fullmatch(text):
        return TimeExpression(Anchor.NOW, -int(match[1]) * UNIT_MS[match[2]])
    match = _ABSOLUTE.fullmatch(text)
    if match is None:
        raise _make_time_error(text, field)
    day, time, offset = match.groups()
    # An unescaped + in a URL arrives as a space.
    zone = (offset or "").replace(" ", "+").replace("z", "Z")
    try:
        moment = datetime.fromisoformat(f"{day}T{(time or '00:00').replace(',', '.')}{zone}")
        return _to_expression(moment)
    except (ValueError, OverflowError):
        raise _make_time_error(text, field) from None


def resolve(moment: TimeExpression, zone: str, now_ms: int) -> int:
    """Return the instant in milliseconds since 1970."""
    if moment.anchor is Anchor.NOW:
        return now_ms + moment.ms
    if moment.anchor is Anchor.EPOCH:
        return moment.ms
    wall = (EPOCH + timedelta(milliseconds=moment.ms)).replace(tzinfo=load_zone(zone))
    return round(wall.timestamp() * 1000)


@lru_cache(maxsize=65_536)
def format_minute(minute: int, zone: str) -> str:
    """Format the start of a point, with the offset of the query's zone."""
    return datetime.fromtimestamp(minute * 60, load_zone(zone)).isoformat()


def format_instant(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _to_expression(time: datetime) -> TimeExpression:
    anchor = Anchor.EPOCH if time.tzinfo is not None else Anchor.LOCAL
    time_in_utc = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
    return TimeExpression(anchor, (time_in_utc - EPOCH) // timedelta(milliseconds=1))


def _make_time_error(text: str, field: str) -> InvalidParameter:
    return InvalidParameter(
        f"{text[:100]!r} is not a time.", field=field, allowed=ALLOWED, hint="For example from=-24h or from=2026-11-22."
    )
