"""Building blocks of the OpenAPI document.   Stage 6 of 6; pure.

`catalog/catalog_docs.py`, `collect/collect_docs.py` and `query/query_docs.py` make operations of them, `document.py`
makes the document.
"""

from __future__ import annotations

import re
from typing import Any

from rtaplatform.catalog.entities.fields import NO_NUL
from rtaplatform.core.time.calendar import WEEKDAYS
from rtaplatform.core.time.zones import list_zone_names

Docs = dict[str, Any]
TEXT: Docs = {"type": "string"}
# PostgreSQL stores no text with NUL.
STORED_TEXT: Docs = {"type": "string", "pattern": NO_NUL}
_JSON_RULE: Docs = {
    "anyOf": [
        {"type": ["null", "boolean", "number"]},
        STORED_TEXT,
        {"type": "array", "items": {"$ref": "#/components/schemas/JsonValue"}},
        {
            "type": "object",
            "propertyNames": {"pattern": NO_NUL},
            "additionalProperties": {"$ref": "#/components/schemas/JsonValue"},
        },
    ]
}
JSON_VALUE: Docs = {"description": "A JSON value without NUL in its texts and keys.", "if": {}, "then": _JSON_RULE}
# Without `additionalProperties` generators of clients make an object that has nothing.
FREE_OBJECT: Docs = {"type": "object", "additionalProperties": True}
JSON_OBJECT: Docs = {**FREE_OBJECT, "title": "JsonObject"}
RETRY_AFTER: Docs = {
    "Retry-After": {"description": "Seconds.", "required": True, "schema": {"type": "integer", "minimum": 1}}
}
TIME_ZONE: Docs = {"$ref": "#/components/schemas/TimeZone"}
WEEKDAY: Docs = {"type": "string", "enum": list(WEEKDAYS), "title": "Weekday"}
# `Answer` and others have it; the framework describes it.
META: Docs = {"$ref": "#/components/schemas/Meta"}


def make_components() -> Docs:
    """Return the schemas that several operations share."""
    zones = sorted(list_zone_names())
    zone = {
        "type": "string",
        "enum": zones,
        "x-enum-varnames": [_name_zone_constant(zone) for zone in zones],
        "description": "A name of the IANA time zone database.",
    }
    return {"JsonValue": JSON_VALUE, "TimeZone": zone}


def _name_zone_constant(zone: str) -> str:
    """Name a zone in a program. `GMT+0`, `GMT-0` and `GMT0` are three zones."""
    signed = zone.replace("GMT+", "GMT_PLUS_").replace("GMT-", "GMT_MINUS_")
    return re.sub("[^A-Z0-9]", "_", signed.upper())


def name_schema(name: str, schema: Docs) -> Docs:
    """Name a schema. The document has it once, below `components`, and generators of clients name a type by it."""
    return {**schema, "title": name}


def make_check(rule: Docs) -> Docs:
    """Return what adds a rule to a schema for validators alone: generators of clients pass over conditions.

    They drop the members of an object that stand beside `anyOf`, and take no union that has itself as a part.
    """
    return {"if": {}, "then": rule}


def make_parameter(name: str, description: str, schema: Docs, place: str = "query", **more: Any) -> Docs:
    """Describe a parameter. Those in the path are required, others only if `more` says so."""
    members = {"name": name, "in": place, "required": place == "path", "description": description}
    return {**members, **more, "schema": schema}


def make_list_parameter(name: str, description: str, items: Docs, *, items_max: int, example: str, **more: Any) -> Docs:
    """Describe a parameter that is a list, written `a,b`. Values of an enumeration occur once."""
    schema = {"type": "array", "items": items, "minItems": 1, "maxItems": items_max, "uniqueItems": "enum" in items}
    return make_parameter(name, description, schema, style="form", explode=False, example=[example], **more)


def make_json_content(description: str, schema: Docs, headers: Docs | None = None) -> Docs:
    answer: Docs = {"description": description, "content": {"application/json": {"schema": schema}}}
    return {**answer, "headers": headers} if headers else answer


def make_body_schema(schemas: Docs, *, required: bool = True) -> Docs:
    return {"required": required, "content": {media: {"schema": schema} for media, schema in schemas.items()}}


def make_closed_object(properties: Docs) -> Docs:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def allow_null(schema: Docs) -> Docs:
    """Return the schema with null allowed, also in an enumeration."""
    if "title" in schema or "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    values = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return {**schema, "type": [schema["type"], "null"], **values}
