"""Live answers over SSE: a snapshot, then updates.   Stage 6 of 6: analytics → [serve].

An error before the stream begins is a problem document. A later one is an `event: problem` (never `error`, which is
the browser's own). During an outage the stream reports the problem and waits. The stream also reports why it ends: the
key was revoked (`key_watch.py`), the ticket's hour or the stream's age limit is over, or the process stops.
A client that reads nothing is dropped. A client that reconnects with its last id gets the updates that it has missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack

from litestar import get, post
from litestar.handlers import BaseRouteHandler
from litestar.response.base import ASGIResponse
from msgspec import Struct

from rtaplatform.analytics.ask.parse import parse_live
from rtaplatform.analytics.live.hub import LiveSeat
from rtaplatform.analytics.live.listener_bell import ListenerBell
from rtaplatform.analytics.live.live_query import AnswerVersion, LiveQuery
from rtaplatform.core.errors import Busy, PlatformError, Rejected, Unauthorized, Unavailable
from rtaplatform.serve.http.access import find_key_hash, get_access
from rtaplatform.serve.http.dependencies import AnyRequest, Dependencies, find_dependencies, require_query_services
from rtaplatform.serve.http.parameters import read_parameters
from rtaplatform.serve.http.tickets import CHAIN_MARK
from rtaplatform.serve.query.key_watch import KeyLease
from rtaplatform.serve.query.live_admission import (
    NEW_TICKET,
    SCOPE,
    TICKET_IS_OVER,
    LiveAdmission,
    choose_retry_ms,
    claim_ticket,
    find_by_ticket,
    get_admission,
    write_problem_event,
)
from rtaplatform.serve.query.live_rendering import LiveRenderer
from rtaplatform.serve.query.query_docs import STREAM_LIVE
from rtaplatform.serve.query.sse import EventStream, write_answers_event, write_comment, write_id_line, write_opening


class TicketAnswer(Struct, frozen=True):
    ticket: str


@post("/v1/live/tickets", opt={"scope": SCOPE}, tags=["live"], summary="A ticket for a browser", status_code=200)
async def issue_ticket(request: AnyRequest) -> TicketAnswer:
    """Opens one stream of /v1/live as `?ticket=`, and its reconnects, for an hour."""
    read_parameters(request, ())
    return TicketAnswer(await require_query_services(find_dependencies(request)).tickets.issue(find_key_hash(request)))


@get(
    "/v1/live", opt={"scope": SCOPE, "find_access": find_by_ticket, "docs": STREAM_LIVE}, tags=["live"],
    summary="Live answers over SSE",
)  # fmt: skip
async def stream_live(request: AnyRequest) -> ASGIResponse:
    """`snapshot`, then `update` with what changed, at most every 250 ms; a heartbeat every 15 s."""
    queries = parse_live(request.query_params.multi_items(), besides=("ticket", "last_event_id"))
    parts, access, admission = find_dependencies(request), get_access(request), get_admission(request)
    services = require_query_services(parts)
    hub = services.hub
    try:
        async with AsyncExitStack() as stack:
            lease = stack.enter_context(services.key_watches.hold(parts.keys, admission.key_hash, access.project))
            await claim_ticket(parts, admission, stack)
            seat = LiveSeat(access.key_id)
            live_query, first = await stack.enter_async_context(hub.listen(access.project, queries, seat))
            lease.require_valid()
            listener = LiveListener(parts, live_query, admission, seat, lease)
            resources = stack.pop_all()
    except Unavailable as error:
        if admission.ticket is None:
            raise
        return EventStream(_stream_problem(error), _close_nothing, parts.bounds.live_sends)
    return EventStream(listener.stream_chunks(first), resources.aclose, parts.bounds.live_sends, is_over=lease.is_over)


async def _stream_problem(error: PlatformError) -> AsyncGenerator[bytes, None]:
    """Stream a temporary error. With any status but 200 a browser would give up for ever."""
    yield write_opening("later", choose_retry_ms()) + write_problem_event(error)


async def _close_nothing() -> None: ...


class LiveListener:
    """One client of a live query: what it has been sent, and when."""

    def __init__(
        self, parts: Dependencies, live_query: LiveQuery, admission: LiveAdmission, seat: LiveSeat, lease: KeyLease
    ) -> None:
        self._live_query, self._admission, self._seat, self._lease = live_query, admission, seat, lease
        self._hub = require_query_services(parts).hub
        self._renderer = LiveRenderer(
            live_query, self._hub.side_thread, _write_own if admission.chain else _write_shared
        )
        self._error: PlatformError | None = None
        self._end: PlatformError | None = None
        self._now = asyncio.get_running_loop().time
        self._heartbeat_s = parts.settings.live_heartbeat_seconds
        self._heartbeat_at = self._now()
        self._ends_at = self._now() + admission.find_life_s(parts)

    async def stream_chunks(self, first: AnswerVersion) -> AsyncGenerator[bytes, None]:
        """Yield the stream until it must end."""
        bell, version = ListenerBell(), self._find_resumed()
        self._seat.wake = bell.ring
        self._lease.attach(bell.ring)
        yield write_opening("resumed" if version else "begun", choose_retry_ms())
        for chunk in () if version else await self._render_snapshot(first):
            yield chunk
        sent_version = version or first
        with self._live_query.ringing(bell):
            bell.set_alarm(self._wake_at())
            while True:
                await bell.wait()
                self._live_query.check()
                if (problem := self._find_new_problem()) is not None:
                    yield write_problem_event(problem)
                if self._end is not None:
                    return
                if self._live_query.latest is not sent_version:
                    # Versions are published at most every `interval_s`, so updates come no closer than that.
                    latest = self._live_query.latest
                    chunks, sent_version = await self._render_update(sent_version, latest), latest
                    for chunk in chunks:
                        yield chunk
                if self._now() >= self._heartbeat_at + self._heartbeat_s:
                    self._heartbeat_at = self._now()
                    bell.set_alarm(self._wake_at())
                    yield write_comment("heartbeat")

    def _find_resumed(self) -> AnswerVersion | None:
        """Find the version that a reconnecting client has seen."""
        last_id = self._admission.last_id
        return self._live_query.find(last_id.partition(CHAIN_MARK)[0]) if last_id else None

    def _wake_at(self) -> float:
        return min(self._heartbeat_at + self._heartbeat_s, self._ends_at)

    def _find_new_problem(self) -> PlatformError | None:
        """Return a problem that the client does not know yet. If it ends the stream it is kept as `_end`."""
        self._end = self._find_end()
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
        if (problem := self._lease.problem or self._seat.problem or self._live_query.problem) is not None:
            return problem
        if self._now() < self._ends_at:
            return None
        if self._admission.ticket is not None:
            return Unauthorized(TICKET_IS_OVER, field="ticket", hint=f"{NEW_TICKET} Connect with it and the last id.")
        return Busy("The stream has reached its age limit. Connect again with the last id.", retry_after_seconds=1)

    async def _render_snapshot(self, version: AnswerVersion) -> tuple[bytes, ...]:
        return self._with_id(version, await self._renderer.render_snapshot(version))

    async def _render_update(self, base: AnswerVersion, latest: AnswerVersion) -> tuple[bytes, ...]:
        """Render the changes between two versions: nothing if there are none, a snapshot if they cannot be merged."""
        frame = await self._renderer.render_update(base, latest)
        if frame is None:
            return await self._render_snapshot(latest)
        return self._with_id(latest, frame) if frame else ()

    def _with_id(self, version: AnswerVersion, frame: bytes) -> tuple[bytes, ...]:
        if not self._admission.chain:
            return (frame,)
        # Two chunks, since the large one is shared by all listeners.
        return write_id_line(version.id + self._admission.chain), frame


def _write_shared(name: str, version: AnswerVersion, answers: bytes) -> bytes:
    """Write the event with its id, for all streams that were opened with a key."""
    return write_id_line(version.id) + write_answers_event(name, answers) if answers else b""


def _write_own(name: str, _: AnswerVersion, answers: bytes) -> bytes:
    """Write the event without its id, which is each ticket's own."""
    return write_answers_event(name, answers)


route_handlers: list[BaseRouteHandler] = [issue_ticket, stream_live]
