"""What OpenAPI says of the event feed.   Stage 6 of 6; pure."""

from __future__ import annotations

from rtaplatform.core.events import SOURCES, Reason
from rtaplatform.feed.event_items import STATUSES
from rtaplatform.feed.feed_filter import VALUE_CHARACTERS_MAX, VALUES_MAX
from rtaplatform.serve.openapi.openapi_pieces import (
    FREE_OBJECT,
    TEXT,
    Docs,
    allow_null,
    make_check,
    make_json_content,
    make_list_parameter,
    make_parameter,
    name_schema,
)

RECENT_DEFAULT, RECENT_MAX = 50, 500
_NAME: Docs = {"type": "string", "minLength": 1, "maxLength": VALUE_CHARACTERS_MAX, "pattern": "^[^,\\\\]+$"}
_SOURCE: Docs = name_schema("Source", {"type": "string", "enum": list(SOURCES)})
_PROBLEM: Docs = name_schema(
    "EventProblem",
    {
        "type": "object",
        "properties": {
            "reason": {"type": "string", "description": f"Of a closed set: {', '.join(Reason)}."},
            "detail": TEXT,
            "field": allow_null(TEXT),
            "hint": allow_null(TEXT),
        },
        "required": ["reason", "detail", "field", "hint"],
    },
)
ITEM: Docs = name_schema("FeedItem", {
    "type": "object",
    "properties": {
        "id": {"type": "string", "description": "topic:partition:offset"},
        "status": {
            "type": "string",
            "enum": list(STATUSES),
            "description": "As far as the records read here tell; the workers decide by more.",
        },
        "time": allow_null(TEXT),
        "received_at": allow_null(TEXT),
        "event": allow_null(TEXT),
        "source": allow_null(TEXT),
        "persons": {"type": "object", "additionalProperties": TEXT},
        "fields": FREE_OBJECT,
        "marks": {"type": "array", "items": TEXT, "description": "In words."},
        "problem": allow_null(_PROBLEM),
        "raw": {"type": "string", "description": "The event's JSON, as text."},
        "is_raw_cut": {"type": "boolean"},
    },
    "required": [
        "id", "status", "time", "received_at", "event", "source", "persons", "fields", "marks", "problem", "raw",
        "is_raw_cut",
    ],
})  # fmt: skip
_RECENT: Docs = name_schema(
    "RecentEvents",
    {
        "type": "object",
        "properties": {
            "items": {"type": "array", "items": ITEM},
            "meta": {
                "type": "object",
                "properties": {"scanned_from": allow_null(TEXT), "scanned": {"type": "integer"}},
                "required": ["scanned_from", "scanned"],
            },
        },
        "required": ["items", "meta"],
    },
)
_FILTERS = (
    make_list_parameter("event", "Only events of these names.", _NAME, items_max=VALUES_MAX, example="Order Completed"),
    make_list_parameter("source", "Only events of these sources.", _SOURCE, items_max=len(SOURCES), example="web"),
    make_list_parameter("person", "Only with this userId or anonymousId.", _NAME, items_max=VALUES_MAX, example="u-4"),
    make_list_parameter("product", "Only events about these products.", _NAME, items_max=VALUES_MAX, example="p-9"),
)
_MESSAGE: Docs = name_schema(
    "FeedEvent",
    {
        "type": "object",
        "properties": {
            "event": {"type": "string", "enum": ["events", "problem"]},
            "id": TEXT,
            "data": {"type": "string", "contentMediaType": "application/json"},
        },
        "required": ["event", "data"],
    },
)
READ_RECENT: Docs = {
    "parameters": [
        *_FILTERS,
        make_parameter(
            "limit", "How many events.",
            {"type": "integer", "minimum": 1, "maximum": RECENT_MAX, "default": RECENT_DEFAULT}, example=RECENT_DEFAULT,
        ),
    ],
    "responses": {"200": make_json_content("The newest first.", _RECENT)},
}  # fmt: skip
STREAM_EVENTS: Docs = {
    "parameters": [
        *_FILTERS,
        make_parameter("ticket", "A ticket of POST /v1/live/tickets, instead of the header.", TEXT),
        make_parameter("last_event_id", "As the header Last-Event-ID, where that cannot be sent.", TEXT),
        make_parameter("Last-Event-ID", "The last `id` seen. With a ticket, it tells a reconnect.", TEXT, "header"),
    ],
    "responses": {
        "200": {
            "description": "`events` with `items` and `left_out`, until the client goes.",
            "content": {"text/event-stream": {"schema": make_check(_MESSAGE)}},
        }
    },
}
