"""`/v1/events/recent` and `/v1/events/live`: the last events as understood.   Stage 6 of 6: feed → [serve].

A live feed is sampled, never complete: it says how many events it left out. After a reconnect it goes on with what
arrives then; `/v1/events/recent` has what came meanwhile. Errors and ends are told as on `/v1/live`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack

import msgspec
from litestar import MediaType, Response, get
from litestar.handlers import BaseRouteHandler
from litestar.response.base import ASGIResponse

from rtaplatform.analytics.ask.parse import split_values
from rtaplatform.core.errors import Busy, InvalidParameter, PlatformError, Unauthorized
from rtaplatform.feed.feed_filter import FIELDS
from rtaplatform.serve.feed.feed_docs import READ_RECENT, RECENT_DEFAULT, RECENT_MAX, STREAM_EVENTS
from rtaplatform.serve.feed.subscriptions import FeedSubscription
from rtaplatform.serve.http.access import get_access
from rtaplatform.serve.http.dependencies import (
    AnyRequest,
    Dependencies,
    find_dependencies,
    require_feeds,
    require_query_services,
)
from rtaplatform.serve.http.parameters import read_limit
from rtaplatform.serve.query.key_watch import KeyLease
from rtaplatform.serve.query.live_admission import (
    NEW_TICKET,
    SCOPE,
    TICKET_IS_OVER,
    LiveAdmission,
    choose_retry_ms,
    claim_ticket,
    find_by_ticket,
    write_problem_event,
)
from rtaplatform.serve.query.sse import EventStream, write_comment, write_event, write_id_line, write_opening

_encode = msgspec.json.Encoder().encode


@get("/v1/events/recent", opt={"scope": SCOPE, "docs": READ_RECENT}, tags=["events"], summary="The last events")
async def read_recent_events(request: AnyRequest) -> Response[bytes]:
    """As understood: fields, marks in words, raw JSON as text; refused events and dead letters with their reasons."""
    fields, more_parameters = _read_feed_parameters(request, ("limit",))
    limit = read_limit(more_parameters, RECENT_DEFAULT, RECENT_MAX)
    recent = await require_feeds(request).read_recent(get_access(request).project, fields, limit)
    meta = {"scanned_from": recent.scanned_from, "scanned": recent.scanned}
    return Response(content=_encode({"items": recent.items, "meta": meta}), media_type=MediaType.JSON)


@get(
    "/v1/events/live", opt={"scope": SCOPE, "find_access": find_by_ticket, "docs": STREAM_EVENTS}, tags=["events"],
    summary="Events as they arrive, over SSE",
)  # fmt: skip
async def stream_events(request: AnyRequest) -> ASGIResponse:
    """`events` with at most 50 items, at most 10 times a second; `left_out` says how many are not shown."""
    fields, _ = _read_feed_parameters(request, ("ticket", "last_event_id"))
    parts, access, admission = find_dependencies(request), get_access(request), request.state.admission
    watches = require_query_services(parts).key_watches
    async with AsyncExitStack() as stack:
        lease = stack.enter_context(watches.hold(parts.keys, admission.key_hash, access.project))
        await claim_ticket(parts, admission, stack)
        feed_subscription = require_feeds(request).subscribe(access.project, access.key_id, fields)
        subscription = await stack.enter_async_context(feed_subscription)
        lease.require_valid()
        stream = FeedStream(parts, subscription, admission, lease)
        resources = stack.pop_all()
    return EventStream(stream.write_chunks(), resources.aclose, parts.bounds.live_sends, is_over=lease.is_over)


route_handlers: list[BaseRouteHandler] = [read_recent_events, stream_events]


class FeedStream:
    """The chunks of one live feed, until it must end."""

    def __init__(
        self, parts: Dependencies, subscription: FeedSubscription, admission: LiveAdmission, lease: KeyLease
    ) -> None:
        self._subscription, self._admission, self._lease = subscription, admission, lease
        lease.attach(subscription.wake)
        self._heartbeat_s = parts.settings.live_heartbeat_seconds
        self._now = asyncio.get_running_loop().time
        self._ends_at = self._now() + admission.find_life_s(parts)

    async def write_chunks(self) -> AsyncGenerator[bytes, None]:
        heartbeat_at, number, problem = self._now(), 0, None
        # The first id is sent at once: only with an id may a browser reconnect by its ticket.
        yield write_opening("begun", choose_retry_ms(), self._write_id(number))
        while True:
            message = await self._subscription.wait_for_message(
                min(heartbeat_at + self._heartbeat_s, self._ends_at) - self._now()
            )
            if (end := self._find_end()) is not None:
                yield write_problem_event(end)
                return
            if self._subscription.problem is not problem:
                problem = self._subscription.problem
                if problem is not None:
                    yield write_problem_event(problem)
            if message is not None:
                number += 1
                yield self._write_id(number) + write_event("events", _encode(message))
            if self._now() - heartbeat_at >= self._heartbeat_s:
                heartbeat_at = self._now()
                yield write_comment("heartbeat")

    def _write_id(self, number: int) -> bytes:
        return write_id_line(f"feed-{number}{self._admission.chain}")

    def _find_end(self) -> PlatformError | None:
        if (end := self._lease.problem or self._subscription.end) is not None:
            return end
        if self._now() < self._ends_at:
            return None
        if self._admission.ticket is not None:
            return Unauthorized(TICKET_IS_OVER, field="ticket", hint=NEW_TICKET)
        return Busy("The stream has reached its age limit. Connect again.", retry_after_seconds=1)


def _read_feed_parameters(request: AnyRequest, besides: tuple[str, ...]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The fields of a filter, and the other parameters. Raises InvalidParameter."""
    fields: dict[str, list[str]] = {}
    additions: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in FIELDS:
            fields.setdefault(name, []).append(value)
        elif name not in besides:
            raise InvalidParameter.unknown(name, (*FIELDS, *besides))
        elif name in additions:
            raise InvalidParameter(f"`{name}` is given twice.", field=name, hint="Give it once.")
        else:
            additions[name] = value
    # One text may be a list with commas; several are taken as they are.
    return {name: split_values(texts[0]) if len(texts) == 1 else texts for name, texts in fields.items()}, additions
