"""The OpenAPI descriptions of the routes of GA4's Measurement Protocol.   Stage 6 of 6."""

from __future__ import annotations

from rtaplatform.catalog.keys.key_format import COLLECT
from rtaplatform.collect.adapters.ga4_validation import ANY_OTHER_CODE, VALIDATION_CODES
from rtaplatform.core.events import BATCH_EVENTS_MAX
from rtaplatform.serve.openapi.openapi_pieces import (
    TEXT,
    Docs,
    make_closed_object,
    make_json_content,
    make_parameter,
    name_schema,
)

_NOT_READ: Docs = {"type": "string"}
_PARAMETERS = [
    make_parameter("api_secret", "The write key, where no header holds it.", {"type": "string"}),
    make_parameter("measurement_id", "Not read: the project comes from the key.", _NOT_READ),
    make_parameter("firebase_app_id", "Not read: the project comes from the key.", _NOT_READ),
]
_REQUEST = name_schema(
    "Ga4Request",
    {
        "type": "object",
        "description": "Events of one person. What cannot be read of the other members is left out.",
        "properties": {
            "client_id": {"description": "The anonymousId."},
            "app_instance_id": {"description": "The anonymousId, for an app. It goes before `client_id`."},
            "user_id": {"description": "The userId."},
            "timestamp_micros": {"description": "When it happened, for events that do not say it themselves."},
            "user_properties": {"description": "The traits of an identify call: `{name: {value}}`."},
            "user_location": {"description": "`country_id`, `region_id` and `city` of the visitor."},
            "ip_override": {"description": "The visitor's address. Used for the country, and not stored."},
            "device": {"description": "What the visitor uses."},
            "user_agent": {"description": "The visitor's browser."},
            "consent": {"description": "Kept in `context.consent`."},
            "events": {
                "type": "array",
                "items": {},
                "description": "Events with `name`, `params` and `timestamp_micros`, judged one by one; at most "
                f"{BATCH_EVENTS_MAX}.",
            },
        },
        "required": ["events"],
        "example": {
            "client_id": "1793527200.4711", "user_id": "u-4", "timestamp_micros": 1793527200000000,
            "events": [{"name": "page_view", "params": {"page_location": "https://shop.example/p/9"}}],
        },
    },
)  # fmt: skip
_MESSAGE = name_schema(
    "Ga4ValidationMessage",
    make_closed_object(
        {
            "fieldPath": TEXT,
            "description": TEXT,
            "validationCode": {"type": "string", "enum": sorted({*VALIDATION_CODES.values(), ANY_OTHER_CODE})},
        }
    ),
)
_MESSAGES = name_schema(
    "Ga4Validation", make_closed_object({"validationMessages": {"type": "array", "items": _MESSAGE}})
)
_OPERATION: Docs = {
    "parameters": _PARAMETERS,
    "requestBody": {"required": True, "content": {"application/json": {"schema": _REQUEST}}},
    "security": [{"key": [COLLECT]}, {}],
}
COLLECT_GA4: Docs = {**_OPERATION, "responses": {"204": {"description": "Kafka has what was accepted."}}}
VALIDATE_GA4: Docs = {
    **_OPERATION,
    "responses": {"200": make_json_content("What would be refused; an empty list is good.", _MESSAGES)},
}
