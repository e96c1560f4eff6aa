"""A table of anybody's events: columns by our names, all others are properties.   Pure.

A row of JSON with an object `properties`, `traits` or `context` is an event as the collector takes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rtaplatform.history.tools.rows import Event, ExportRow, HistoryTool, make_context, read_text, read_utc

# Our field → how the column may be called. The first that has something in it counts.
_FIELDS = {
    "timestamp": ("timestamp", "time", "created_at", "originalTimestamp"),
    "event": ("event", "event_name", "name"),
    "type": ("type",),
    "userId": ("userId", "user_id"),
    "anonymousId": ("anonymousId", "anonymous_id", "visitor_id"),
    "messageId": ("messageId", "message_id"),
}
_CONTEXT = (
    "url", "path", "title", "referrer", "source", "medium", "campaign", "country", "region", "browser", "os", "device",
    "language",
)  # fmt: skip
_OBJECTS = ("properties", "traits", "context")
_FIELDS_OF_SENDING = ("sentAt", "originalTimestamp", "receivedAt")  # they would move an event of long ago
_USED = frozenset(name for names in _FIELDS.values() for name in names) | frozenset(_CONTEXT)


def read_table(row: ExportRow) -> Iterator[Event]:
    fields: dict[str, Any] = {our_name: read_text(row, *names) for our_name, names in _FIELDS.items()}
    kind = fields["type"] or ("track" if fields["event"] is not None else "page")
    if any(isinstance(row.get(name), dict) for name in _OBJECTS):
        members = {name: value for name, value in row.items() if name not in _FIELDS_OF_SENDING}
        event = fields["event"] if kind == "track" else None
        yield {**members, **fields, "type": kind, "event": event, "timestamp": read_utc(fields["timestamp"])}
        return
    properties = {name.removeprefix("properties."): value for name, value in row.items() if name not in _USED}
    about = "traits" if kind in ("identify", "group") else "properties"
    context = make_context(**{name: read_text(row, name) for name in _CONTEXT})
    yield {**fields, "type": kind, "timestamp": read_utc(fields["timestamp"]), about: properties, "context": context}


TABLE = HistoryTool(
    "csv", (), read_table,
    "Each row is an event: a column `timestamp`, one of `user_id` and `anonymous_id`, and `event` or `type`.",
)  # fmt: skip


def has_needed_columns(columns: frozenset[str]) -> bool:
    """Whether the rows can be events: each has a time and a person."""
    people = (*_FIELDS["userId"], *_FIELDS["anonymousId"])
    return not columns.isdisjoint(_FIELDS["timestamp"]) and not columns.isdisjoint(people)
