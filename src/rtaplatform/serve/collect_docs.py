"""What OpenAPI says of the collecting routes.   Stage 6 of 6.

The schemas say what every event must have. What else may be wrong with one, `collect/steps.py` decides, and says.
"""

from __future__ import annotations

from typing import Any

Docs = dict[str, Any]
_ID: Docs = {"type": ["string", "integer", "null"], "maxLength": 512}
_OBJECT: Docs = {"type": ["object", "null"]}
_ONE_ID: list[Docs] = [
    {"required": [name], "properties": {name: {"type": ["string", "integer"], "minLength": 1}}}
    for name in ("anonymousId", "userId")
]
_SECURITY: list[Docs] = [{"key": []}, {}]


def docs_of_call(kind: str) -> Docs:
    event = {"event": {"type": ["string", "integer"], "minLength": 1}} if kind == "track" else {}
    schema: Docs = {
        "type": "object",
        "properties": {
            "anonymousId": _ID, "userId": _ID, "messageId": _ID, **event, "context": _OBJECT,
            "timestamp": {"description": "ISO 8601; an unreadable one becomes receivedAt."},
            "writeKey": {"description": "The key, where no header holds it."},
        },
        "required": list(event),
        "anyOf": _ONE_ID,
    }  # fmt: skip
    return {"requestBody": _body(schema), "security": _SECURITY}


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
    return {"requestBody": _body(schema), "security": _SECURITY}


def _body(schema: Docs) -> Docs:
    return {"required": True, "content": {"application/json": {"schema": schema}}}
