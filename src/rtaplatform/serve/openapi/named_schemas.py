"""Move the schemas that have a title below `components`, so that generators of clients make one type of each."""

from __future__ import annotations

from typing import Any

from rtaplatform.serve.openapi.openapi_pieces import Docs

# Their members are names of properties, not words of JSON Schema.
_MAPS = ("properties", "patternProperties", "dependentSchemas")
# Values as they are sent: no schemas.
_VALUES = ("example", "examples", "default", "const", "enum")


def move_named_schemas(document: Docs) -> None:
    """Replace every schema with a title by a reference. Two schemas of one name are the same one."""
    schemas: Docs = document["components"]["schemas"]
    for name in list(schemas):
        schemas[name] = _with_moved_parts(schemas[name], schemas)
    document["paths"] = _move_part(document["paths"], schemas)


def _move_part(part: Any, schemas: Docs) -> Any:
    if isinstance(part, list):
        return [_move_part(child, schemas) for child in part]
    if not isinstance(part, dict):
        return part
    whole, name = _with_moved_parts(part, schemas), part.get("title")
    if not isinstance(name, str):
        return whole
    namesake = schemas.setdefault(name, whole)
    assert namesake == whole, f"two schemas have the name {name}"
    return {"$ref": f"#/components/schemas/{name}"}


def _with_moved_parts(part: Any, schemas: Docs) -> Any:
    return {
        word: child if word in _VALUES
        else {name: _move_part(schema, schemas) for name, schema in child.items()} if word in _MAPS
        else _move_part(child, schemas)
        for word, child in part.items()
    }  # fmt: skip
