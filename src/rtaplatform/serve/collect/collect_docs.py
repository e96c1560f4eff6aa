"""The OpenAPI descriptions of the collecting routes.   Stage 6 of 6.

The schemas have what every event needs. `collect/steps/steps.py` checks the rest, and its refusals explain it.
"""

from __future__ import annotations

from rtaplatform.catalog.keys.key_format import COLLECT
from rtaplatform.core.events import BATCH_EVENTS_MAX
from rtaplatform.core.values.ids import ID_BYTES_MAX
from rtaplatform.serve.openapi.openapi_pieces import TEXT, Docs, closed_object, json_content, parameter

_TEXT_OR_NUMBER: Docs = {"type": ["string", "integer", "null"]}
_ID: Docs = {**_TEXT_OR_NUMBER, "maxLength": ID_BYTES_MAX, "description": f"At most {ID_BYTES_MAX} bytes of UTF-8."}
_OBJECT: Docs = {
    "anyOf": [{"type": ["object", "null"]}, {"type": "array", "maxItems": 0}, {"enum": ["", False]}],
    "description": "An object. An empty list (as PHP writes it), an empty text and false are an empty one.",
}
_ONE_ID: list[Docs] = [
    {"required": [name], "properties": {name: {"type": ["string", "integer"], "minLength": 1}}}
    for name in ("anonymousId", "userId")
]
_REJECTED: Docs = {
    "type": "object",
    "properties": {
        "index": {"type": "integer"},
        "messageId": {"type": ["string", "null"]},
        "reason": {"type": "string"},
        "field": {"type": ["string", "null"]},
        "detail": {"type": "string"},
    },
    "required": ["index", "messageId", "reason", "field", "detail"],
}
_ANSWER: Docs = {
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
_STRICT = parameter("strict", "1 or true: 400 with the same body where any event is rejected.", {"type": "string"})

_SCRIPT: Docs = {"text/javascript": {"schema": {"type": "string"}}}
TRACKER_DOCS: Docs = {
    "responses": {
        "200": {"description": "The script; compressed where gzip is accepted.", "content": _SCRIPT},
        "304": {"description": "`If-None-Match` names this version."},
    }
}
_SEGMENT = closed_object({"apiKey": TEXT, "apiHost": TEXT, "protocol": {"type": "string", "enum": ["http", "https"]}})
SETTINGS_DOCS: Docs = {
    "responses": {
        "200": json_content(
            "Where to send: to the host that was asked, and nowhere else.",
            closed_object(
                {
                    "integrations": closed_object({"Segment.io": _SEGMENT}),
                    "metrics": closed_object({"host": TEXT, "sampleRate": {"const": 0}}),
                }
            ),
        )
    }
}


def docs_of_call(kind: str) -> Docs:
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
        "anyOf": _ONE_ID,
    }  # fmt: skip
    return {"requestBody": _body(schema), "security": _SECURITY, "responses": _answer(["success"])}


def docs_of_batch() -> Docs:
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
    }
    answer = _answer(["success", "accepted", "rejected"])
    return {"parameters": [_STRICT], "requestBody": _body(schema), "security": _SECURITY, "responses": answer}


def _answer(members: list[str]) -> Docs:
    members_and_late = {name: _ANSWER[name] for name in (*members, "late")}
    schema = {"type": "object", "properties": members_and_late, "required": members}
    return {"200": {"description": "Kafka has it.", "content": {"application/json": {"schema": schema}}}}


def _body(schema: Docs) -> Docs:
    return {"required": True, "content": {"application/json": {"schema": schema}}}
