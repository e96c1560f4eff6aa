"""Say the type of a schema in words, as HTML with links to the schemas that have a name.   Pure."""

from __future__ import annotations

from html import escape
from typing import Any

from rtaplatform.serve.openapi.openapi_pieces import Docs

VALUES_SHOWN_MAX = 8


def say_type(schema: Any) -> str:
    """Return the type: `list of Key`, `text or null`."""
    if not isinstance(schema, dict):
        return "any value" if schema else "nothing"
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#schema-{name}">{name}</a>'
    if "const" in schema:
        return _say_value(schema["const"])
    if "enum" in schema:
        return say_values(schema["enum"])
    parts = schema.get("anyOf") or schema.get("oneOf")
    if parts:
        return " or ".join(dict.fromkeys(say_type(part) for part in parts))
    if isinstance(schema.get("then"), dict) and "type" not in schema:
        return say_type(schema["then"])
    kinds = schema.get("type", "any value")
    return " or ".join(_say_kind(kind, schema) for kind in ([kinds] if isinstance(kinds, str) else kinds))


def say_values(values: list[Any]) -> str:
    """Return the values of an enumeration, at most a few of them."""
    text = " or ".join(_say_value(value) for value in values[:VALUES_SHOWN_MAX])
    return text if len(values) <= VALUES_SHOWN_MAX else f"{text} or one of {len(values) - VALUES_SHOWN_MAX} others"


def _say_kind(kind: str, schema: Docs) -> str:
    if kind == "array" and schema.get("items"):
        return f"list of {say_type(schema['items'])}"
    if kind == "string":
        return "time" if schema.get("format") == "date-time" else "text"
    return {"array": "list", "number": "number", "integer": "whole number", "boolean": "true or false"}.get(kind, kind)


def _say_value(value: Any) -> str:
    return f"<code>{escape('null' if value is None else str(value))}</code>"
