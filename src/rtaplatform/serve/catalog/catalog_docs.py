"""The OpenAPI descriptions of users, products and erasures, made from the fields of their bodies.   Stage 6 of 6.

Each value is a part of an operation; `openapi/document.py` puts it into the document.
"""

from __future__ import annotations

import json

from rtaplatform.catalog.entities.entity_types import KINDS, EntityType
from rtaplatform.catalog.entities.fields import ERASURE_FIELDS, GIVEN_ID_SCHEMA, ID_SCHEMA, NO_NUL
from rtaplatform.catalog.entities.pages import SEARCH_CHARS_MAX, SORTS, TIME_SORTS
from rtaplatform.catalog.imports.csv_header import make_header_pattern
from rtaplatform.serve.catalog.catalog_pieces import (
    ENUM_NAMES,
    ETAG,
    IF_MATCH,
    IF_NONE_MATCH,
    KNOWN,
    LOCATION,
    MERGE_PATCH,
    PAGE,
    TIME,
    TIME_OR_NULL,
    UNCHANGED,
    make_object_schema,
    make_page_schema,
)
from rtaplatform.serve.openapi.openapi_pieces import (
    FREE_OBJECT,
    STORED_TEXT,
    TEXT,
    Docs,
    allow_null,
    make_body_schema,
    make_closed_object,
    make_json_content,
    make_parameter,
    name_schema,
)

_EXAMPLES: dict[str, Docs] = {
    "user": {"id": "u-4", "email": "ada@shop.example", "name": "Ada", "traits": {"plan": "pro"}},
    "product": {"id": "p-9", "name": "Lamp", "category": "Light", "price": 12.5, "currency": "EUR"},
}


def describe_list(kind: EntityType) -> Docs:
    descriptions = {name: f"Only those whose {name} is this one." for name in kind.filters}
    enums = {name: kind.fields[name].schema["enum"][:-1] for name in kind.filters if "enum" in kind.fields[name].schema}
    places, text = " or ".join((*kind.searched, "id")), {**STORED_TEXT, "maxLength": SEARCH_CHARS_MAX}
    return {
        "parameters": [
            *PAGE,
            make_parameter("q", f"Only those whose {places} begins like this.", text),
            *(
                make_parameter(name, about, _make_filter_schema(enums.get(name)))
                for name, about in descriptions.items()
            ),
        ],
        "responses": {
            "200": make_json_content("A page.", make_page_schema(f"{kind.name.title()}Page", _make_entity_schema(kind)))
        },
    }


def describe_create(kind: EntityType) -> Docs:
    fields = make_object_schema(kind.fields, {"id": {**_make_id_schema(kind), "type": ["string", "number"]}}, ["id"])
    body = name_schema(f"New{kind.name.title()}", {**fields, "example": _EXAMPLES[kind.name]})
    return {
        "requestBody": make_body_schema({"application/json": body}),
        "responses": {"201": make_json_content("It is created.", _make_entity_schema(kind), {**ETAG, **LOCATION})},
    }


def describe_read(kind: EntityType) -> Docs:
    return {
        "parameters": [_make_id_parameter(kind), KNOWN],
        "responses": {"200": make_json_content("It.", _make_entity_schema(kind), ETAG), "304": UNCHANGED},
    }


def describe_replace(kind: EntityType) -> Docs:
    return {
        "parameters": [_make_id_parameter(kind, is_written=True), IF_MATCH, IF_NONE_MATCH],
        "requestBody": make_body_schema({"application/json": _make_fields_schema(kind)}),
        "responses": {
            "200": make_json_content(
                "It is replaced: fields that are not given have their defaults.", _make_entity_schema(kind), ETAG
            ),
            "201": make_json_content("It is created.", _make_entity_schema(kind), {**ETAG, **LOCATION}),
        },
    }


def describe_patch(kind: EntityType) -> Docs:
    body = _make_fields_schema(kind)
    return {
        "parameters": [_make_id_parameter(kind), IF_MATCH],
        "requestBody": make_body_schema({MERGE_PATCH: body, "application/json": body}),
        "responses": {"200": make_json_content("As it is now.", _make_entity_schema(kind), ETAG)},
    }


def describe_delete(kind: EntityType, *, can_erase: bool) -> Docs:
    responses: Docs = {"204": {"description": "It is deleted."}}
    parameters = [_make_id_parameter(kind), IF_MATCH]
    if can_erase:
        about = "true: erase the person, not only the profile; the answer is the receipt."
        parameters.append(
            make_parameter("erase", about, {"type": "string", "enum": ["true", "false"], "default": "false"})
        )
        responses["200"] = make_json_content("The person is erased: the receipt.", RECEIPT)
    return {"parameters": parameters, "responses": responses}


def describe_import(kind: EntityType) -> Docs:
    about = f"One object a line, as POST /v1/{kind.plural} takes it; only the fields that it has are changed."
    number: Docs = {"type": "integer", "minimum": 0}
    error = name_schema(
        "RowError",
        make_closed_object(
            {
                "row": number,
                "id": allow_null(TEXT),
                "field": allow_null(TEXT),
                "detail": TEXT,
                "value": allow_null(TEXT),
            }
        ),
    )
    counts = dict.fromkeys(("created", "updated", "unchanged", "failed"), number)
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/x-ndjson": {
                    "schema": {
                        "type": "string",
                        "minLength": 1,
                        "description": about,
                        "x-sample": _describe_lines(kind),
                    }
                },
                "text/csv": {
                    "schema": {
                        "type": "string",
                        "pattern": make_header_pattern(kind),
                        "description": f"A header with id and fields, each once; {kind.json_field}.KEY is a key of "
                        "the object.",
                        "example": _describe_table(kind),
                    }
                },
            },
        },
        "responses": {
            "200": make_json_content(
                "What became of the rows, and the first errors.",
                name_schema(
                    "ImportResult", make_closed_object({**counts, "errors": {"type": "array", "items": error}})
                ),
            )
        },
    }


def _describe_lines(kind: EntityType) -> str:
    return json.dumps(_EXAMPLES[kind.name]) + "\n"


def _describe_table(kind: EntityType) -> str:
    fields = {name: value for name, value in _EXAMPLES[kind.name].items() if not isinstance(value, dict)}
    return "\n".join(",".join(map(str, row)) for row in (fields, fields.values())) + "\n"


def _make_filter_schema(values: list[str] | None) -> Docs:
    return {**TEXT, "enum": values} if values else {**STORED_TEXT, "maxLength": SEARCH_CHARS_MAX}


def _make_fields_schema(kind: EntityType) -> Docs:
    example = {name: value for name, value in _EXAMPLES[kind.name].items() if name != "id"}
    return name_schema(f"{kind.name.title()}Fields", {**make_object_schema(kind.fields), "example": example})


def _make_id_schema(kind: EntityType, schema: Docs = GIVEN_ID_SCHEMA) -> Docs:
    return {**schema, "not": {"enum": sorted(kind.reserved)}}


def _make_id_parameter(kind: EntityType, *, is_written: bool = False) -> Docs:
    schema = _make_id_schema(kind, ID_SCHEMA) if is_written else {**ID_SCHEMA, "maxLength": 512, "pattern": NO_NUL}
    return make_parameter("id", "The id in events, percent-encoded.", schema, "path")


def _make_entity_schema(kind: EntityType) -> Docs:
    """Make the schema of a response. A field that takes several types in a request has one type here."""
    shapes = {name: field.schema for name, field in kind.fields.items()}
    shapes[kind.json_field] = FREE_OBJECT
    shapes["anonymous_ids"] = {"type": "array", "items": TEXT}
    if "status" in shapes:
        shapes["status"] = name_schema(ENUM_NAMES["status"], {"type": "string", "enum": shapes["status"]["enum"][:-1]})
    fields = {"id": TEXT, **{name: shapes[name] for name in kind.fields}, "created_at": TIME, "updated_at": TIME}
    return name_schema(kind.name.title(), make_closed_object(fields))


_REMOVED = ("profile", "fields", "traits", "anonymous_ids", "redis_members")
_COUNTS: Docs = {name: {"type": "integer"} for name in _REMOVED}
_REMAINS = name_schema(
    "Remainder", make_closed_object({"where": TEXT, "what": TEXT, "until": TIME_OR_NULL, "limit": TEXT})
)
_RECEIPT_FIELDS: Docs = {
    "id": TEXT,
    "project": TEXT,
    "user_id": allow_null(TEXT),
    "erased_at": TIME,
    "removed": allow_null(name_schema("RemovedCounts", make_closed_object(_COUNTS))),
    "remains": {"type": "array", "items": _REMAINS},
}
RECEIPT: Docs = name_schema("Receipt", make_closed_object(_RECEIPT_FIELDS))
ERASE_PERSON: Docs = {
    "requestBody": make_body_schema(
        {
            "application/json": name_schema(
                "Erasure", {**make_object_schema(ERASURE_FIELDS), "minProperties": 1, "example": {"user_id": "u-4"}}
            )
        }
    ),
    "responses": {"200": make_json_content("The receipt.", RECEIPT)},
}
LIST_ERASURES: Docs = {
    "parameters": [
        *PAGE[:2],
        make_parameter(
            "sort",
            "In which order; - is descending.",
            name_schema("TimeSort", {**TEXT, "enum": list(TIME_SORTS), "default": SORTS[0]}),
        ),
        make_parameter("user_id", "Only that of this user.", {**STORED_TEXT, "maxLength": SEARCH_CHARS_MAX}),
    ],
    "responses": {"200": make_json_content("A page.", make_page_schema("ReceiptPage", RECEIPT))},
}
DOCS_OF_IMPORT = {plural: describe_import(kind) for plural, kind in KINDS.items()}
