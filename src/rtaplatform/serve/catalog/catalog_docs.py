"""The OpenAPI descriptions of the catalog's routes, made from the fields that check their bodies.   Stage 6 of 6.

Each value is a part of an operation; `openapi/document.py` puts it into the document.
"""

from __future__ import annotations

from rtaplatform.catalog.entities.entity_types import KINDS, EntityType
from rtaplatform.catalog.entities.fields import ERASURE_FIELDS, GIVEN_ID_SCHEMA, ID_SCHEMA, NO_NUL, Fields
from rtaplatform.catalog.entities.pages import LIMIT_DEFAULT, LIMIT_MAX, SEARCH_CHARS_MAX, SORTS, TIME_SORTS
from rtaplatform.catalog.imports.csv_header import header_pattern
from rtaplatform.catalog.keys.key_admin import CHANGEABLE as KEY_CHANGEABLE
from rtaplatform.catalog.keys.key_admin import KEY_FIELDS, ROTATION_FIELDS
from rtaplatform.catalog.keys.key_format import SCOPES, SCOPES_BY_KIND
from rtaplatform.catalog.projects.project_admin import CHANGEABLE as PROJECT_CHANGEABLE
from rtaplatform.catalog.projects.project_admin import PROJECT_FIELDS
from rtaplatform.core.time.calendar import WEEKDAYS
from rtaplatform.serve.openapi.openapi_pieces import (
    STORED_TEXT,
    TEXT,
    TIME_ZONE,
    Docs,
    body_schema,
    closed_object,
    json_content,
    nullable,
    parameter,
)

_TIME: Docs = {"type": "string", "format": "date-time"}
_TIME_OR_NULL: Docs = {"type": ["string", "null"], "format": "date-time"}
_ETAG = {"ETag": {"description": "The version; send it as If-Match.", "schema": TEXT, "required": True}}
_LOCATION = {"Location": {"description": "Where it can be read.", "schema": TEXT, "required": True}}
_MERGE_PATCH = "application/merge-patch+json"


def docs_of_list(kind: EntityType) -> Docs:
    descriptions = {name: f"Only those whose {name} is this one." for name in kind.filters}
    enums = {name: kind.fields[name].schema["enum"][:-1] for name in kind.filters if "enum" in kind.fields[name].schema}
    searched, text = " or ".join((*kind.searched, "id")), {**STORED_TEXT, "maxLength": SEARCH_CHARS_MAX}
    return {
        "parameters": [
            *_PAGE,
            parameter("q", f"Only those whose {searched} begins like this.", text),
            *(parameter(name, about, _filter_schema(enums.get(name))) for name, about in descriptions.items()),
        ],
        "responses": {"200": json_content("A page.", _page_of(_entity_schema(kind)))},
    }


def docs_of_create(kind: EntityType) -> Docs:
    body = object_of(kind.fields, {"id": {**_id_schema(kind), "type": ["string", "number"]}}, ["id"])
    return {
        "requestBody": body_schema({"application/json": body}),
        "responses": {"201": json_content("It is created.", _entity_schema(kind), {**_ETAG, **_LOCATION})},
    }


def docs_of_read(kind: EntityType) -> Docs:
    return {
        "parameters": [_id_parameter(kind), _KNOWN],
        "responses": {"200": json_content("It.", _entity_schema(kind), _ETAG), "304": _UNCHANGED},
    }


def docs_of_replace(kind: EntityType) -> Docs:
    return {
        "parameters": [_id_parameter(kind, is_written=True), _IF_MATCH, _IF_NONE_MATCH],
        "requestBody": body_schema({"application/json": object_of(kind.fields)}),
        "responses": {
            "200": json_content(
                "It is replaced: fields that are not given have their defaults.", _entity_schema(kind), _ETAG
            ),
            "201": json_content("It is created.", _entity_schema(kind), {**_ETAG, **_LOCATION}),
        },
    }


def docs_of_patch(kind: EntityType) -> Docs:
    body = object_of(kind.fields)
    return {
        "parameters": [_id_parameter(kind), _IF_MATCH],
        "requestBody": body_schema({_MERGE_PATCH: body, "application/json": body}),
        "responses": {"200": json_content("As it is now.", _entity_schema(kind), _ETAG)},
    }


def docs_of_delete(kind: EntityType, *, can_erase: bool) -> Docs:
    responses: Docs = {"204": {"description": "It is deleted."}}
    parameters = [_id_parameter(kind), _IF_MATCH]
    if can_erase:
        about = "true: erase the person, not only the profile; the answer is the receipt."
        parameters.append(parameter("erase", about, {"type": "string", "enum": ["true", "false"], "default": "false"}))
        responses["200"] = json_content("The person is erased: the receipt.", RECEIPT)
    return {"parameters": parameters, "responses": responses}


def docs_of_import(kind: EntityType) -> Docs:
    about = f"One object a line, as POST /v1/{kind.plural} takes it; only the fields that it has are changed."
    number: Docs = {"type": "integer", "minimum": 0}
    error = closed_object(
        {"row": number, "id": nullable(TEXT), "field": nullable(TEXT), "detail": TEXT, "value": nullable(TEXT)}
    )
    counts = dict.fromkeys(("created", "updated", "unchanged", "failed"), number)
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/x-ndjson": {"schema": {"type": "string", "minLength": 1, "description": about}},
                "text/csv": {
                    "schema": {
                        "type": "string",
                        "pattern": header_pattern(kind),
                        "description": f"A header with id and fields, each once; {kind.json_field}.KEY is a key of "
                        "the object.",
                    }
                },
            },
        },
        "responses": {
            "200": json_content(
                "What became of the rows, and the first errors.",
                closed_object({**counts, "errors": {"type": "array", "items": error}}),
            )
        },
    }


def object_of(fields: Fields, extra: Docs | None = None, required: list[str] | None = None) -> Docs:
    """Make the schema of a body with these fields and no others."""
    required_names = [*(required or ()), *(name for name, field in fields.items() if field.is_required)]
    properties = {**(extra or {}), **{name: field.schema for name, field in fields.items()}}
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        **({"required": required_names} if required_names else {}),
    }


def _filter_schema(values: list[str] | None) -> Docs:
    return {**TEXT, "enum": values} if values else {**STORED_TEXT, "maxLength": SEARCH_CHARS_MAX}


def _page_of(item: Docs) -> Docs:
    return closed_object({"items": {"type": "array", "items": item}, "next_cursor": nullable(TEXT)})


def _id_schema(kind: EntityType, schema: Docs = GIVEN_ID_SCHEMA) -> Docs:
    return {**schema, "not": {"enum": sorted(kind.reserved)}}


def _id_parameter(kind: EntityType, *, is_written: bool = False) -> Docs:
    schema = _id_schema(kind, ID_SCHEMA) if is_written else {**ID_SCHEMA, "maxLength": 512, "pattern": NO_NUL}
    return parameter("id", "The id in events, percent-encoded.", schema, "path")


def _entity_schema(kind: EntityType) -> Docs:
    """Make the schema of a response. A field that takes several types in a request has one type here."""
    shapes = {name: field.schema for name, field in kind.fields.items()}
    shapes[kind.json_field] = {"type": "object"}
    shapes["anonymous_ids"] = {"type": "array", "items": TEXT}
    if "status" in shapes:
        shapes["status"] = {"type": "string", "enum": shapes["status"]["enum"][:-1]}
    return closed_object(
        {"id": TEXT, **{name: shapes[name] for name in kind.fields}, "created_at": _TIME, "updated_at": _TIME}
    )


_CURSOR = {**TEXT, "pattern": "^[A-Za-z0-9_-]+$", "maxLength": 2_000}
_PAGE = [
    parameter("limit", "How many.", {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT}),
    parameter("cursor", "`next_cursor` of the page before, with the same sort and filters.", _CURSOR),
    parameter("sort", "In which order; - is descending.", {**TEXT, "enum": list(SORTS), "default": SORTS[0]}),
]
_IF_MATCH = parameter("If-Match", "Only if it still has this ETag; else 412.", TEXT, "header")
_IF_NONE_MATCH = parameter("If-None-Match", "`*`: only if there is none yet; else 412.", TEXT, "header")
_KNOWN = parameter("If-None-Match", "An ETag, or `*` for any: 304 while it has that one.", TEXT, "header")
_UNCHANGED: Docs = {"description": "It is as If-None-Match names it.", "headers": _ETAG}
_KEY = {
    "id": TEXT, "name": TEXT, "scopes": {"type": "array", "items": {**TEXT, "enum": list(SCOPES)}}, "shown": TEXT,
    "created_at": _TIME, "updated_at": _TIME, "expires_at": _TIME_OR_NULL, "revoked_at": _TIME_OR_NULL,
    "last_used_at": _TIME_OR_NULL,
}  # fmt: skip
_PROJECT = closed_object(
    {
        "id": TEXT, "slug": TEXT, "name": TEXT, "zone": TEXT, "week_start": {**TEXT, "enum": list(WEEKDAYS)},
        "currency": TEXT, "allowed_origins": {"type": "array", "items": TEXT}, "settings": {"type": "object"},
        "created_at": _TIME, "updated_at": _TIME,
    }
)  # fmt: skip
_OUR_ID = parameter("id", "Our id of it.", {**STORED_TEXT, "minLength": 1, "maxLength": 512}, "path")
_MADE_KEY = json_content(
    "`key` is shown now and never again.", closed_object({**_KEY, "key": TEXT}), {**_ETAG, **_LOCATION}
)
# A patch needs none of the fields.
_PATCHED_KEY = {name: part for name, part in object_of(KEY_CHANGEABLE).items() if name != "required"}
_PATCHED_PROJECT = {name: part for name, part in object_of(PROJECT_CHANGEABLE).items() if name != "required"}
LIST_KEYS: Docs = {
    "parameters": [
        *_PAGE,
        parameter("revoked", "include: revoked keys as well.", {**TEXT, "enum": ["exclude", "include"]}),
    ],
    "responses": {"200": json_content("A page.", _page_of(closed_object(_KEY)))},
}
CREATE_KEY: Docs = {
    "requestBody": body_schema({"application/json": object_of(KEY_FIELDS)}),
    "responses": {"201": _MADE_KEY},
}
READ_KEY: Docs = {"parameters": [_OUR_ID], "responses": {"200": json_content("It.", closed_object(_KEY), _ETAG)}}
PATCH_KEY: Docs = {
    "parameters": [_OUR_ID, _IF_MATCH],
    "requestBody": body_schema({_MERGE_PATCH: _PATCHED_KEY, "application/json": _PATCHED_KEY}),
    "responses": {"200": json_content("As it is now.", closed_object(_KEY), _ETAG)},
}
ROTATE_KEY: Docs = {
    "parameters": [_OUR_ID],
    "requestBody": body_schema({"application/json": object_of(ROTATION_FIELDS)}, required=False),
    "responses": {"201": _MADE_KEY},
}
REVOKE_KEY: Docs = {
    "parameters": [_OUR_ID, _IF_MATCH],
    "responses": {"204": {"description": "It is revoked."}},
}
LIST_PROJECTS: Docs = {"responses": {"200": json_content("One project.", _page_of(_PROJECT))}}
_NEW_PROJECT = {**object_of(PROJECT_FIELDS), "required": ["slug"]}
_NEW_PROJECT["properties"]["zone"] = {"anyOf": [TIME_ZONE, {"type": "null"}], "default": "UTC"}
CREATE_PROJECT: Docs = {
    "requestBody": body_schema({"application/json": _NEW_PROJECT}),
    "responses": {
        "201": json_content(
            "The project, and its keys: they are shown now and never again.",
            closed_object(
                {"project": _PROJECT, "keys": closed_object({f"{kind}_key": TEXT for kind in SCOPES_BY_KIND})}
            ),
            {**_ETAG, **_LOCATION},
        )
    },
}
READ_PROJECT: Docs = {
    "parameters": [_OUR_ID, _KNOWN],
    "responses": {"200": json_content("It.", _PROJECT, _ETAG), "304": _UNCHANGED},
}
PATCH_PROJECT: Docs = {
    "parameters": [_OUR_ID, _IF_MATCH],
    "requestBody": body_schema({_MERGE_PATCH: _PATCHED_PROJECT, "application/json": _PATCHED_PROJECT}),
    "responses": {"200": json_content("As it is now.", _PROJECT, _ETAG)},
}
_REMOVED = ("profile", "fields", "traits", "anonymous_ids", "redis_members")
_COUNTS: Docs = {name: {"type": "integer"} for name in _REMOVED}
_REMAINS = closed_object({"where": TEXT, "what": TEXT, "until": _TIME_OR_NULL, "limit": TEXT})
RECEIPT: Docs = closed_object(
    {
        "id": TEXT,
        "project": TEXT,
        "user_id": nullable(TEXT),
        "erased_at": _TIME,
        "removed": {"anyOf": [closed_object(_COUNTS), {"type": "null"}]},
        "remains": {"type": "array", "items": _REMAINS},
    }
)
ERASE_PERSON: Docs = {
    "requestBody": body_schema({"application/json": {**object_of(ERASURE_FIELDS), "minProperties": 1}}),
    "responses": {"200": json_content("The receipt.", RECEIPT)},
}
LIST_ERASURES: Docs = {
    "parameters": [
        *_PAGE[:2],
        parameter("sort", "In which order; - is descending.", {**TEXT, "enum": list(TIME_SORTS), "default": SORTS[0]}),
        parameter("user_id", "Only that of this user.", {**STORED_TEXT, "maxLength": SEARCH_CHARS_MAX}),
    ],
    "responses": {"200": json_content("A page.", _page_of(RECEIPT))},
}
DOCS_OF_IMPORT = {plural: docs_of_import(kind) for plural, kind in KINDS.items()}
