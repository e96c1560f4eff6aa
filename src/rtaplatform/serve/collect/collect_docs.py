"""The OpenAPI descriptions of the collecting routes.   Stage 6 of 6.

The schemas have what every event needs. `collect/steps/steps.py` checks the rest, and its refusals explain it.
"""

from __future__ import annotations

from rtaplatform.catalog.keys.key_format import COLLECT
from rtaplatform.core.events import BATCH_EVENTS_MAX
from rtaplatform.core.values.ids import ID_BYTES_MAX
from rtaplatform.serve.openapi.openapi_pieces import (
    JSON_OBJECT,
    TEXT,
    Docs,
    make_check,
    make_closed_object,
    make_json_content,
    make_parameter,
    name_schema,
)

_TEXT_OR_NUMBER: Docs = {"type": ["string", "integer", "null"]}
_ID: Docs = {**_TEXT_OR_NUMBER, "maxLength": ID_BYTES_MAX, "description": f"At most {ID_BYTES_MAX} bytes of UTF-8."}
_OBJECT: Docs = {
    "anyOf": [
        JSON_OBJECT,
        {"type": "null"},
        {"type": "array", "items": {}, "maxItems": 0},
        {"const": ""},
        {"const": False},
    ],
    "description": "An object. An empty list (as PHP writes it), an empty text and false are an empty one.",
}
_ONE_ID: list[Docs] = [
    {"required": [name], "properties": {name: {"type": ["string", "integer"], "minLength": 1}}}
    for name in ("anonymousId", "userId")
]
_REJECTED: Docs = name_schema(
    "RejectedEvent",
    {
        "type": "object",
        "properties": {
            "index": {"type": "integer"},
            "messageId": {"type": ["string", "null"]},
            "reason": {"type": "string"},
            "field": {"type": ["string", "null"]},
            "detail": {"type": "string"},
        },
        "required": ["index", "messageId", "reason", "field", "detail"],
    },
)
BATCH_ANSWER: Docs = {
    "success": {"type": "boolean"},
    "accepted": {"type": "integer", "minimum": 0},
    "rejected": {"type": "array", "items": _REJECTED},
    "late": {
        "type": "array",
        "items": {"type": "integer"},
        "description": "Places of accepted events that are older than what is counted: the log keeps them. "
        "Absent where there are none.",
    },
}
# Without a header the key is in the body or the query.
_SECURITY: list[Docs] = [{"key": [COLLECT]}, {}]
_STRICT = make_parameter("strict", "1 or true: 400 with the same body where any event is rejected.", {"type": "string"})

_SCRIPT: Docs = {"text/javascript": {"schema": {"type": "string"}}}
TRACKER_DOCS: Docs = {
    "responses": {
        "200": {"description": "The script; compressed where gzip is accepted.", "content": _SCRIPT},
        "304": {"description": "`If-None-Match` names this version."},
    }
}
_PROTOCOL: Docs = {"type": "string", "enum": ["http", "https"]}
_SEGMENT = name_schema(
    "SegmentIntegration", make_closed_object({"apiKey": TEXT, "apiHost": TEXT, "protocol": _PROTOCOL})
)
_MEASURING = name_schema("SegmentMetrics", make_closed_object({"host": TEXT, "sampleRate": {"const": 0}}))
_INTEGRATIONS = name_schema("SegmentIntegrations", make_closed_object({"Segment.io": _SEGMENT}))
SETTINGS_DOCS: Docs = {
    "responses": {
        "200": make_json_content(
            "Where to send: to the host that was asked, and nowhere else.",
            name_schema("BrowserSettings", make_closed_object({"integrations": _INTEGRATIONS, "metrics": _MEASURING})),
        )
    }
}


_EXAMPLES: Docs = {
    "track": {"event": "Product Viewed", "properties": {"product_id": "p-9", "price": 12.5, "currency": "EUR"}},
    "page": {"properties": {"path": "/p/9", "title": "Product 9"}},
    "screen": {"name": "Home"},
    "identify": {"userId": "u-4", "traits": {"plan": "pro"}},
    "group": {"userId": "u-4", "groupId": "g-1"},
    "alias": {"userId": "u-4", "previousId": "a-17"},
}


def describe_call(kind: str) -> Docs:
    is_track = kind == "track"
    event: Docs = {"type": ["string", "integer"], "minLength": 1} if is_track else _TEXT_OR_NUMBER
    schema: Docs = {
        "type": "object",
        "properties": {
            "anonymousId": _ID, "userId": _ID, "messageId": _ID, "event": event,
            "context": _OBJECT, "properties": _OBJECT,
            "timestamp": {
                "description": "ISO 8601, or a number: seconds since 1970 below 10^11, else milliseconds. "
                "An unreadable one becomes receivedAt."
            },
            "writeKey": {"description": "The key, where no header holds it."},
        },
        "required": ["event"] if is_track else [],
        "example": {"anonymousId": "a-17", **_EXAMPLES[kind]},
        **make_check({"anyOf": _ONE_ID}),
    }  # fmt: skip
    body = _make_body(name_schema(f"{kind.title()}Call", schema))
    return {"requestBody": body, "security": _SECURITY, "responses": _answer("Collected", ["success"])}


def describe_batch() -> Docs:
    schema: Docs = {
        "type": "object",
        "properties": {
            "batch": {
                "type": "array",
                "items": {},
                "description": f"Calls, each with its `type`, judged one by one; at most {BATCH_EVENTS_MAX}.",
            },
            "context": {"description": "An object, merged into that of each event; left out where it is none."},
            "writeKey": {"description": "The key, where no header holds it."},
        },
        "required": ["batch"],
        "example": {"batch": [{"type": "track", "anonymousId": "a-17", **_EXAMPLES["track"]}]},
    }
    answer, body = (
        _answer("CollectedBatch", ["success", "accepted", "rejected"]),
        _make_body(name_schema("BatchCall", schema)),
    )
    return {"parameters": [_STRICT], "requestBody": body, "security": _SECURITY, "responses": answer}


def _answer(name: str, members: list[str]) -> Docs:
    members_and_late = {member: BATCH_ANSWER[member] for member in (*members, "late")}
    schema = name_schema(name, {"type": "object", "properties": members_and_late, "required": members})
    return {"200": {"description": "Kafka has it.", "content": {"application/json": {"schema": schema}}}}


def _make_body(schema: Docs) -> Docs:
    return {"required": True, "content": {"application/json": {"schema": schema}}}
