"""What the readers of all tools share: a row becomes an event of ours, or a fault with its reason.   Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct

ExportRow = Mapping[str, Any]
Event = dict[str, Any]


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
    """A time as these tools' databases write it: without an offset it is UTC."""
    if moment is None or " " not in moment.strip():
        return moment
    day, _, clock = moment.strip().partition(" ")
    has_offset = "+" in clock or clock.endswith("Z") or "UTC" in clock
    return f"{day}T{clock.replace(' UTC', 'Z')}{'' if has_offset else 'Z'}"


def without_nothing(members: Mapping[str, Any]) -> dict[str, Any]:
    """The members without those that are None or empty."""
    cleaned = {name: without_nothing(value) if isinstance(value, dict) else value for name, value in members.items()}
    return {name: value for name, value in cleaned.items() if value is not None and value != {} and value != ""}


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
