"""The OpenAPI descriptions of the routes of other protocols, and what PostHog's SDKs are told.   Stage 6 of 6."""

from __future__ import annotations

from rtaplatform.catalog.keys.key_format import COLLECT
from rtaplatform.collect.adapters.adapted_events import SMALL_TEXT_BYTES_MAX
from rtaplatform.core.events import CALL_TYPES
from rtaplatform.core.values.ids import ID_BYTES_MAX
from rtaplatform.serve.collect.collect_docs import BATCH_ANSWER
from rtaplatform.serve.openapi.openapi_pieces import (
    FREE_OBJECT,
    TEXT,
    Docs,
    make_check,
    make_json_content,
    make_parameter,
    name_schema,
)

# Everything that PostHog's SDKs could do beside sending events is off.
POSTHOG_CONFIG: Docs = {
    "hasFeatureFlags": False,
    "supportedCompression": ["gzip", "gzip-js"],
    "sessionRecording": False,
    "heatmaps": False,
    "surveys": False,
    "productTours": False,
    "conversations": False,
    "logs": {"captureConsoleLogs": False},
    "capturePerformance": False,
    "autocaptureExceptions": False,
    "captureDeadClicks": False,
    "toolbarParams": {},
    "siteApps": [],
    "isAuthenticated": False,
    "defaultIdentifiedOnly": True,
}
NO_FLAGS: Docs = {
    "flags": {},
    "featureFlags": {},
    "featureFlagPayloads": {},
    "errorsWhileComputingFlags": False,
}
_SECURITY: list[Docs] = [{"key": [COLLECT]}, {}]
_NAME: Docs = {"type": ["string", "integer"], "minLength": 1}
_ID: Docs = {"type": ["string", "integer", "null"], "maxLength": ID_BYTES_MAX}
_NO_ID: Docs = {"type": "null"}
_WRITE_KEY = make_parameter("writeKey", "The key, where no header holds it.", {"type": "string"})
# A value of another kind is left out, and the event counts without it.
_LEFT_OUT = "anything else is left out."


def _describe_text(subject: str) -> Docs:
    return {"description": f"{subject}: text; {_LEFT_OUT}"}


def _describe_object(subject: str) -> Docs:
    return {"description": f"{subject}: an object, or its JSON as text; {_LEFT_OUT}"}


def _require_name(name: str) -> Docs:
    """Return the rule that the member is an id or a name which is not empty."""
    return {"required": [name], "properties": {name: _NAME}}


def _make_operation(schema: Docs, answer: Docs, status: str = "200", *parameters: Docs) -> Docs:
    body = {"required": True, "content": {"application/json": {"schema": schema}}}
    return {
        "parameters": [_WRITE_KEY, *parameters], "requestBody": body, "security": _SECURITY,
        "responses": {status: answer},
    }  # fmt: skip


_KEY: Docs = _describe_text("The write key, where no header holds it")
_TIME: Docs = {"description": "When it happened. An unreadable time becomes receivedAt."}
_CLOUDEVENT = name_schema(
    "CloudEvent",
    {
        "type": "object",
        "description": "One event. The person is named by `userid` and `anonymousid`, else by `userId` and "
        "`anonymousId` of `data`, else by `subject`. A `type` that is one of our calls (`track`, `page`, …) makes "
        "`data` the body of that call. All other members are kept as its context.",
        "properties": {
            "specversion": {"description": "1.0. Not judged."},
            "id": {"type": ["string", "integer", "null"], "maxLength": SMALL_TEXT_BYTES_MAX - 2},
            "source": _describe_text("Makes the messageId, together with the id"),
            "type": {**_NAME, "description": "The name of the event, or one of our calls."},
            "subject": {"description": "The userId, where neither the extensions nor the data name anybody."},
            "userid": _ID,
            "anonymousid": _ID,
            "time": _TIME,
            "data": {"description": "The properties of the event; what is no object becomes the property `data`."},
        },
        "required": ["type"],
        "example": {
            "specversion": "1.0", "id": "e-1", "source": "/shop", "type": "com.example.viewed", "userid": "u-4",
            "data": {"product_id": "p-9"},
        },
        **make_check(
            {
                "anyOf": [
                    _require_name("userid"),
                    _require_name("anonymousid"),
                    {
                        "properties": {
                            "userid": _NO_ID, "anonymousid": _NO_ID, "subject": {**_NAME, "maxLength": ID_BYTES_MAX}
                        },
                        "required": ["subject"],
                    },
                ]
            }
        ),
    },
)  # fmt: skip
CLOUDEVENTS = _make_operation(
    {"anyOf": [_CLOUDEVENT, {"type": "array", "items": {}, "description": "A batch, judged one by one."}]},
    make_json_content(
        "Kafka has it.",
        name_schema("CollectedCloudEvents", {"type": "object", "properties": BATCH_ANSWER, "required": ["success"]}),
    ),
)
_POSTHOG_EVENT = name_schema(
    "PosthogEvent",
    {
        "type": "object",
        "description": "One event of PostHog. `$device_id`, `$user_id` and `$is_identified` of the properties decide "
        "whether `distinct_id` is a userId. Measurements, recordings and heat maps are accepted and not stored.",
        "properties": {
            "api_key": _KEY,
            "token": _KEY,
            "event": _NAME,
            "distinct_id": {**_ID, "description": "Where it is not here, that of the properties."},
            "uuid": {**_ID, "description": "The messageId."},
            "timestamp": _TIME,
            "sent_at": _describe_text("When the client sent it"),
            "properties": _describe_object("The properties of the event"),
        },
        "required": ["event"],
        "not": {"required": ["batch"]},
        "example": {"event": "Product Viewed", "distinct_id": "u-4", "properties": {"product_id": "p-9"}},
        **make_check(
            {"anyOf": [_require_name("distinct_id"),
                       {"properties": {"properties": {"type": "object", **_require_name("distinct_id")},
                                       "distinct_id": False}, "required": ["properties"]}]}
        ),
    },
)  # fmt: skip
_POSTHOG_BATCH = name_schema(
    "PosthogBatch",
    {
        "type": "object",
        "properties": {
            "api_key": _KEY,
            "token": _KEY,
            "sent_at": _describe_text("When the client sent it"),
            "batch": {"type": "array", "items": {}, "description": "Events, judged one by one."},
        },
        "required": ["batch"],
    },
)
_POSTHOG_LIST: Docs = {"type": "array", "items": {}, "description": "Events, judged one by one."}
POSTHOG = _make_operation(
    {"anyOf": [_POSTHOG_EVENT, _POSTHOG_BATCH, _POSTHOG_LIST]},
    make_json_content(
        "Kafka has it.",
        name_schema(
            "CollectedPosthog",
            {"type": "object", "properties": {"status": {"const": 1}, **BATCH_ANSWER}, "required": ["status"]},
        ),
    ),
    "200",
    make_parameter(
        "compression", "How the body is packed: gzip-js or base64. It is told by the body as well.",
        {"type": "string", "not": {"enum": ["lz64"]}}, example="base64",
    ),
)  # fmt: skip
POSTHOG_FLAGS: Docs = {"responses": {"200": make_json_content("Everything is off.", FREE_OBJECT)}}
_PLAUSIBLE_EVENT = name_schema(
    "PlausibleEvent",
    {
        "type": "object",
        "description": "An event with the long names of Plausible's API, or the short ones of its script.",
        "properties": {
            "name": {"description": "`pageview` is a page call. Text or an integer."},
            "n": {"description": "As `name`, which it replaces."},
            "url": _describe_text("The full address of the page"),
            "u": _describe_text("As `url`, which it replaces"),
            "domain": {"description": "Not read: the project comes from the key."},
            "referrer": _describe_text("The page before"),
            "r": _describe_text("As `referrer`, which it replaces"),
            "props": _describe_object("The properties of the event"),
            "p": _describe_object("As `props`, which it replaces"),
            "revenue": _describe_object("`amount` and `currency`"),
        },
        "example": {"name": "pageview", "url": "https://shop.example/p/9", "domain": "shop.example"},
        **make_check({"anyOf": [_require_name("n"), {**_require_name("name"), "not": {"required": ["n"]}}]}),
    },
)
PLAUSIBLE = _make_operation(
    _PLAUSIBLE_EVENT,
    {"description": "Kafka has it.", "content": {"text/plain": {"schema": {"type": "string", "enum": ["ok"]}}}},
    "202",
)
_UMAMI_PAYLOAD = name_schema(
    "UmamiPayload",
    {
        "type": "object",
        "properties": {
            "website": _KEY,
            "hostname": _describe_text("The host of the page, where `url` is a path"),
            "url": _describe_text("The address of the page"),
            "referrer": _describe_text("The page before"),
            "title": _describe_text("The title of the page"),
            "screen": _describe_text("As 1920x1080"),
            "language": _describe_text("As en-GB"),
            "name": _describe_text("The name of the event; without one it is a page call"),
            "data": _describe_object("The properties of the event, or traits"),
            "id": {**_ID, "description": "The userId."},
            "timestamp": _TIME,
        },
    },
)
_UMAMI_TYPES = ("event", "identify", "performance", *(kind for kind in CALL_TYPES if kind not in ("track", "identify")))
_ANY_BUT_TEXT: Docs = {"type": ["number", "boolean", "null", "object", "array"], "items": {}}
_ANY_BUT_OBJECT: Docs = {"type": ["string", "number", "boolean", "null", "array"], "items": {}}
_UMAMI_EVENT = name_schema(
    "UmamiEvent",
    {
        "type": "object",
        "properties": {
            "type": {
                "anyOf": [{"type": "string", "enum": [*_UMAMI_TYPES, ""]}, _ANY_BUT_TEXT],
                "description": "`event` where it is no text. `performance` is not stored.",
            },
            "payload": {"anyOf": [_UMAMI_PAYLOAD, _ANY_BUT_OBJECT]},
        },
        "example": {"type": "event", "payload": {"website": "WRITE_KEY", "hostname": "shop.example", "url": "/p/9"}},
    },
)
UMAMI = _make_operation(
    _UMAMI_EVENT,
    make_json_content(
        "Kafka has it.",
        name_schema("CollectedUmami", {"type": "object", "properties": {"cache": TEXT}, "required": ["cache"]}),
    ),
)
