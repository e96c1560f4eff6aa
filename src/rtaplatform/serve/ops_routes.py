"""Routes for operators and newcomers: health, signals, the API's description, and pages about problems."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from typing import Any

import msgspec
from litestar import MediaType, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.params import FromPath

from rtaplatform import telemetry
from rtaplatform.core.errors import NotFound
from rtaplatform.serve.http.dependencies import AnyRequest, dependencies_of
from rtaplatform.serve.http.parameters import read_parameters
from rtaplatform.serve.http.problems import BY_SLUG
from rtaplatform.serve.openapi.document import encoded_document_of
from rtaplatform.serve.openapi.openapi_pieces import RETRY_AFTER, closed_object, json_content, parameter

OPEN = {"scope": None}
_TEXT = {"type": "string"}
_KIND = closed_object({"type": _TEXT, "slug": _TEXT, "status": {"type": "integer"}, "title": _TEXT, "remedy": _TEXT})
PROBLEM_DOCS = {
    "parameters": [
        parameter("slug", "`code` of a problem document.", {"type": "string", "enum": sorted(BY_SLUG)}, "path")
    ],
    "responses": {
        "200": {
            "description": "What it means, and what to do; a page for browsers.",
            "content": {"application/json": {"schema": _KIND}, "text/html": {"schema": _TEXT}},
        }
    },
}
METRICS_DOCS = {
    "responses": {
        "200": {"description": "Prometheus' text format.", "content": {"text/plain": {"schema": _TEXT}}},
    }
}
DOCUMENT_DOCS = {"responses": {"200": json_content("OpenAPI 3.1.", {"type": "object", "required": ["openapi"]})}}
READY_DOCS = {
    "responses": {
        "200": json_content(
            "It can serve. `degraded` names what cannot do all of its work, and `servers` says why.", {"type": "object"}
        ),
        "503": json_content(
            "It cannot yet: `missing` names the servers, or this machine's `clock`, which is wrong.",
            {"type": "object"},
            RETRY_AFTER,
        ),
    }
}
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1f2b}"
    "h2{border-bottom:1px solid #d5d9e2;margin-top:2.5rem}code,pre{font:14px/1.4 ui-monospace,monospace;"
    "background:#f2f4f8;padding:.1em .3em;border-radius:3px}table{border-collapse:collapse}"
    "td,th{text-align:left;padding:.2rem .8rem .2rem 0;vertical-align:top}.method{font-weight:700;color:#0b5c3b}"
    "@media(prefers-color-scheme:dark){body{background:#12151c;color:#e4e7ee}code,pre{background:#1d222d}"
    "h2{border-color:#343b4a}.method{color:#6fd3a8}a{color:#8ab4ff}}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
PAGE_POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'none'; base-uri 'none'"


@get("/health/live", opt=OPEN, tags=["operate"], summary="Whether this process is alive")
async def live() -> dict[str, str]:
    return {"status": "alive"}


@get(
    "/health/ready", opt={**OPEN, "docs": READY_DOCS}, tags=["operate"],
    summary="Whether to send requests here, and what is missing",
)  # fmt: skip
async def ready(request: AnyRequest) -> Response[dict[str, Any]]:
    is_ready, detail = await dependencies_of(request).health.readiness()
    return Response(detail, status_code=200 if is_ready else 503, headers={} if is_ready else {"Retry-After": "2"})


@get("/metrics", opt={**OPEN, "docs": METRICS_DOCS}, tags=["operate"], summary="Our own signals, for Prometheus")
async def metrics() -> Response[bytes]:
    return Response(telemetry.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")


@get("/openapi.json", opt={**OPEN, "docs": DOCUMENT_DOCS}, tags=["operate"], summary="This description")
async def openapi(request: AnyRequest) -> Response[bytes]:
    read_parameters(request, ())
    return Response(encoded_document_of(request.app), media_type=MediaType.JSON)


@get("/problems/{slug:str}", opt={**OPEN, "docs": PROBLEM_DOCS}, tags=["operate"], summary="What a problem means")
async def problem(slug: FromPath[str], request: AnyRequest) -> Response[Any]:
    kind = BY_SLUG.get(slug)
    if kind is None:
        raise NotFound("There is no such problem.", field="slug", allowed=sorted(BY_SLUG))
    if "text/html" not in request.headers.get("accept", ""):
        return Response({"type": f"/problems/{slug}", **msgspec.to_builtins(kind)}, media_type=MediaType.JSON)
    body = f"<p>Status {kind.status}. <code>{escape(slug)}</code></p><p>{escape(kind.remedy)}</p>"
    return _page(kind.title, body + '<p><a href="/docs">The API</a></p>')


class DocsPage(OpenAPIRenderPlugin):
    """The API's description as one plain page, without scripts and without content of other sites."""

    def __init__(self) -> None:
        super().__init__(path="/", media_type=MediaType.HTML)

    def render(self, request: AnyRequest, openapi_schema: dict[str, Any]) -> bytes:
        return write_docs(openapi_schema).encode()


def write_docs(schema: dict[str, Any]) -> str:
    """Write the whole page."""
    info = schema["info"]
    parts = [f"<p>{escape(info.get('description') or '')}</p>", '<p><a href="/openapi.json">openapi.json</a></p>']
    for path, methods in sorted(schema["paths"].items()):
        for method, operation in methods.items():
            if isinstance(operation, dict) and "responses" in operation:
                parts.append(_write_operation(path, method, operation))
    return _html(f"{info['title']} {info['version']}", "".join(parts))


def _write_operation(path: str, method: str, operation: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(entry['name'])}</code></td><td>{escape(entry['in'])}</td>"
        f"<td>{'needed' if entry.get('required') else ''}</td><td>{escape(entry.get('description') or '')}</td></tr>"
        for entry in operation.get("parameters", ())
        if "name" in entry
    )
    statuses = ", ".join(escape(status) for status in operation["responses"])
    return (
        f'<h2><span class="method">{escape(method.upper())}</span> <code>{escape(path)}</code></h2>'
        f"<p><strong>{escape(operation.get('summary') or '')}</strong></p>"
        f"<p>{escape(operation.get('description') or '')}</p>"
        + (f"<table>{rows}</table>" if rows else "")
        + f"<p>Answers: {statuses}; every error is a problem document.</p>"
    )


def _page(title: str, body: str) -> Response[str]:
    return Response(_html(title, body), media_type=MediaType.HTML)


def _html(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body><h1>{escape(title)}</h1>{body}</body></html>"
    )


route_handlers: list[HTTPRouteHandler] = [live, ready, metrics, openapi, problem]
