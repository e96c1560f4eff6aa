"""Complete the OpenAPI document that the framework makes of the routes.

`opt={"docs": {...}}` of a route is merged into its operation. Every operation gets its security, with the scope that
the key needs, and the problem documents that it can return.
"""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Litestar
from litestar._openapi.plugin import OpenAPIPlugin
from litestar.routes import HTTPRoute

from rtaplatform.serve.http.csv_tables import CSV, FORMATS
from rtaplatform.serve.openapi.named_schemas import move_named_schemas
from rtaplatform.serve.openapi.openapi_pieces import RETRY_AFTER, make_components, make_parameter, name_schema

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
    "409": "It exists already, or conflicts.",
    "412": "It does not have the ETag of If-Match.",
    "415": "An unknown encoding or type.",
    "422": "A field or parameter is wrong.",
    "429": "Too many requests.",
    "503": "A server is unavailable; see Retry-After.",
}
FORMAT = make_parameter(
    "format",
    "csv: a table, as with `Accept: text/csv`.",
    name_schema("Format", {"type": "string", "enum": list(FORMATS)}),
    example="json",
)
KEY: Document = {
    "type": "http",
    "scheme": "bearer",
    "description": "A key of a project. An operation names the scope that it needs.",
}


def make_document(app: Litestar) -> Document:
    """Return the whole document."""
    document = app.plugins.get(OpenAPIPlugin).provide_openapi_schema()
    if "Problem" not in document.setdefault("components", {}).setdefault("schemas", {}):
        _complete(document, app)
    return document


def encode_document(app: Litestar) -> bytes:
    """Return the document as JSON. It is encoded once: everybody may request it as often as they like."""
    if "openapi_json" not in app.state:
        app.state["openapi_json"] = msgspec.json.encode(make_document(app))
    document_bytes: bytes = app.state["openapi_json"]
    return document_bytes


def _complete(document: Document, app: Litestar) -> None:
    _replace_one_of(document)
    document["components"]["schemas"] |= {"Problem": PROBLEM, **make_components()}
    document["components"]["securitySchemes"] = {"key": KEY}
    for route in app.routes:
        operations = document["paths"].get(route.path_format)
        if not isinstance(route, HTTPRoute) or operations is None:
            continue
        for method, (handler, _) in route.route_handler_map.items():
            operation = operations.get(method.lower())
            if operation is not None:
                _complete_operation(operation, handler.opt)
    # The framework lists the paths of a handler in an order of its own in each process.
    document["paths"] = dict(sorted(document["paths"].items()))
    move_named_schemas(document)


def _replace_one_of(part: Any) -> None:
    """Turn oneOf, which the framework writes for unions, into anyOf: a whole number is an integer and a number."""
    for child in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        _replace_one_of(child)
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
    problems = {status: _describe_problem(_WORDS[status], status) for status in _list_statuses(operation, opt)}
    operation["responses"] = {**problems, "default": _describe_problem("Anything else that is wrong."), **succeeded}
    if scope is not None:
        operation.setdefault("security", [{"key": [scope]}])
        operation["x-scope"] = scope


def _list_statuses(operation: Document, opt: dict[str, Any]) -> list[str]:
    statuses = {"422", "503"}
    if opt.get("scope") is not None:
        statuses |= {"401", "403", "429"}
    parameters = operation.get("parameters", ())
    if any(entry.get("in") == "path" for entry in parameters):
        statuses.add("404")
    if any(entry.get("name") == "If-Match" for entry in parameters):
        statuses.add("412")
    if "requestBody" in operation:
        statuses |= {"400", "409", "415"}
    return sorted(statuses)


def _describe_problem(description: str, status: str | None = None) -> Document:
    schema: Document = {"$ref": "#/components/schemas/Problem"}
    if status is not None:
        schema["properties"] = {"status": {"const": int(status)}}
    answer: Document = {"description": description, "content": {"application/problem+json": {"schema": schema}}}
    return {**answer, "headers": RETRY_AFTER} if status in ("429", "503") else answer
