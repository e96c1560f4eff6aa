"""The outermost layer: checks every request, adds headers to every response, and counts both.

```
server → strictness → preflight → intake (body), outlet (response) → application
```
Errors of the router get the same headers as other responses. Without them a page would see a network failure, and
send again what it should drop.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from litestar.types import ASGIApp, Message, Receive, Send

from rtaplatform import telemetry
from rtaplatform.core.errors import Busy, MalformedRequest, NotFound
from rtaplatform.serve.collect.collect_routes import is_collecting
from rtaplatform.serve.connections.body_intake import BodyIntake
from rtaplatform.serve.connections.request_strictness import check_headers, has_empty_segment, path_to_route
from rtaplatform.serve.connections.response_outlet import ResponseOutlet
from rtaplatform.serve.http import cors
from rtaplatform.serve.http.access import forwarded_address
from rtaplatform.serve.http.cors import Headers
from rtaplatform.serve.http.dependencies import Dependencies
from rtaplatform.serve.http.problems import problem_messages
from rtaplatform.serve.ops_routes import PAGE_POLICY

_SAFE: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cache-control", b"no-store"),
    (b"server", b"rta"),  # otherwise the server adds its own name
]
_API_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_PAGE_POLICY = (b"content-security-policy", PAGE_POLICY.encode())
_ENDLESS = ("/v1/live", "/v1/events/live")  # HEAD makes no sense for a stream
_STREAMED = ("/v1/products/import", "/v1/users/import")


def wrap_application(app: ASGIApp, parts: Dependencies) -> ASGIApp:
    """Wrap the whole application."""

    async def handle(scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await _Exchange(app, parts, scope, receive, send).run()
        else:
            await app(scope, receive, send)

    return handle


class _Exchange:
    """One request and its response."""

    def __init__(self, app: ASGIApp, parts: Dependencies, scope: Any, receive: Receive, send: Send) -> None:
        self._app, self._parts, self._receive, self._send = app, parts, receive, send
        path = path_to_route(scope.get("raw_path") or b"", scope["path"])
        self._is_head = scope["method"] == "HEAD" and path.rstrip("/") not in _ENDLESS
        self._scope: Any = {**scope, "path": path, "method": "GET" if self._is_head else scope["method"]}
        self._path, self._headers = path, scope["headers"]
        self._origin = _find(self._headers, b"origin")
        self._is_collecting, self._is_querying = is_collecting(path), cors.is_querying(path)
        self._peer = tuple(scope["client"]) if scope.get("client") else None
        self._start_s = time.perf_counter()

    async def run(self) -> None:
        with self._parts.bounds.exchanges.counted():
            if self._peer is None:
                await self._run()
                return
            self._parts.bounds.guard.begin(self._peer)
            try:
                await self._run()
            finally:
                self._parts.bounds.guard.end(self._peer)

    async def _run(self) -> None:
        try:
            check_headers(self._headers, self._scope.get("http_version", "1.1"))
            if has_empty_segment(self._path):
                raise NotFound("No route has an empty segment.", hint="Take out the doubled slash.")
        except (MalformedRequest, NotFound) as error:
            await self._answer(*problem_messages(error))
        else:
            if self._scope["method"] == "OPTIONS" and self._answers_preflight():
                await self._answer_preflight()
            else:
                await self._run_application()

    async def _run_application(self) -> None:
        declared = _find(self._headers, b"content-length")
        intake = BodyIntake(
            self._receive, self._parts.bounds.bodies, self._address, turns=self._parts.bounds.turns,
            declared=int(declared) if declared and declared.isdigit() else 0, streams=self._path in _STREAMED,
        )  # fmt: skip
        outlet = ResponseOutlet(
            self._complete, self._parts.bounds.answers, self._address, cut=self._cut, is_head=self._is_head
        )
        try:
            await self._app(self._scope, intake, outlet)
        except asyncio.CancelledError:
            if not self._parts.bounds.exchanges.is_ending:
                raise
            await outlet.answer_instead(Busy("The API is stopping.", retry_after_seconds=5))
        finally:
            intake.end()
            outlet.end(is_client_gone=intake.is_client_gone)

    def _cut(self) -> None:
        if self._peer is not None:
            self._parts.bounds.guard.cut(self._peer)

    def _address(self) -> str:
        client = self._peer[0] if self._peer else ""
        forwarded = (_find(self._headers, b"x-forwarded-for") or b"").decode("latin-1")
        return forwarded_address(client, forwarded, self._parts.limits.trusted_proxies)

    # responses ---------------------------------------------------------------------------------------------------

    async def _complete(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [*self._with_all_methods(list(message["headers"])), *_limit(self._scope), *self._cors()]
            message["headers"] = _with_safe(headers)
            _count(self._scope, message["status"], self._start_s)
        await self._send(message)

    async def _answer(self, start: Any, body: Any) -> None:
        await self._complete(start)
        await self._send(body)

    def _cors(self) -> Headers:
        state = self._scope.get("state", {})
        if self._is_collecting:
            return [] if state.get("origin_refused") else cors.headers_of_collecting(self._origin)
        if not self._is_querying:
            return []
        return cors.headers_of_querying(self._origin, may_ask=self._may_ask(state.get("access")))

    def _may_ask(self, access: Any) -> bool:
        if self._origin is None:
            return False
        origins, origin = self._parts.origins, self._origin.decode("latin-1")
        return origins.is_known(origin) if access is None else origins.may_ask(access.project, origin)

    def _answers_preflight(self) -> bool:
        return self._is_collecting or (self._is_querying and self._may_ask(None))

    async def _answer_preflight(self) -> None:
        requested = _find(self._headers, b"access-control-request-headers") or b""
        headers = _with_safe([*self._cors(), *cors.preflight_headers(requested)])
        await self._send({"type": "http.response.start", "status": 204, "headers": headers})
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    def _with_all_methods(self, headers: Headers) -> Headers:
        """List all methods of the path for OPTIONS. The framework lists those of the first handler only."""
        template = self._scope.get("path_template")
        if self._scope["method"] != "OPTIONS" or template is None:
            return headers
        routes = self._scope["litestar_app"].routes
        methods = {method for route in routes if route.path_format == template for method in route.methods}
        if "GET" in methods and self._path not in _ENDLESS:
            methods.add("HEAD")
        return [header for header in headers if header[0].lower() != b"allow"] + [
            (b"allow", ", ".join(sorted(methods)).encode())
        ]


def _find(headers: Any, name: bytes) -> bytes | None:
    return next((value for key, value in headers if key == name), None)


def _with_safe(headers: Headers) -> Headers:
    present = {name.lower() for name, _ in headers}
    is_page = any(name.lower() == b"content-type" and value.startswith(b"text/html") for name, value in headers)
    added = [*_SAFE, _PAGE_POLICY if is_page else _API_POLICY]
    return headers + [header for header in added if header[0] not in present]


def _limit(scope: Any) -> Headers:
    """Make the headers that tell what remains of the key's limit. A refusal has them already."""
    allowance = scope.get("state", {}).get("allowance")
    if allowance is None:
        return []
    return [(name.lower().encode(), value.encode()) for name, value in allowance.headers().items()]


def _count(scope: Any, status: int, start_s: float) -> None:
    route = scope.get("path_template") or "unknown"
    telemetry.HTTP_REQUESTS.labels(route, str(status)).inc()
    telemetry.HTTP_SECONDS.labels(route).observe(time.perf_counter() - start_s)
