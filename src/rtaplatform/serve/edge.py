"""The outermost layer: what every answer carries, errors of the router included, and what is counted of it.

Browsers of any origin may send to the collecting routes, without credentials, and read the answer: without
these headers on errors too, a page sees a network failure and retries what it should drop.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

from litestar.types import ASGIApp, Message, Receive, Send

from rtaplatform import telemetry
from rtaplatform.serve.catalog_requests import keep_ids_encoded
from rtaplatform.serve.collecting import is_collecting
from rtaplatform.serve.operating import PAGE_POLICY

Headers = list[tuple[bytes, bytes]]
PREFLIGHT_SECONDS = b"86400"
_HEADER_LIST = re.compile(rb"[A-Za-z0-9, -]{1,1000}")
_USUAL_HEADERS = b"anonymousid, authorization, content-encoding, content-type, sentat, x-retry-count"
_SAFE: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cache-control", b"no-store"),
]
_API_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_PAGE_POLICY = (b"content-security-policy", PAGE_POLICY.encode())
_CORS: Headers = [
    (b"access-control-allow-origin", b"*"),
    (
        b"access-control-expose-headers",
        b"Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, X-RateLimit-Reset",
    ),
]


def at_the_edge(app: ASGIApp) -> ASGIApp:
    """Wrap the whole application."""

    async def handle(scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await app(scope, receive, send)
        scope = keep_ids_encoded(scope)
        begun, open_to_browsers = time.perf_counter(), is_collecting(scope["path"])
        if open_to_browsers and scope["method"] == "OPTIONS":
            return await _answer_preflight(scope["headers"], send)
        path = scope["path"]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*_with_all_methods(list(message["headers"]), scope), *_limit(scope)]
                message["headers"] = _complete(headers, path, open_to_browsers)
                _count(scope, message["status"], begun)
            await send(message)

        return await app(scope, receive, send_with_headers)

    return handle


def _complete(headers: Headers, path: str, open_to_browsers: bool) -> Headers:
    there = {name.lower() for name, _ in headers}
    is_page = any(name.lower() == b"content-type" and value.startswith(b"text/html") for name, value in headers)
    added = [*_SAFE, _PAGE_POLICY if is_page else _API_POLICY, *(_CORS if open_to_browsers else ())]
    return headers + [header for header in added if header[0] not in there]


def _with_all_methods(headers: Headers, scope: Any) -> Headers:
    """To OPTIONS the framework names the methods of the handler that was registered first; here are the path's."""
    template = scope.get("path_template")
    if scope["method"] != "OPTIONS" or template is None:
        return headers
    methods = {one for route in scope["litestar_app"].routes if route.path_format == template for one in route.methods}
    return [header for header in headers if header[0].lower() != b"allow"] + [
        (b"allow", ", ".join(sorted(methods)).encode())
    ]


def _limit(scope: Any) -> Headers:
    """What the key may still ask for; a refusal tells it itself."""
    allowance = scope.get("state", {}).get("allowance")
    if allowance is None:
        return []
    return [(name.lower().encode(), value.encode()) for name, value in allowance.headers().items()]


def _count(scope: Any, status: int, begun: float) -> None:
    route = scope.get("path_template") or "unknown"
    telemetry.HTTP_REQUESTS.labels(route, str(status)).inc()
    telemetry.HTTP_SECONDS.labels(route).observe(time.perf_counter() - begun)


async def _answer_preflight(headers: Any, send: Callable[[Any], Awaitable[None]]) -> None:
    asked = next((value for name, value in headers if name.lower() == b"access-control-request-headers"), b"")
    answer: Headers = [
        *_CORS,
        (b"access-control-allow-methods", b"POST, GET, OPTIONS"),
        (b"access-control-allow-headers", asked if _HEADER_LIST.fullmatch(asked) else _USUAL_HEADERS),
        (b"access-control-max-age", PREFLIGHT_SECONDS),
        (b"vary", b"Access-Control-Request-Headers"),
        (b"content-length", b"0"),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": answer})
    await send({"type": "http.response.body", "body": b""})
