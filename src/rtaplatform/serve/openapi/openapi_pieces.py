"""Building blocks of the OpenAPI document.   Stage 6 of 6; pure.

`catalog/catalog_docs.py`, `collect/collect_docs.py` and `query/query_docs.py` make operations of them, `document.py`
makes the document.
"""

from __future__ import annotations

from typing import Any

from rtaplatform.catalog.entities.fields import NO_NUL
from rtaplatform.core.time.zones import zone_names

Docs = dict[str, Any]
TEXT: Docs = {"type": "string"}
# PostgreSQL stores no text with NUL.
STORED_TEXT: Docs = {"type": "string", "pattern": NO_NUL}
JSON_VALUE: Docs = {
    "description": "A JSON value without NUL in its texts and keys.",
    "anyOf": [
        {"type": ["null", "boolean", "number"]},
        STORED_TEXT,
        {"type": "array", "items": {"$ref": "#/components/schemas/JsonValue"}},
        {
            "type": "object",
            "propertyNames": {"pattern": NO_NUL},
            "additionalProperties": {"$ref": "#/components/schemas/JsonValue"},
        },
    ],
}
RETRY_AFTER: Docs = {
    "Retry-After": {"description": "Seconds.", "required": True, "schema": {"type": "integer", "minimum": 1}}
}
TIME_ZONE: Docs = {"$ref": "#/components/schemas/TimeZone"}


def components() -> Docs:
    """Return the schemas that several operations share."""
    zone = {"type": "string", "enum": sorted(zone_names()), "description": "A name of the IANA time zone database."}
    return {"JsonValue": JSON_VALUE, "TimeZone": zone}


def parameter(name: str, description: str, schema: Docs, place: str = "query", **more: Any) -> Docs:
    """Describe a parameter. Those in the path are required, others only if `more` says so."""
    members = {"name": name, "in": place, "required": place == "path", "description": description}
    return {**members, **more, "schema": schema}


def comma_separated(name: str, description: str, items: Docs, *, items_max: int, example: str, **more: Any) -> Docs:
    """Describe a parameter that is a list, written `a,b`. Values of an enumeration occur once."""
    schema = {"type": "array", "items": items, "minItems": 1, "maxItems": items_max, "uniqueItems": "enum" in items}
    return parameter(name, description, schema, style="form", explode=False, example=[example], **more)


def json_content(description: str, schema: Docs, headers: Docs | None = None) -> Docs:
    answer: Docs = {"description": description, "content": {"application/json": {"schema": schema}}}
    return {**answer, "headers": headers} if headers else answer


def body_schema(schemas: Docs, *, required: bool = True) -> Docs:
    return {"required": required, "content": {media: {"schema": schema} for media, schema in schemas.items()}}


def closed_object(properties: Docs) -> Docs:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def nullable(schema: Docs) -> Docs:
    """Return the schema with null allowed, also in an enumeration."""
    values = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return {**schema, "type": [schema["type"], "null"], **values}
