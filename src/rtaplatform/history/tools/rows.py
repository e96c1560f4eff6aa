"""What the readers of all tools share: a row becomes an event of ours, or a fault with its reason.   Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct

ExportRow = Mapping[str, Any]
Event = dict[str, Any]
_DATABASE_TIME = re.compile(r"\s*(\d\S*)\s+(\d[\d:.,]*)\s*(?:UTC|GMT|Z|([+-])(\d{2})(?::?(\d{2}))?)?\s*")
_DIGITS_MAX = 19  # of microseconds since 1970, and of what else these tools count


class RowFault(Struct, frozen=True):
    """A row that gives no event, and why."""

    line: int
    reason: str


class HistoryTool(Struct, frozen=True):
    """How a tool's export is read. `needed`: the columns without which it has only totals; `remedy`: what to export."""

    name: str
    needed: tuple[str, ...]
    read_row: Callable[[ExportRow], Iterable[Event]]
    remedy: str


def read_text(row: ExportRow, *names: str) -> str | None:
    """The first of these members that is a text with something in it, or a number as text."""
    for name in names:
        value = row.get(name)
        if isinstance(value, bool) or value is None:
            continue
        if isinstance(value, str | int | float) and str(value).strip() not in ("", "\\N"):
            return str(value).strip()
    return None


def read_utc(moment: str | None) -> str | None:
    """A time as these tools' databases write it, with a blank before the clock: without an offset it is UTC."""
    match = None if moment is None else _DATABASE_TIME.fullmatch(moment)
    if match is None:
        return moment
    day, clock, sign, hours, minutes = match.groups()
    offset = "Z" if sign is None else f"{sign}{hours}:{minutes or '00'}"
    return f"{day}T{clock}{offset}"


def read_members(row: ExportRow, name: str) -> ExportRow:
    """The object of this name; an empty one if there is none."""
    value = row.get(name)
    return value if isinstance(value, dict) else {}


def read_objects(row: ExportRow, name: str) -> list[dict[str, Any]]:
    """The objects in the list of this name. Whatever else is in it, or is there instead, is left out."""
    value = row.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def read_whole_number(value: Any) -> int | None:
    """A whole number, or its decimal text."""
    text = str(value)
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _DIGITS_MAX else None


def without_nothing(members: Mapping[str, Any]) -> dict[str, Any]:
    """The members without those that are None or empty."""
    values = {name: without_nothing(value) if isinstance(value, dict) else value for name, value in members.items()}
    return {name: value for name, value in values.items() if value is not None and value != {} and value != ""}


def make_context(**members: Any) -> dict[str, Any]:
    """`context`, by the names that a table has: page, campaign and what the visitor uses."""
    read = members.get
    return {
        "page": {"url": read("url"), "path": read("path"), "search": read("search"), "title": read("title"),
                 "referrer": read("referrer")},
        "campaign": {"source": read("source"), "medium": read("medium"), "name": read("campaign")},
        "location": {"country": read("country"), "region": read("region")},
        "browser": {"name": read("browser")}, "os": {"name": read("os")}, "device": {"type": read("device")},
        "locale": read("language"), "library": {"name": "javascript"},
    }  # fmt: skip


def make_address(host: str | None, path: str | None, query: str | None = None) -> str | None:
    if path is None or host is None:
        return None
    return f"https://{host}{path if path.startswith('/') else '/' + path}{f'?{query}' if query else ''}"
