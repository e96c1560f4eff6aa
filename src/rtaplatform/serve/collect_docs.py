"""What OpenAPI says of the collecting routes.   Stage 6 of 6.

The schemas say what every event must have. What else may be wrong with one, `collect/steps.py` decides, and says.
"""

from __future__ import annotations

from rtaplatform.catalog.keys import COLLECT
from rtaplatform.serve.document_parts import Docs, parameter

_TEXT_OR_NUMBER: Docs = {"type": ["string", "integer", "null"]}
_ID: Docs = {**_TEXT_OR_NUMBER, "maxLength": 512}
_OBJECT: Docs = {"type": ["object", "null"]}
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
}
# Without a header the key stands in the body or the query.
_SECURITY: list[Docs] = [{"key": [COLLECT]}, {}]
_STRICT = parameter("strict", "1 or true: 400 with the same body where any event is rejected.", {"type": "string"})


def docs_of_call(kind: str) -> Docs:
    is_track = kind == "track"
    event: Docs = {"type": ["string", "integer"], "minLength": 1} if is_track else _TEXT_OR_NUMBER
    schema: Docs = {
        "type": "object",
        "properties": {
            "anonymousId": _ID, "userId": _ID, "messageId": _ID, "event": event,
            "context": _OBJECT, "properties": _OBJECT,
            "timestamp": {"description": "ISO 8601; an unreadable one becomes receivedAt."},
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
            "batch": {"type": "array", "items": {}, "description": "Calls, each with its `type`; judged one by one."},
            "context": _OBJECT,
            "writeKey": {"description": "The key, where no header holds it."},
        },
        "required": ["batch"],
    }
    answer = _answer(["success", "accepted", "rejected"])
    return {"parameters": [_STRICT], "requestBody": _body(schema), "security": _SECURITY, "responses": answer}


def _answer(members: list[str]) -> Docs:
    schema = {"type": "object", "properties": {one: _ANSWER[one] for one in members}, "required": members}
    return {"200": {"description": "Kafka has it.", "content": {"application/json": {"schema": schema}}}}


def _body(schema: Docs) -> Docs:
    return {"required": True, "content": {"application/json": {"schema": schema}}}
