"""The OpenAPI descriptions of projects and keys, made from the fields that check their bodies.   Stage 6 of 6."""

from __future__ import annotations

from rtaplatform.catalog.keys.key_admin import CHANGEABLE as KEY_CHANGEABLE
from rtaplatform.catalog.keys.key_admin import KEY_FIELDS, ROTATION_FIELDS
from rtaplatform.catalog.keys.key_format import SCOPES_BY_KIND
from rtaplatform.catalog.projects.project_admin import CHANGEABLE as PROJECT_CHANGEABLE
from rtaplatform.catalog.projects.project_admin import PROJECT_FIELDS
from rtaplatform.serve.catalog.catalog_pieces import (
    ETAG,
    IF_MATCH,
    KNOWN,
    LOCATION,
    MERGE_PATCH,
    PAGE,
    SCOPE,
    TIME,
    TIME_OR_NULL,
    UNCHANGED,
    make_object_schema,
    make_page_schema,
    without_required,
)
from rtaplatform.serve.openapi.openapi_pieces import (
    FREE_OBJECT,
    STORED_TEXT,
    TEXT,
    TIME_ZONE,
    WEEKDAY,
    Docs,
    allow_null,
    make_body_schema,
    make_closed_object,
    make_json_content,
    make_parameter,
    name_schema,
)

_KEY_EXAMPLE: Docs = {"name": "Reports", "scopes": ["read"]}
_PROJECT_EXAMPLE: Docs = {"slug": "second-shop", "name": "Second shop", "zone": "Europe/Berlin", "currency": "EUR"}
_KEY_FIELDS = {
    "id": TEXT, "name": TEXT, "scopes": {"type": "array", "items": SCOPE}, "shown": TEXT,
    "created_at": TIME, "updated_at": TIME, "expires_at": TIME_OR_NULL, "revoked_at": TIME_OR_NULL,
    "last_used_at": TIME_OR_NULL,
}  # fmt: skip
_KEY = name_schema("Key", make_closed_object(_KEY_FIELDS))
PROJECT_SCHEMA = name_schema("Project", make_closed_object(
    {
        "id": TEXT, "slug": TEXT, "name": TEXT, "zone": TEXT, "week_start": WEEKDAY,
        "currency": TEXT, "allowed_origins": {"type": "array", "items": TEXT},
        "event_properties": {"type": "array", "items": TEXT},
        "user_traits": {"type": "array", "items": TEXT}, "settings": FREE_OBJECT,
        "created_at": TIME, "updated_at": TIME,
    }
))  # fmt: skip
_OUR_ID = make_parameter("id", "Our id of it.", {**STORED_TEXT, "minLength": 1, "maxLength": 512}, "path")
_MADE_KEY = make_json_content(
    "`key` is shown now and never again.",
    name_schema("MadeKey", make_closed_object({**_KEY_FIELDS, "key": TEXT})),
    {**ETAG, **LOCATION},
)
# A patch needs none of the fields.
_PATCHED_KEY = name_schema(
    "KeyChange", {**without_required(make_object_schema(KEY_CHANGEABLE)), "example": {"name": "Reports"}}
)
_PATCHED_PROJECT = name_schema(
    "ProjectChange", {**without_required(make_object_schema(PROJECT_CHANGEABLE)), "example": {"name": "Second shop"}}
)
LIST_KEYS: Docs = {
    "parameters": [
        *PAGE,
        make_parameter("revoked", "include: revoked keys as well.", {**TEXT, "enum": ["exclude", "include"]}),
    ],
    "responses": {"200": make_json_content("A page.", make_page_schema("KeyPage", _KEY))},
}
CREATE_KEY: Docs = {
    "requestBody": make_body_schema(
        {"application/json": name_schema("NewKey", {**make_object_schema(KEY_FIELDS), "example": _KEY_EXAMPLE})}
    ),
    "responses": {"201": _MADE_KEY},
}
READ_KEY: Docs = {"parameters": [_OUR_ID], "responses": {"200": make_json_content("It.", _KEY, ETAG)}}
PATCH_KEY: Docs = {
    "parameters": [_OUR_ID, IF_MATCH],
    "requestBody": make_body_schema({MERGE_PATCH: _PATCHED_KEY, "application/json": _PATCHED_KEY}),
    "responses": {"200": make_json_content("As it is now.", _KEY, ETAG)},
}
ROTATE_KEY: Docs = {
    "parameters": [_OUR_ID],
    "requestBody": make_body_schema(
        {"application/json": name_schema("KeyRotation", {**make_object_schema(ROTATION_FIELDS), "example": {}})},
        required=False,
    ),
    "responses": {"201": _MADE_KEY},
}
REVOKE_KEY: Docs = {
    "parameters": [_OUR_ID, IF_MATCH],
    "responses": {"204": {"description": "It is revoked."}},
}
LIST_PROJECTS: Docs = {
    "responses": {"200": make_json_content("One project.", make_page_schema("ProjectPage", PROJECT_SCHEMA))}
}
_NEW_PROJECT = name_schema(
    "NewProject", {**make_object_schema(PROJECT_FIELDS), "required": ["slug"], "example": _PROJECT_EXAMPLE}
)
_NEW_PROJECT["properties"]["zone"] = {**allow_null(TIME_ZONE), "description": "UTC, where it is null or missing."}
_MADE_KEYS = name_schema("MadeKeys", make_closed_object({f"{kind}_key": TEXT for kind in SCOPES_BY_KIND}))
CREATE_PROJECT: Docs = {
    "requestBody": make_body_schema({"application/json": _NEW_PROJECT}),
    "responses": {
        "201": make_json_content(
            "The project, and its keys: they are shown now and never again.",
            name_schema("MadeProject", make_closed_object({"project": PROJECT_SCHEMA, "keys": _MADE_KEYS})),
            {**ETAG, **LOCATION},
        )
    },
}
READ_PROJECT: Docs = {
    "parameters": [_OUR_ID, KNOWN],
    "responses": {"200": make_json_content("It.", PROJECT_SCHEMA, ETAG), "304": UNCHANGED},
}
PATCH_PROJECT: Docs = {
    "parameters": [_OUR_ID, IF_MATCH],
    "requestBody": make_body_schema({MERGE_PATCH: _PATCHED_PROJECT, "application/json": _PATCHED_PROJECT}),
    "responses": {"200": make_json_content("As it is now.", PROJECT_SCHEMA, ETAG)},
}
