"""Live answers over SSE: a snapshot, then what changes.   Stage 6 of 6: analytics → [serve].

Errors before the stream begins are problem documents, later ones an `event: problem` (never `error`, which is the
browser's own). An outage is told and waited out. What ends a stream is told as well: a revoked key (looked at every
KEY_CHECK_S), the end of its ticket's hour, its age, a stop. Who takes nothing for a while is dropped. A client comes
back with the last id and gets what it has missed. WebSocket and the event feed are not here.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from typing import Any

import msgspec
from litestar import get, post
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.response.base import ASGIResponse
from msgspec import Struct

from rtaplatform import telemetry
from rtaplatform.analytics.ask.parse import parse_live
from rtaplatform.analytics.live.hub import LiveSeat
from rtaplatform.analytics.live.live_query import AnswerVersion, LiveQuery
from rtaplatform.catalog.keys.key_format import digest
from rtaplatform.catalog.keys.key_rows import KeyAccess
from rtaplatform.core.errors import Busy, PlatformError, Rejected, Unauthorized, Unavailable
from rtaplatform.serve.http.access import access_of, bearer_of, find_bearer, refuse_unknown
from rtaplatform.serve.http.dependencies import AnyRequest, Dependencies, dependencies_of, questions_of
from rtaplatform.serve.http.parameters import read_parameters
from rtaplatform.serve.http.problems import describe
from rtaplatform.serve.http.tickets import CHAIN_MARK, LIFE_SECONDS, Ticket
from rtaplatform.serve.query.answer_encoding import encode_event
from rtaplatform.serve.query.query_docs import STREAM_LIVE
from rtaplatform.serve.query.sse import EventStream, comment, event, id_line, opening

KEY_CHECK_S = 30.0
AGE_MAX_S = 3_600.0
RENDERED_MAX = 16
RETRY_MS = (1_000, 2_500)  # chosen at random, so that not all come back at once
LAST_ID_CHARS_MAX = 300
SCOPE = "read"
NEW_TICKET = "Ask for a new one with POST /v1/live/tickets."
TICKET_IS_OVER = f"The ticket's {LIFE_SECONDS // 60} minutes are over."

AnyConnection = ASGIConnection[Any, Any, Any, Any]


class TicketAnswer(Struct, frozen=True):
    ticket: str


class LiveAdmission(Struct, frozen=True):
    """By what a stream was opened: the hash of its key, and the ticket, if it was one."""

    hashed: bytes
    ticket: Ticket | None = None
    last_id: str | None = None

    @property
    def chain(self) -> str:
        """What the ids of this stream's events end in."""
        return f"{CHAIN_MARK}{self.ticket.chain}" if self.ticket else ""

    @property
    def is_reconnect(self) -> bool:
        return self.ticket is not None and self.ticket.continues(self.last_id)


async def find_by_ticket(connection: AnyConnection, parts: Dependencies) -> KeyAccess | None:
    """What the ticket of the query opens, else the key in the header. Raises Unauthorized."""
    text, last_id = connection.query_params.get("ticket"), _last_id_of(connection)
    if text is None:
        access = await find_bearer(connection, parts)
        hashed = digest(bearer_of(connection.headers.get("authorization")) or "")
        connection.scope["state"]["admission"] = LiveAdmission(hashed, last_id=last_id)
        return access
    ticket = await questions_of(parts).tickets.read(text)
    if ticket is None:
        await refuse_unknown(connection, "The ticket is none of ours, or older than a day.", NEW_TICKET)
    if questions_of(parts).tickets.is_over(ticket):
        raise Unauthorized(TICKET_IS_OVER, field="ticket", hint=NEW_TICKET)
    connection.scope["state"]["admission"] = LiveAdmission(ticket.hashed, ticket, last_id)
    return await parts.keys.find_hashed(ticket.hashed)


def _last_id_of(connection: AnyConnection) -> str | None:
    """The header's, which a browser keeps up to date; else the parameter's, for who opens a stream anew."""
    said = connection.headers.get("last-event-id") or connection.query_params.get("last_event_id")
    return said[:LAST_ID_CHARS_MAX] if said else None


@post("/v1/live/tickets", opt={"scope": SCOPE}, tags=["live"], summary="A ticket for a browser", status_code=200)
async def issue_ticket(request: AnyRequest) -> TicketAnswer:
    """Opens one stream of /v1/live as `?ticket=`, and its reconnects, for an hour."""
    read_parameters(request, ())
    key = bearer_of(request.headers.get("authorization"))
    if key is None:
        raise Unauthorized("Tickets are made for keys.")
    return TicketAnswer(await questions_of(dependencies_of(request)).tickets.issue(digest(key)))


@get(
    "/v1/live", opt={"scope": SCOPE, "find_access": find_by_ticket, "docs": STREAM_LIVE}, tags=["live"],
    summary="Live answers over SSE",
)  # fmt: skip
async def stream_live(request: AnyRequest) -> ASGIResponse:
    """`snapshot`, then `update` with what changed, at most every 250 ms; a heartbeat every 15 s."""
    queries = parse_live(request.query_params.multi_items(), besides=("ticket", "last_event_id"))
    parts, access, admission = dependencies_of(request), access_of(request), request.state.admission
    hub = questions_of(parts).hub
    try:
        async with AsyncExitStack() as stack:
            await _claim(parts, admission, stack)
            seat = LiveSeat(access.key_id)
            channel, first = await stack.enter_async_context(hub.listen(access.project, queries, seat))
            listener = LiveListener(parts, channel, admission, seat, access.project)
            held = stack.pop_all()
    except Unavailable as error:
        if admission.ticket is None:
            raise
        return EventStream(_only(error), _nothing, send_timeout_s=parts.settings.live_send_timeout_seconds)
    chunks = listener.chunks(first)
    return EventStream(chunks, held.aclose, send_timeout_s=parts.settings.live_send_timeout_seconds)


async def _claim(parts: Dependencies, admission: LiveAdmission, stack: AsyncExitStack) -> None:
    """A ticket opens one stream. The claim is taken back where no stream comes of it."""
    ticket = admission.ticket
    if ticket is None or admission.is_reconnect:
        return
    if not await questions_of(parts).tickets.claim(ticket):
        raise Unauthorized(
            "The ticket has opened its stream. Only a reconnect of that stream, with its last id, may use it again.",
            field="ticket", hint=NEW_TICKET,
        )  # fmt: skip

    async def release(kind: type[BaseException] | None, *_: object) -> bool:
        if kind is not None:
            await questions_of(parts).tickets.release(ticket)
        return False

    stack.push_async_exit(release)


async def _only(error: PlatformError) -> AsyncGenerator[bytes, None]:
    """A stream that cannot begin yet. A browser gives up for ever at any status but 200, and this passes."""
    yield opening("later", _retry_ms()) + _problem(error)


async def _nothing() -> None: ...


class LiveListener:
    """One client of a channel: what it has been sent, and when."""

    def __init__(
        self, parts: Dependencies, channel: LiveQuery, admission: LiveAdmission, seat: LiveSeat, project: str
    ) -> None:
        self._parts, self._channel, self._admission, self._project = parts, channel, admission, project
        self._seat = seat
        self._hub = questions_of(parts).hub
        self._error: PlatformError | None = None
        self._end: PlatformError | None = None
        self._now = asyncio.get_running_loop().time
        self._heartbeat_s = parts.settings.live_heartbeat_seconds
        self._beaten = self._checked = self._began = self._now()
        self._life_s = questions_of(parts).tickets.seconds_left(admission.ticket) if admission.ticket else AGE_MAX_S

    async def chunks(self, first: AnswerVersion) -> AsyncGenerator[bytes, None]:
        """The stream, until it must end."""
        known = self._known()
        yield opening("resumed" if known else "begun", _retry_ms())
        for chunk in () if known else await self._snapshot(first):
            yield chunk
        seen = known or first
        while True:
            await self._channel.wait(seen, self._error, max(0.0, self._wake_at() - self._now()))
            if (problem := await self._news_of_errors()) is not None:
                yield _problem(problem)
            if self._end is not None:
                return
            if self._channel.latest is not seen:
                # Versions are published at most every `interval_s`, so updates come no closer than that.
                latest = self._channel.latest
                chunks, seen = await self._update(seen, latest), latest
                for chunk in chunks:
                    yield chunk
            if self._now() - self._beaten >= self._heartbeat_s:
                self._beaten = self._now()
                yield comment("heartbeat")

    def _known(self) -> AnswerVersion | None:
        """What the client has seen already."""
        last_id = self._admission.last_id
        return self._channel.find(last_id.partition(CHAIN_MARK)[0]) if last_id else None

    def _wake_at(self) -> float:
        return min(self._beaten + self._heartbeat_s, self._began + self._life_s)

    async def _news_of_errors(self) -> PlatformError | None:
        """What the client has not been told of. What ends the stream is kept as `_end`."""
        self._end = self._over() or await self._refusal_of_key()
        if self._end is not None:
            return self._end
        if self._channel.error is self._error:
            return None
        self._error = self._channel.error
        if isinstance(self._error, Rejected):
            self._end = self._error
        return self._error

    def _over(self) -> PlatformError | None:
        if self._hub.is_closing:
            return Busy("This process stops. Connect again with the last id.")
        if (problem := self._seat.problem or self._channel.problem) is not None:
            return problem
        if self._now() - self._began < self._life_s:
            return None
        if self._admission.ticket is not None:
            return Unauthorized(TICKET_IS_OVER, field="ticket", hint=f"{NEW_TICKET} Connect with it and the last id.")
        return Busy("The stream has reached its age limit. Connect again with the last id.", retry_after_seconds=1)

    async def _snapshot(self, version: AnswerVersion) -> tuple[bytes, ...]:
        telemetry.LIVE_SNAPSHOTS.inc()
        rendered = await self._rendered(
            version.id, version.points, lambda: event("snapshot", encode_event(version.answers))
        )
        assert rendered is not None
        return self._with_id(version, rendered)

    async def _update(self, seen: AnswerVersion, latest: AnswerVersion) -> tuple[bytes, ...]:
        """What has changed from the one to the other; nothing where it has changed back."""
        points = max(seen.points, latest.points)
        rendered = await self._rendered(f"{seen.id} {latest.id}", points, lambda: self._changes(seen, latest))
        if rendered is None:
            return await self._snapshot(latest)
        if not rendered:
            return ()
        telemetry.LIVE_UPDATES.inc()
        return self._with_id(latest, rendered)

    def _changes(self, seen: AnswerVersion, latest: AnswerVersion) -> bytes | None:
        """The update; empty where nothing has changed, None where only a snapshot will do."""
        found = self._channel.since(seen, latest)
        return event("update", encode_event(found)) if found else None if found is None else b""

    def _with_id(self, version: AnswerVersion, rendered: bytes) -> tuple[bytes, ...]:
        # Two chunks: the large one is the same bytes for all listeners.
        return id_line(version.id + self._admission.chain), rendered

    async def _rendered(self, name: str, points: int, render: Callable[[], bytes | None]) -> bytes | None:
        """Compared and encoded once for all who have seen the same, and beside the event loop where it is large."""
        cache = self._channel.rendered
        if name not in cache:
            while len(cache) >= RENDERED_MAX:
                del cache[next(iter(cache))]
            cache[name] = asyncio.create_task(self._hub.beside.run(points, render))
        # Shielded: the others wait for it too, and one listener that goes away must not end it.
        return await asyncio.shield(cache[name])

    async def _refusal_of_key(self) -> PlatformError | None:
        """Where nobody knows whether the key is still valid the stream ends too, but not as if it were revoked."""
        if self._now() - self._checked < KEY_CHECK_S:
            return None
        self._checked = self._now()
        try:
            access = await self._parts.keys.find_hashed(self._admission.hashed)
        except Unavailable as error:
            return self._dropped(error)
        if access is None or SCOPE not in access.scopes or access.project != self._project:
            return self._dropped(Unauthorized("The key is no longer valid."))
        return None

    def _dropped(self, error: PlatformError) -> PlatformError:
        telemetry.LIVE_DROPPED.labels("key").inc()
        return error


def _retry_ms() -> int:
    return random.randrange(*RETRY_MS)  # noqa: S311  # spreads reconnects; no secret


def _problem(error: PlatformError) -> bytes:
    return event("problem", msgspec.json.encode(describe(error)))


route_handlers: list[BaseRouteHandler] = [issue_ticket, stream_live]
