"""Answer collecting calls in front of the framework: nearly all requests are such calls.   Stage 6 of 6.

The router, the guards and the response objects of the framework take several times what an event itself takes. Here a
POST to one of Segment's paths goes straight to the function that its route calls too (`collect_routes.py`). All limits
of `connections/` and all headers of `middleware.py` apply. Whatever is not plainly such a call takes the framework's
way: other methods, preflights, and paths with escapes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, cast

from litestar import Request
from litestar.connection.base import empty_send
from litestar.datastructures import MultiDict
from litestar.types import Receive, Scope, Send

from rtaplatform.core.errors import Busy
from rtaplatform.serve.collect.collect_routes import BATCH_PATHS, SINGLE_PATHS, collect_many, collect_one
from rtaplatform.serve.connections.body_intake import BodyIntake
from rtaplatform.serve.connections.connection_guard import find_peer
from rtaplatform.serve.connections.request_strictness import check_headers
from rtaplatform.serve.connections.response_outlet import PIECE_BYTES, ResponseOutlet
from rtaplatform.serve.http import cors
from rtaplatform.serve.http.access import find_scope_address
from rtaplatform.serve.http.dependencies import AnyRequest, Dependencies
from rtaplatform.serve.http.problems import log_problem, write_problem
from rtaplatform.serve.response_headers import HEADERS_OF_DATA, count_response, make_limit_headers
from rtaplatform.settings import ApiHalf

Collect = Callable[[AnyRequest], Awaitable[bytes]]
_JSON = (b"content-type", b"application/json")


class HeaderTexts(dict[str, str]):
    """A request's headers, whose names are lower-case. Of several with one name `get` finds the first."""

    @classmethod
    def read(cls, headers: Sequence[tuple[bytes, bytes]]) -> HeaderTexts:
        return cls([(name.decode("latin-1"), value.decode("latin-1")) for name, value in reversed(headers)])


class CollectRequest(Request[Any, Any, Any]):
    """A request without the framework's caches, since hardly a collecting call has a query."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope, self.receive, self.send = cast(Any, scope), receive, empty_send
        self._own_headers = HeaderTexts.read(cast(Any, scope)["headers"])

    @property
    def headers(self) -> Any:
        return self._own_headers

    @property
    def query_params(self) -> MultiDict[Any]:
        if not self.scope.get("query_string"):
            return MultiDict()
        return Request[Any, Any, Any](cast(Any, self.scope), self.receive).query_params


class CollectFront:
    """Takes the calls that it can answer, and leaves all others to the application."""

    def __init__(self, parts: Dependencies) -> None:
        self._parts = parts
        self._routes = {} if parts.settings.only is ApiHalf.QUERY else _list_routes()

    def takes(self, scope: Any) -> bool:
        """Whether `answer` has to be called for this connection."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] not in self._routes:
            return False
        return b"%" not in (scope.get("raw_path") or b"").partition(b"?")[0]

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        route, collect = self._routes[scope["path"]]
        await _CollectExchange(self._parts, scope, receive, send).run(route, collect)


def _list_routes() -> dict[str, tuple[str, Collect]]:
    """The paths, with and without a slash at the end → the route's name and its function."""
    by_path: dict[str, Collect] = dict.fromkeys(BATCH_PATHS, collect_many)
    for kind, paths in SINGLE_PATHS.items():
        by_path |= {path: partial(collect_one, kind=kind) for path in paths}
    return {path + slash: (path, collect) for path, collect in by_path.items() for slash in ("", "/")}


class _CollectExchange:
    """One call and its response."""

    def __init__(self, parts: Dependencies, scope: Any, receive: Receive, send: Send) -> None:
        self._parts, self._bounds, self._scope, self._receive, self._send = parts, parts.bounds, scope, receive, send
        self._peer = find_peer(scope)
        self._start_s = time.perf_counter()

    async def run(self, route: str, collect: Collect) -> None:
        task = self._bounds.exchanges.begin()
        if self._peer is not None:
            self._bounds.guard.begin(self._peer)
        try:
            await self._run(route, collect)
        finally:
            if self._peer is not None:
                self._bounds.guard.end(self._peer)
            self._bounds.exchanges.end(task)

    async def _run(self, route: str, collect: Collect) -> None:
        length = self._find(b"content-length")
        intake = BodyIntake(
            self._receive, self._bounds.bodies, self._find_address,
            turns=self._bounds.turns, deadlines=self._bounds.receives,
            length=int(length) if length and length.isdigit() else 0,
            held_max=self._parts.intake.body_bytes_max,
        )  # fmt: skip
        try:
            start, body = await self._collect(collect, intake)
            self._complete(start, route)
            if len(body["body"]) <= PIECE_BYTES:  # the server has room for one piece
                await self._send(start)
                await self._send(body)
            else:
                await self._send_in_pieces(start, body, intake)
        finally:
            intake.end()

    async def _collect(self, collect: Collect, intake: BodyIntake) -> tuple[Any, Any]:
        """Return the response as ASGI messages, without the headers that all responses get."""
        try:
            check_headers(self._scope["headers"], self._scope.get("http_version", "1.1"))
            answer = await collect(CollectRequest(self._scope, intake))
        except asyncio.CancelledError:
            if not self._bounds.exchanges.is_ending:
                raise
            return write_problem(Busy("The API is stopping.", retry_after_seconds=5))
        except Exception as error:  # noqa: BLE001  (as the framework does: each error becomes a problem document)
            log_problem(error, "POST", self._scope["path"])
            return write_problem(error)
        headers = [_JSON, (b"content-length", b"%d" % len(answer))]
        return (
            {"type": "http.response.start", "status": 200, "headers": headers},
            {"type": "http.response.body", "body": answer},
        )

    def _complete(self, start: Any, route: str) -> None:
        """Add the headers of every response, and count it."""
        headers = start["headers"]
        headers += make_limit_headers(self._scope)
        if not self._scope["state"].get("origin_refused"):
            headers += cors.make_collect_headers(self._find(b"origin"))
        headers += HEADERS_OF_DATA
        count_response(route, start["status"], self._start_s)

    async def _send_in_pieces(self, start: Any, body: Any, intake: BodyIntake) -> None:
        outlet = ResponseOutlet(
            self._send, self._bounds.answers, self._find_address, cut=self._cut, deadlines=self._bounds.sends
        )
        try:
            await outlet(start)
            await outlet(body)
        except asyncio.CancelledError:
            if not self._bounds.exchanges.is_ending:
                raise
            await outlet.answer_instead(Busy("The API is stopping.", retry_after_seconds=5))
        finally:
            outlet.end(is_client_gone=intake.is_client_gone)

    def _cut(self) -> None:
        if self._peer is not None:
            self._bounds.guard.cut(self._peer)

    def _find(self, name: bytes) -> bytes | None:
        headers: list[tuple[bytes, bytes]] = self._scope["headers"]
        for key, value in headers:
            if key == name:
                return value
        return None

    def _find_address(self) -> str:
        return find_scope_address(self._scope, self._parts.limits.trusted_proxies)
