"""The outermost layer: checks every request, adds headers to every response, and counts both.

```
server → strictness → preflight → intake (body), outlet (response) → application
       → front (nearly all collecting calls)
```
Errors of the router get the same headers as other responses. Without them a page would see a network failure, and
send again what it should drop.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from litestar.types import ASGIApp, Message, Receive, Send

from rtaplatform.core.errors import Busy, MalformedRequest, NotFound
from rtaplatform.serve.collect.collect_front import CollectFront
from rtaplatform.serve.collect.collect_routes import is_collecting
from rtaplatform.serve.connections.body_intake import BodyIntake
from rtaplatform.serve.connections.connection_guard import find_peer
from rtaplatform.serve.connections.request_strictness import check_headers, decode_path, has_empty_segment
from rtaplatform.serve.connections.response_outlet import ResponseOutlet
from rtaplatform.serve.connections.server_channel import ServerChannel
from rtaplatform.serve.http import cors
from rtaplatform.serve.http.access import find_scope_address
from rtaplatform.serve.http.cors import Headers
from rtaplatform.serve.http.dependencies import Dependencies
from rtaplatform.serve.http.problems import write_problem
from rtaplatform.serve.response_headers import count_response, make_limit_headers, with_safe_headers

_ENDLESS = ("/v1/live", "/v1/events/live")  # HEAD makes no sense for a stream
_STREAMED = ("/v1/products/import", "/v1/users/import")


def wrap_application(app: ASGIApp, parts: Dependencies) -> ASGIApp:
    """Wrap the whole application."""

    front = CollectFront(parts)

    async def handle(scope: Any, receive: Receive, send: Send) -> None:
        if front.takes(scope):
            await front.answer(scope, receive, send)
        elif scope["type"] == "http":
            await _Exchange(app, parts, scope, receive, send).run()
        elif scope["type"] == "websocket":
            await _run_socket(app, parts, scope, receive, send)
        else:
            await app(scope, receive, send)

    return handle


async def _run_socket(app: ASGIApp, parts: Dependencies, scope: Any, receive: Receive, send: Send) -> None:
    """Count the socket as a request that goes on, so that it is not the first connection to be cut for room."""
    path = decode_path(scope.get("raw_path") or b"", scope["path"])
    peer = find_peer(scope)
    if has_empty_segment(path):
        await send({"type": "websocket.close", "code": 4404, "reason": ""})
        return
    with parts.bounds.exchanges.count():
        if peer is not None:
            parts.bounds.guard.begin(peer)
        channel = ServerChannel(receive, send)
        try:
            scope["path"] = path
            await app(scope, channel.receive, channel.send)
        finally:
            channel.release()
            if peer is not None:
                parts.bounds.guard.end(peer)


class _Exchange:
    """One request and its response."""

    def __init__(self, app: ASGIApp, parts: Dependencies, scope: Any, receive: Receive, send: Send) -> None:
        self._app, self._parts, self._receive, self._send = app, parts, receive, send
        path = decode_path(scope.get("raw_path") or b"", scope["path"])
        self._is_head = scope["method"] == "HEAD" and path.rstrip("/") not in _ENDLESS
        scope.update(path=path, method="GET" if self._is_head else scope["method"])
        self._scope = scope
        self._path, self._headers = path, scope["headers"]
        self._origin = _find(self._headers, b"origin")
        self._is_collecting, self._is_querying = is_collecting(path), cors.is_querying(path)
        self._peer = find_peer(scope)
        self._start_s = time.perf_counter()

    async def run(self) -> None:
        with self._parts.bounds.exchanges.count():
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
            await self._answer(*write_problem(error))
        else:
            if self._scope["method"] == "OPTIONS" and self._answers_preflight():
                await self._answer_preflight()
            else:
                await self._run_application()

    async def _run_application(self) -> None:
        length = _find(self._headers, b"content-length")
        intake = BodyIntake(
            self._receive, self._parts.bounds.bodies, self._find_address,
            turns=self._parts.bounds.turns, deadlines=self._parts.bounds.receives,
            length=int(length) if length and length.isdigit() else 0,
            held_max=self._parts.intake.body_bytes_max, streams=self._path in _STREAMED,
        )  # fmt: skip
        outlet = ResponseOutlet(
            self._complete, self._parts.bounds.answers, self._find_address,
            cut=self._cut, deadlines=self._parts.bounds.sends, is_head=self._is_head,
        )  # fmt: skip
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

    def _find_address(self) -> str:
        return find_scope_address(self._scope, self._parts.limits.trusted_proxies)

    # responses ---------------------------------------------------------------------------------------------------

    async def _complete(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [
                *self._with_all_methods(list(message["headers"])),
                *make_limit_headers(self._scope),
                *self._find_cors_headers(),
            ]
            message["headers"] = with_safe_headers(headers)
            count_response(self._scope.get("path_template") or "unknown", message["status"], self._start_s)
        await self._send(message)

    async def _answer(self, start: Any, body: Any) -> None:
        await self._complete(start)
        await self._send(body)

    def _find_cors_headers(self) -> Headers:
        state = self._scope.get("state", {})
        if self._is_collecting:
            return [] if state.get("origin_refused") else cors.make_collect_headers(self._origin)
        if not self._is_querying:
            return []
        return cors.make_query_headers(self._origin, may_ask=self._may_ask(state.get("access")))

    def _may_ask(self, access: Any) -> bool:
        if self._origin is None:
            return False
        origins, origin = self._parts.origins, self._origin.decode("latin-1")
        return origins.is_known(origin) if access is None else origins.may_ask(access.project, origin)

    def _answers_preflight(self) -> bool:
        return self._is_collecting or (self._is_querying and self._may_ask(None))

    async def _answer_preflight(self) -> None:
        header_names = _find(self._headers, b"access-control-request-headers") or b""
        headers = with_safe_headers([*self._find_cors_headers(), *cors.make_preflight_headers(header_names)])
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
