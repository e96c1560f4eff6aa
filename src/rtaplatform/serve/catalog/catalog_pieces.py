"""What the OpenAPI descriptions of the catalog's routes are made of.   Stage 6 of 6."""

from __future__ import annotations

from rtaplatform.catalog.entities.fields import Fields
from rtaplatform.catalog.entities.pages import LIMIT_DEFAULT, LIMIT_MAX, SORTS
from rtaplatform.catalog.keys.key_format import SCOPES
from rtaplatform.serve.openapi.openapi_pieces import (
    TEXT,
    Docs,
    allow_null,
    make_closed_object,
    make_parameter,
    name_schema,
)

TIME: Docs = {"type": "string", "format": "date-time"}
TIME_OR_NULL: Docs = {"type": ["string", "null"], "format": "date-time"}
ETAG = {"ETag": {"description": "The version; send it as If-Match.", "schema": TEXT, "required": True}}
LOCATION = {"Location": {"description": "Where it can be read.", "schema": TEXT, "required": True}}
SCOPE = name_schema("Scope", {**TEXT, "enum": list(SCOPES)})
ENUM_NAMES = {"status": "ProductStatus", "week_start": "Weekday", "currency": "Currency"}  # names of the fields' values
MERGE_PATCH = "application/merge-patch+json"

_CURSOR = {**TEXT, "pattern": "^[A-Za-z0-9_-]+$", "maxLength": 2_000}
PAGE = [
    make_parameter(
        "limit", "How many.", {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT}
    ),
    make_parameter("cursor", "`next_cursor` of the page before, with the same sort and filters.", _CURSOR),
    make_parameter(
        "sort",
        "In which order; - is descending.",
        name_schema("Sort", {**TEXT, "enum": list(SORTS), "default": SORTS[0]}),
    ),
]
IF_MATCH = make_parameter("If-Match", "Only if it still has this ETag; else 412.", TEXT, "header")
IF_NONE_MATCH = make_parameter("If-None-Match", "`*`: only if there is none yet; else 412.", TEXT, "header")
KNOWN = make_parameter("If-None-Match", "An ETag, or `*` for any: 304 while it has that one.", TEXT, "header")
UNCHANGED: Docs = {"description": "It is as If-None-Match names it.", "headers": ETAG}


def make_object_schema(fields: Fields, extra: Docs | None = None, required: list[str] | None = None) -> Docs:
    """Make the schema of a body with these fields and no others."""
    required_names = [*(required or ()), *(name for name, field in fields.items() if field.is_required)]
    properties = {**(extra or {}), **{name: _make_field_schema(name, field.schema) for name, field in fields.items()}}
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        **({"required": required_names} if required_names else {}),
    }


def _make_field_schema(name: str, schema: Docs) -> Docs:
    """Name the parts that several bodies share. A part that may be null stands beside null.

    A default is told in words: generators of clients demand a field that has one.
    """
    if "default" in schema:
        about = f"{schema['default']}, where it is null or missing."
        shape = _make_field_schema(name, {word: part for word, part in schema.items() if word != "default"})
        return {**shape, "description": about}
    if name == "scopes":
        return {**schema, "items": SCOPE}
    if None in schema.get("enum", ()):
        return allow_null(name_schema(ENUM_NAMES[name], {"type": "string", "enum": schema["enum"][:-1]}))
    if schema.get("type") == ["object", "null"]:
        return allow_null(name_schema("StoredObject", {**schema, "type": "object"}))
    return schema


def without_required(schema: Docs) -> Docs:
    return {word: part for word, part in schema.items() if word != "required"}


def make_page_schema(name: str, item: Docs) -> Docs:
    return name_schema(
        name, make_closed_object({"items": {"type": "array", "items": item}, "next_cursor": allow_null(TEXT)})
    )
