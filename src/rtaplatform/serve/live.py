"""Live answers over SSE: a snapshot, then what changes.   Stage 6 of 6: analytics → [serve].

Errors before the stream begins are problem documents, later ones an `event: error`. A stream ends when its key
is revoked (looked at every KEY_CHECK_S), when its client takes nothing for a while, and after AGE_MAX_S; a client
comes back with `Last-Event-ID` and gets what it has missed. WebSocket and the event feed are not here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from typing import Any

import msgspec
from litestar import Request, get, post
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.response.base import ASGIResponse
from msgspec import Struct

from rtaplatform import telemetry
from rtaplatform.analytics.channel import Channel, Version
from rtaplatform.analytics.hub import Hub
from rtaplatform.analytics.parse import parse_live
from rtaplatform.catalog.keys import Access
from rtaplatform.core.errors import PlatformError, Rejected, Unauthorized, Unavailable
from rtaplatform.serve.access import access_of, bearer_of, find_key
from rtaplatform.serve.parameters import reject_unknown
from rtaplatform.serve.parts import Parts, parts_of
from rtaplatform.serve.problems import describe
from rtaplatform.serve.query_docs import STREAM_LIVE
from rtaplatform.serve.sse import EventStream, comment, event

KEY_CHECK_S = 30.0
AGE_MAX_S = 3_600.0
RENDERED_MAX = 16
SCOPE = "read"

AnyConnection = ASGIConnection[Any, Any, Any, Any]
AnyRequest = Request[Any, Any, Any]


class TicketAnswer(Struct, frozen=True):
    ticket: str


async def find_by_ticket(connection: AnyConnection, parts: Parts) -> Access | None:
    """What the ticket of the query opens, else the key in the header. The key is kept for looking again."""
    ticket = connection.query_params.get("ticket")
    key = parts.tickets.redeem(ticket) if ticket is not None else bearer_of(connection.headers.get("authorization"))
    connection.scope["state"]["live_key"] = key
    return await find_key(connection, parts, key)


@post("/v1/live/tickets", opt={"scope": SCOPE}, tags=["live"], summary="A ticket for a browser", status_code=200)
async def issue_ticket(request: AnyRequest) -> TicketAnswer:
    """Works once, for 60 s, as `?ticket=` of /v1/live."""
    reject_unknown(request, ())
    key = bearer_of(request.headers.get("authorization"))
    if key is None:
        raise Unauthorized("Tickets are made for keys.")
    return TicketAnswer(parts_of(request).tickets.issue(key))


@get(
    "/v1/live", opt={"scope": SCOPE, "find_access": find_by_ticket, "docs": STREAM_LIVE}, tags=["live"],
    summary="Live answers over SSE",
)  # fmt: skip
async def stream_live(request: AnyRequest) -> ASGIResponse:
    """`snapshot`, then `update` with what changed, at most every 250 ms; a heartbeat every 15 s."""
    queries = parse_live(request.query_params.multi_items(), besides=("ticket",))
    parts, project = parts_of(request), access_of(request).project
    hub: Hub = parts.hub
    async with AsyncExitStack() as stack:
        channel, first = await stack.enter_async_context(hub.listen(project, queries))
        listener = Listener(parts, channel, request.state.live_key, project)
        chunks = listener.chunks(first, request.headers.get("last-event-id"))
        held = stack.pop_all()
    return EventStream(chunks, held.aclose, send_timeout_s=parts.settings.live_send_timeout_seconds)


class Listener:
    """One client of a channel: what it has been sent, and when."""

    def __init__(self, parts: Parts, channel: Channel, key: str, project: str) -> None:
        self._parts, self._channel, self._key, self._project = parts, channel, key, project
        self._hub: Hub = parts.hub
        self._error: PlatformError | None = None
        self._is_over = False
        self._now = asyncio.get_running_loop().time
        self._heartbeat_s = parts.settings.live_heartbeat_seconds
        self._beaten = self._checked = self._now()

    async def chunks(self, first: Version, last_id: str | None) -> AsyncGenerator[bytes, None]:
        """The stream, until it must end."""
        known = self._channel.find(last_id) if last_id else None
        yield comment("resumed") if known else self._snapshot(first)
        seen, began = known or first, self._now()
        self._beaten = self._checked = began
        while self._now() - began < AGE_MAX_S and not self._hub.is_closing:
            await self._channel.wait(seen, self._error, max(0.0, self._beaten + self._heartbeat_s - self._now()))
            refusal = await self._news_of_errors()
            if refusal is not None:
                yield _error_event(refusal)
            if self._is_over or isinstance(refusal, Rejected):
                return
            if self._channel.latest is not seen:
                # Versions are published at most every `interval_s`, so updates come no closer than that.
                chunk, seen = self._update(seen), self._channel.latest
                if chunk:
                    yield chunk
            if self._now() - self._beaten >= self._heartbeat_s:
                self._beaten = self._now()
                yield comment("heartbeat")

    async def _news_of_errors(self) -> PlatformError | None:
        """An error that the client has not been told of. A `Rejected` ends the stream, and any about its key."""
        if self._now() - self._checked >= KEY_CHECK_S:
            self._checked = self._now()
            refusal = await self._refusal_of_key()
            if refusal is not None:
                telemetry.LIVE_DROPPED.labels("key").inc()
                self._is_over = True
                return refusal
        if self._channel.error is self._error:
            return None
        self._error = self._channel.error
        return self._error

    def _snapshot(self, version: Version) -> bytes:
        telemetry.LIVE_SNAPSHOTS.inc()
        return self._rendered(
            version.id, lambda: event("snapshot", msgspec.json.encode({"answers": version.answers}), version.id)
        )

    def _update(self, seen: Version) -> bytes:
        """What has changed since `seen`; nothing where it has changed back."""
        latest = self._channel.latest
        found = self._channel.since(seen)
        if found is None:
            return self._snapshot(latest)
        if not found:
            return b""
        telemetry.LIVE_UPDATES.inc()
        return self._rendered(
            f"{seen.id} {latest.id}", lambda: event("update", msgspec.json.encode({"answers": found}), latest.id)
        )

    def _rendered(self, name: str, render: Callable[[], bytes]) -> bytes:
        """Encode once for all who have seen the same."""
        cache = self._channel.rendered
        if name not in cache:
            while len(cache) >= RENDERED_MAX:
                del cache[next(iter(cache))]
            cache[name] = render()
        return cache[name]

    async def _refusal_of_key(self) -> PlatformError | None:
        """Where nobody knows whether the key is still valid the stream ends too, but not as if it were revoked."""
        try:
            access = await self._parts.keys.find(self._key)
        except Unavailable as error:
            return error
        if access is None or SCOPE not in access.scopes or access.project != self._project:
            return Unauthorized("The key is no longer valid.")
        return None


def _error_event(error: PlatformError) -> bytes:
    return event("error", msgspec.json.encode(describe(error)))


route_handlers: list[BaseRouteHandler] = [issue_ticket, stream_live]
