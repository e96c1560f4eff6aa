"""Make an example value of a schema: its own example, else a value of its type.   Pure."""

from __future__ import annotations

from typing import Any

from rtaplatform.serve.openapi.openapi_pieces import Docs

DEPTH_MAX = 6
# An example for readers alone, of a body that programs which send examples cannot encode.
SAMPLE = "x-sample"
_TEXTS = {"date-time": "2026-11-22T10:00:00Z"}
_UNION_WORDS = ("anyOf", "oneOf", "allOf")


class SampleMaker:
    """Makes examples of the schemas of one document."""

    def __init__(self, schemas: dict[str, Docs]) -> None:
        self._schemas = schemas

    def sample(self, schema: Docs, depth: int = 0) -> Any:
        """Return an example; what is nested deeper than DEPTH_MAX is null."""
        if depth > DEPTH_MAX:
            return None
        if "$ref" in schema:
            return self.sample(self._schemas[schema["$ref"].rpartition("/")[2]], depth + 1)
        for word in ("example", SAMPLE, "const", "default"):
            if word in schema:
                return schema[word]
        if schema.get("enum"):
            return schema["enum"][0]
        if isinstance(schema.get("then"), dict) and "type" not in schema:
            return self.sample(schema["then"], depth)
        parts = next((schema[word] for word in _UNION_WORDS if schema.get(word)), None)
        return self._make_typed(schema, depth) if parts is None else self.sample(_choose_useful(parts), depth)

    def _make_typed(self, schema: Docs, depth: int) -> Any:
        kinds = schema.get("type", "object")
        kind = kinds if isinstance(kinds, str) else next((kind for kind in kinds if kind != "null"), "null")
        match kind:
            case "string":
                return _TEXTS.get(schema.get("format", ""), "text")
            case "integer" | "number":
                return schema.get("minimum", 1)
            case "boolean":
                return True
            case "array":
                return self._make_list(schema, depth)
            case "object":
                fields = schema.get("properties", {})
                return {name: self.sample(part, depth + 1) for name, part in fields.items() if part is not False}
        return None

    def _make_list(self, schema: Docs, depth: int) -> list[Any]:
        if "prefixItems" in schema:
            return [self.sample(part, depth + 1) for part in schema["prefixItems"]]
        return [self.sample(schema["items"], depth + 1)] if schema.get("items") else []


def _choose_useful(parts: list[Docs]) -> Docs:
    """The first part that is more than null."""
    return next((part for part in parts if part.get("type") != "null"), parts[0])
