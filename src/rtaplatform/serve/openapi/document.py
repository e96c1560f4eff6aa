"""The OpenAPI document: what the framework knows of the routes, completed by what they say themselves.

`opt={"docs": {...}}` of a route is put into its operation. Every operation gets its security, with the scope that the
key needs, and the problem documents that it can answer, so that the document tells all.
"""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Litestar
from litestar._openapi.plugin import OpenAPIPlugin
from litestar.routes import HTTPRoute

from rtaplatform.serve.http.csv_tables import CSV, FORMATS
from rtaplatform.serve.openapi.openapi_pieces import RETRY_AFTER, components, parameter

Document = dict[str, Any]
PROBLEM: Document = {
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "field": {"type": ["string", "null"]},
        "allowed": {},
        "hint": {"type": ["string", "null"]},
        "code": {"type": "string"},
        "message": {"type": "string"},
    },
    "required": ["type", "title", "status", "detail", "code", "message"],
}
_WORDS = {
    "400": "The body cannot be read.",
    "401": "No valid key.",
    "403": "The key does not open this.",
    "404": "There is no such thing.",
    "409": "It exists, or conflicts.",
    "412": "It is not as If-Match says.",
    "415": "An encoding or type that is not known.",
    "422": "A field or parameter is wrong.",
    "429": "Too many requests.",
    "503": "A server behind is away; see Retry-After.",
}
FORMAT = parameter(
    "format", "csv: a table, as with `Accept: text/csv`.", {"type": "string", "enum": list(FORMATS)}, example="json"
)
KEY: Document = {
    "type": "http",
    "scheme": "bearer",
    "description": "A key of a project. An operation names the scope that it needs.",
}


def document_of(app: Litestar) -> Document:
    """The whole document."""
    found = app.plugins.get(OpenAPIPlugin).provide_openapi_schema()
    if "Problem" not in found.setdefault("components", {}).setdefault("schemas", {}):
        _complete(found, app)
    return found


def written_document_of(app: Litestar) -> bytes:
    """As JSON, written once: everybody may ask for it, as often as they like."""
    if "openapi_json" not in app.state:
        app.state["openapi_json"] = msgspec.json.encode(document_of(app))
    written: bytes = app.state["openapi_json"]
    return written


def _complete(document: Document, app: Litestar) -> None:
    _allow_several(document)
    document["components"]["schemas"] |= {"Problem": PROBLEM, **components()}
    document["components"]["securitySchemes"] = {"key": KEY}
    for route in app.routes:
        operations = document["paths"].get(route.path_format)
        if not isinstance(route, HTTPRoute) or operations is None:
            continue
        for method, (handler, _) in route.route_handler_map.items():
            operation = operations.get(method.lower())
            if operation is not None:
                _complete_operation(operation, handler.opt)


def _allow_several(part: Any) -> None:
    """The framework writes unions as oneOf, which a whole number breaks that is an integer and a number."""
    for one in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        _allow_several(one)
    if isinstance(part, dict) and isinstance(part.get("oneOf"), list):
        part["anyOf"] = part.pop("oneOf")


def _complete_operation(operation: Document, opt: dict[str, Any]) -> None:
    docs, scope = opt.get("docs", {}), opt.get("scope")
    operation.update({name: part for name, part in docs.items() if name != "responses"})
    succeeded = docs.get("responses") or {s: r for s, r in operation["responses"].items() if s.startswith("2")}
    if opt.get("csv"):
        operation["parameters"] = [*operation.get("parameters", ()), FORMAT]
        content = {**succeeded["200"]["content"], CSV: {"schema": {"type": "string"}}}
        succeeded = {**succeeded, "200": {**succeeded["200"], "content": content}}
    problems = {status: _problem(_WORDS[status], status) for status in _statuses(operation, opt)}
    operation["responses"] = {**problems, "default": _problem("Anything else that is wrong."), **succeeded}
    if scope is not None:
        operation.setdefault("security", [{"key": [scope]}])
        operation["x-scope"] = scope


def _statuses(operation: Document, opt: dict[str, Any]) -> list[str]:
    statuses = {"422", "503"}
    if opt.get("scope") is not None:
        statuses |= {"401", "403", "429"}
    parameters = operation.get("parameters", ())
    if any(one.get("in") == "path" for one in parameters):
        statuses.add("404")
    if any(one.get("name") == "If-Match" for one in parameters):
        statuses.add("412")
    if "requestBody" in operation:
        statuses |= {"400", "409", "415"}
    return sorted(statuses)


def _problem(description: str, status: str | None = None) -> Document:
    schema: Document = {"$ref": "#/components/schemas/Problem"}
    if status is not None:
        schema = {"allOf": [schema, {"properties": {"status": {"const": int(status)}}}]}
    answer: Document = {"description": description, "content": {"application/problem+json": {"schema": schema}}}
    return {**answer, "headers": RETRY_AFTER} if status in ("429", "503") else answer
