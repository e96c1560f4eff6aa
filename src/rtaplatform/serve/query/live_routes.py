"""Live answers over SSE: a snapshot, then updates.   Stage 6 of 6: analytics → [serve].

An error before the stream begins is a problem document. A later one is an `event: problem` (never `error`, which is
the browser's own). During an outage the stream reports the problem and waits. The stream also reports why it ends: the
key was revoked (checked every KEY_CHECK_S), the ticket's hour or the stream's age limit is over, or the process stops.
A client that reads nothing is dropped. A client that reconnects with its last id gets the updates that it has missed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack

import msgspec
from litestar import get, post
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
from rtaplatform.serve.http.access import AnyConnection, access_of, bearer_of, find_bearer, refuse_unknown
from rtaplatform.serve.http.dependencies import AnyRequest, Dependencies, dependencies_of, query_services_of
from rtaplatform.serve.http.parameters import read_parameters
from rtaplatform.serve.http.problems import describe
from rtaplatform.serve.http.tickets import CHAIN_MARK, LIFE_SECONDS, Ticket
from rtaplatform.serve.query.answer_encoding import encode_event
from rtaplatform.serve.query.query_docs import STREAM_LIVE
from rtaplatform.serve.query.sse import EventStream, comment, event, id_line, opening

KEY_CHECK_S = 30.0
AGE_MAX_S = 3_600.0  # of a stream that was opened with a key
RENDERED_MAX = 16  # encoded events that are kept per live query
RETRY_MS = (1_000, 2_500)  # chosen at random, so that clients do not all reconnect at once
LAST_ID_CHARS_MAX = 300
SCOPE = "read"
NEW_TICKET = "Ask for a new one with POST /v1/live/tickets."
TICKET_IS_OVER = f"The ticket's {LIFE_SECONDS // 60} minutes are over."


class TicketAnswer(Struct, frozen=True):
    ticket: str


class LiveAdmission(Struct, frozen=True):
    """What opens a stream: the hash of its key, and its ticket if it has one."""

    hashed: bytes
    ticket: Ticket | None = None
    last_id: str | None = None

    @property
    def chain(self) -> str:
        """The suffix of all event ids of this stream."""
        return f"{CHAIN_MARK}{self.ticket.chain}" if self.ticket else ""

    @property
    def is_reconnect(self) -> bool:
        return self.ticket is not None and self.ticket.continues(self.last_id)


async def find_by_ticket(connection: AnyConnection, parts: Dependencies) -> KeyAccess | None:
    """Find the access of the ticket in the query, else of the key in the header. Raises Unauthorized."""
    text, last_id = connection.query_params.get("ticket"), _last_id_of(connection)
    if text is None:
        access = await find_bearer(connection, parts)
        hashed = digest(bearer_of(connection.headers.get("authorization")) or "")
        connection.scope["state"]["admission"] = LiveAdmission(hashed, last_id=last_id)
        return access
    ticket = await query_services_of(parts).tickets.read(text)
    if ticket is None:
        await refuse_unknown(connection, "The ticket is none of ours, or older than a day.", NEW_TICKET)
    if query_services_of(parts).tickets.is_over(ticket):
        raise Unauthorized(TICKET_IS_OVER, field="ticket", hint=NEW_TICKET)
    connection.scope["state"]["admission"] = LiveAdmission(ticket.hashed, ticket, last_id)
    return await parts.keys.find_hashed(ticket.hashed)


def _last_id_of(connection: AnyConnection) -> str | None:
    """Return the last event id: of the header, which a browser keeps up to date, else of the parameter."""
    last_id = connection.headers.get("last-event-id") or connection.query_params.get("last_event_id")
    return last_id[:LAST_ID_CHARS_MAX] if last_id else None


@post("/v1/live/tickets", opt={"scope": SCOPE}, tags=["live"], summary="A ticket for a browser", status_code=200)
async def issue_ticket(request: AnyRequest) -> TicketAnswer:
    """Opens one stream of /v1/live as `?ticket=`, and its reconnects, for an hour."""
    read_parameters(request, ())
    key = bearer_of(request.headers.get("authorization"))
    if key is None:
        raise Unauthorized("Tickets are made for keys.")
    return TicketAnswer(await query_services_of(dependencies_of(request)).tickets.issue(digest(key)))


@get(
    "/v1/live", opt={"scope": SCOPE, "find_access": find_by_ticket, "docs": STREAM_LIVE}, tags=["live"],
    summary="Live answers over SSE",
)  # fmt: skip
async def stream_live(request: AnyRequest) -> ASGIResponse:
    """`snapshot`, then `update` with what changed, at most every 250 ms; a heartbeat every 15 s."""
    queries = parse_live(request.query_params.multi_items(), besides=("ticket", "last_event_id"))
    parts, access, admission = dependencies_of(request), access_of(request), request.state.admission
    hub = query_services_of(parts).hub
    try:
        async with AsyncExitStack() as stack:
            await _claim(parts, admission, stack)
            seat = LiveSeat(access.key_id)
            live_query, first = await stack.enter_async_context(hub.listen(access.project, queries, seat))
            listener = LiveListener(parts, live_query, admission, seat, access.project)
            resources = stack.pop_all()
    except Unavailable as error:
        if admission.ticket is None:
            raise
        return EventStream(
            _stream_problem(error), _close_nothing, send_timeout_s=parts.settings.live_send_timeout_seconds
        )
    chunks = listener.chunks(first)
    return EventStream(chunks, resources.aclose, send_timeout_s=parts.settings.live_send_timeout_seconds)


async def _claim(parts: Dependencies, admission: LiveAdmission, stack: AsyncExitStack) -> None:
    """Claim the ticket, which opens one stream only. The claim is undone if no stream is opened."""
    ticket = admission.ticket
    if ticket is None or admission.is_reconnect:
        return
    if not await query_services_of(parts).tickets.claim(ticket):
        raise Unauthorized(
            "The ticket has opened its stream. Only a reconnect of that stream, with its last id, may use it again.",
            field="ticket", hint=NEW_TICKET,
        )  # fmt: skip

    async def release(kind: type[BaseException] | None, *_: object) -> bool:
        if kind is not None:
            await query_services_of(parts).tickets.release(ticket)
        return False

    stack.push_async_exit(release)


async def _stream_problem(error: PlatformError) -> AsyncGenerator[bytes, None]:
    """Stream a temporary error. With any status but 200 a browser would give up for ever."""
    yield opening("later", _retry_ms()) + _problem(error)


async def _close_nothing() -> None: ...


class LiveListener:
    """One client of a live query: what it has been sent, and when."""

    def __init__(
        self, parts: Dependencies, live_query: LiveQuery, admission: LiveAdmission, seat: LiveSeat, project: str
    ) -> None:
        self._parts, self._live_query, self._admission, self._project = parts, live_query, admission, project
        self._seat = seat
        self._hub = query_services_of(parts).hub
        self._error: PlatformError | None = None
        self._end: PlatformError | None = None
        self._now = asyncio.get_running_loop().time
        self._heartbeat_s = parts.settings.live_heartbeat_seconds
        self._heartbeat_at = self._key_checked_at = self._began_at = self._now()
        self._life_s = (
            query_services_of(parts).tickets.seconds_left(admission.ticket) if admission.ticket else AGE_MAX_S
        )

    async def chunks(self, first: AnswerVersion) -> AsyncGenerator[bytes, None]:
        """Yield the stream until it must end."""
        resumed = self._find_resumed()
        yield opening("resumed" if resumed else "begun", _retry_ms())
        for chunk in () if resumed else await self._render_snapshot(first):
            yield chunk
        sent_version = resumed or first
        while True:
            await self._live_query.wait(sent_version, self._error, max(0.0, self._wake_at() - self._now()))
            if (problem := await self._find_new_problem()) is not None:
                yield _problem(problem)
            if self._end is not None:
                return
            if self._live_query.latest is not sent_version:
                # Versions are published at most every `interval_s`, so updates come no closer than that.
                latest = self._live_query.latest
                chunks, sent_version = await self._render_update(sent_version, latest), latest
                for chunk in chunks:
                    yield chunk
            if self._now() - self._heartbeat_at >= self._heartbeat_s:
                self._heartbeat_at = self._now()
                yield comment("heartbeat")

    def _find_resumed(self) -> AnswerVersion | None:
        """Find the version that a reconnecting client has seen."""
        last_id = self._admission.last_id
        return self._live_query.find(last_id.partition(CHAIN_MARK)[0]) if last_id else None

    def _wake_at(self) -> float:
        return min(self._heartbeat_at + self._heartbeat_s, self._began_at + self._life_s)

    async def _find_new_problem(self) -> PlatformError | None:
        """Return a problem that the client does not know yet. If it ends the stream it is kept as `_end`."""
        self._end = self._find_end() or await self._check_key()
        if self._end is not None:
            return self._end
        if self._live_query.error is self._error:
            return None
        self._error = self._live_query.error
        if isinstance(self._error, Rejected):
            self._end = self._error
        return self._error

    def _find_end(self) -> PlatformError | None:
        if self._hub.is_closing:
            return Busy("This process stops. Connect again with the last id.")
        if (problem := self._seat.problem or self._live_query.problem) is not None:
            return problem
        if self._now() - self._began_at < self._life_s:
            return None
        if self._admission.ticket is not None:
            return Unauthorized(TICKET_IS_OVER, field="ticket", hint=f"{NEW_TICKET} Connect with it and the last id.")
        return Busy("The stream has reached its age limit. Connect again with the last id.", retry_after_seconds=1)

    async def _render_snapshot(self, version: AnswerVersion) -> tuple[bytes, ...]:
        telemetry.LIVE_SNAPSHOTS.inc()
        rendered = await self._render(
            version.id, version.points, lambda: event("snapshot", encode_event(version.answers))
        )
        assert rendered is not None
        return self._with_id(version, rendered)

    async def _render_update(self, base: AnswerVersion, latest: AnswerVersion) -> tuple[bytes, ...]:
        """Render the changes between two versions: nothing if there are none, a snapshot if they cannot be merged."""
        points = max(base.points, latest.points)
        rendered = await self._render(f"{base.id} {latest.id}", points, lambda: self._encode_update(base, latest))
        if rendered is None:
            return await self._render_snapshot(latest)
        if not rendered:
            return ()
        telemetry.LIVE_UPDATES.inc()
        return self._with_id(latest, rendered)

    def _encode_update(self, base: AnswerVersion, latest: AnswerVersion) -> bytes | None:
        """Encode the update: empty if nothing has changed, None if a snapshot is needed."""
        updates = self._live_query.updates_since(base, latest)
        if updates is None:
            return None
        return event("update", encode_event(updates)) if updates else b""

    def _with_id(self, version: AnswerVersion, rendered: bytes) -> tuple[bytes, ...]:
        # Two chunks, since the large one is shared by all listeners.
        return id_line(version.id + self._admission.chain), rendered

    async def _render(self, name: str, points: int, render: Callable[[], bytes | None]) -> bytes | None:
        """Render once for all listeners that have seen the same version; outside the event loop if it is large."""
        cache = self._live_query.rendered
        if name not in cache:
            while len(cache) >= RENDERED_MAX:
                del cache[next(iter(cache))]
            cache[name] = asyncio.create_task(self._hub.beside.run(points, render))
        # Shielded: other listeners wait for the task too, so one that disconnects must not cancel it.
        return await asyncio.shield(cache[name])

    async def _check_key(self) -> PlatformError | None:
        """Return an error if the key is not valid any more, or if nobody can tell."""
        if self._now() - self._key_checked_at < KEY_CHECK_S:
            return None
        self._key_checked_at = self._now()
        try:
            access = await self._parts.keys.find_hashed(self._admission.hashed)
        except Unavailable as error:
            return self._count_drop(error)
        if access is None or SCOPE not in access.scopes or access.project != self._project:
            return self._count_drop(Unauthorized("The key is no longer valid."))
        return None

    def _count_drop(self, error: PlatformError) -> PlatformError:
        telemetry.LIVE_DROPPED.labels("key").inc()
        return error


def _retry_ms() -> int:
    return random.randrange(*RETRY_MS)  # noqa: S311  # spreads reconnects; no secret


def _problem(error: PlatformError) -> bytes:
    return event("problem", msgspec.json.encode(describe(error)))


route_handlers: list[BaseRouteHandler] = [issue_ticket, stream_live]
