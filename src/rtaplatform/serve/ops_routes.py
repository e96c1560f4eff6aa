"""Routes for operators and newcomers: health, signals, the API's description, and pages about problems."""

from __future__ import annotations

from html import escape
from typing import Any

import msgspec
from litestar import MediaType, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from rtaplatform import telemetry
from rtaplatform.core.errors import NotFound
from rtaplatform.serve.docs_page.page_style import write_page
from rtaplatform.serve.http.dependencies import AnyRequest, find_dependencies
from rtaplatform.serve.http.parameters import read_parameters
from rtaplatform.serve.http.problems import BY_SLUG
from rtaplatform.serve.openapi.document import encode_document
from rtaplatform.serve.openapi.openapi_pieces import (
    FREE_OBJECT,
    RETRY_AFTER,
    make_closed_object,
    make_json_content,
    make_parameter,
    name_schema,
)

OPEN = {"scope": None}
_TEXT = {"type": "string"}
_KIND = name_schema(
    "ProblemKind",
    make_closed_object({"type": _TEXT, "slug": _TEXT, "status": {"type": "integer"}, "title": _TEXT, "remedy": _TEXT}),
)
PROBLEM_DOCS = {
    "parameters": [
        make_parameter("slug", "`code` of a problem document.", {"type": "string", "enum": sorted(BY_SLUG)}, "path")
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
DOCUMENT_DOCS = {"responses": {"200": make_json_content("OpenAPI 3.1.", {**FREE_OBJECT, "required": ["openapi"]})}}
READY_DOCS = {
    "responses": {
        "200": make_json_content(
            "It can serve. `degraded` names what cannot do all of its work, and `servers` says why.", FREE_OBJECT
        ),
        "503": make_json_content(
            "It cannot yet: `missing` names the servers, or this machine's `clock`, which is wrong.",
            FREE_OBJECT,
            RETRY_AFTER,
        ),
    }
}


@get("/health/live", opt=OPEN, tags=["operate"], summary="Whether this process is alive", operation_id="readLiveness")
async def live() -> dict[str, str]:
    return {"status": "alive"}


@get(
    "/health/ready", opt={**OPEN, "docs": READY_DOCS}, tags=["operate"],
    summary="Whether to send requests here, and what is missing", operation_id="readReadiness",
)  # fmt: skip
async def ready(request: AnyRequest) -> Response[dict[str, Any]]:
    is_ready, detail = await find_dependencies(request).health.check_readiness()
    return Response(detail, status_code=200 if is_ready else 503, headers={} if is_ready else {"Retry-After": "2"})


@get(
    "/metrics", opt={**OPEN, "docs": METRICS_DOCS}, tags=["operate"], summary="Our own signals, for Prometheus",
    operation_id="readSignals",
)  # fmt: skip
async def metrics() -> Response[bytes]:
    return Response(telemetry.render_exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")


@get(
    "/openapi.json", opt={**OPEN, "docs": DOCUMENT_DOCS}, tags=["operate"], summary="This description",
    operation_id="readDescription",
)  # fmt: skip
async def openapi(request: AnyRequest) -> Response[bytes]:
    read_parameters(request, ())
    return Response(encode_document(request.app), media_type=MediaType.JSON)


@get(
    "/problems/{slug:str}", opt={**OPEN, "docs": PROBLEM_DOCS}, tags=["operate"], summary="What a problem means",
    operation_id="readProblem",
)  # fmt: skip
async def problem(slug: FromPath[str], request: AnyRequest) -> Response[Any]:
    kind = BY_SLUG.get(slug)
    if kind is None:
        raise NotFound("There is no such problem.", field="slug", allowed=sorted(BY_SLUG))
    if "text/html" not in request.headers.get("accept", ""):
        return Response({"type": f"/problems/{slug}", **msgspec.to_builtins(kind)}, media_type=MediaType.JSON)
    body = f"<p>Status {kind.status}. <code>{escape(slug)}</code></p><p>{escape(kind.remedy)}</p>"
    page = write_page(kind.title, body + '<p><a href="/docs">The API</a></p>')
    return Response(page, media_type=MediaType.HTML)


route_handlers: list[HTTPRouteHandler] = [live, ready, metrics, openapi, problem]
