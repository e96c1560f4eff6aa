"""The event feed over HTTP: the last events by question, and as they arrive by server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from rtaplatform.core.errors import Unavailable
from rtaplatform.feed.event_feed import EventFeed
from rtaplatform.serve.feed.subscriptions import FeedSubscriptions
from rtaplatform.serve.query import key_watch
from tests.unit.feed.memory_tail import MemoryTail, make_event, record
from tests.unit.serve.parts_of_tests import Site, Stream


@asynccontextmanager
async def _opening_site(tail: MemoryTail, streams_max: int = 10, **settings: Any) -> AsyncIterator[Site]:
    feed = EventFeed(tail, linger_s=5.0)
    try:
        yield Site(feeds=FeedSubscriptions(feed, streams_max), **settings)
    finally:
        feed.close()
        await feed.join()


def _stream(site: Site, parameters: dict[str, str], headers: dict[str, str] | None = None) -> Stream:
    return Stream(site.app, "GET", "/v1/events/live", parameters=parameters, headers=headers)


async def _join(site: Site, **parameters: str) -> Stream:
    """A stream that has begun."""
    stream = _stream(site, parameters)
    await site.ask("GET", "/v1/events/recent")
    await stream.read_opening()
    return stream


async def test_recent_events_are_as_understood() -> None:
    tail = MemoryTail()
    tail.append(record(make_event("Signed Up", userId="u-1")), record({"projectId": "demo", "type": "page"}, 1))
    async with _opening_site(tail) as site:
        reply = await site.ask("GET", "/v1/events/recent", limit="5")
        of_person = await site.ask("GET", "/v1/events/recent", person="u-1")
    assert (reply.status, [item["status"] for item in reply.json["items"]]) == (200, ["dead", "counted"])
    assert reply.json["items"][0]["problem"]["reason"] == "missing_identity"
    assert reply.json["meta"]["scanned"] == 2
    assert [item["event"] for item in of_person.json["items"]] == ["Signed Up"]


@pytest.mark.parametrize(
    ("query", "field"),
    [(b"colour=red", "colour"), (b"limit=0", "limit"), (b"source=fax", "source"), (b"event=a,,b", "event"),
     (b"limit=1&limit=2", "limit"), (b"ticket=x", "ticket")],
)  # fmt: skip
async def test_wrong_parameters_are_named(query: bytes, field: str) -> None:
    async with _opening_site(MemoryTail()) as site:
        reply = await site.ask_raw("GET", "/v1/events/recent", query)
    assert (reply.status, reply.json["field"]) == (422, field)


async def test_a_stream_sends_what_arrives_and_says_what_it_left_out() -> None:
    tail = MemoryTail()
    async with _opening_site(tail) as site:
        stream = await _join(site, event="A,B")
        tail.append(record(make_event("A"), 1), record(make_event("C"), 2), record(make_event("B"), 3), skipped=3)
        ((first_id, name, data),) = await stream.read_events(1)
        assert (name, [item["event"] for item in data["items"]], data["left_out"]) == ("events", ["A", "B"], 3)
        assert first_id == "feed-1"
        await stream.leave()


async def test_an_outage_is_one_problem_and_the_stream_goes_on() -> None:
    tail = MemoryTail()
    async with _opening_site(tail) as site:
        stream = await _join(site)
        tail.problem = Unavailable("kafka", "It is away.")
        ((_, name, data),) = await stream.read_events(1)
        assert (name, data["code"]) == ("problem", "unavailable")
        tail.problem = None
        await site.ask("GET", "/v1/events/recent")
        tail.append(record(make_event("after")))
        assert [name for _, name, _ in await stream.read_events(2)] == ["problem", "events"]
        await stream.leave()


async def test_a_revoked_key_ends_the_feed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_watch, "KEY_CHECK_S", 0.02)
    async with _opening_site(MemoryTail(), live_heartbeat_seconds=0.02) as site:
        stream = await _join(site)
        site.keys.accesses.clear()
        await asyncio.wait_for(stream.task, 5)
        assert b'"code":"unauthorized"' in stream.body


async def test_a_ticket_opens_one_feed_and_its_reconnects() -> None:
    async with _opening_site(MemoryTail()) as site:
        ticket = (await site.ask("POST", "/v1/live/tickets")).json["ticket"]
        first = await _join(site, ticket=ticket)
        last_id = (await first.read_opening()).rpartition("id: ")[2]
        await first.leave()
        refused = await site.ask("GET", "/v1/events/live", ticket=ticket)
        assert (refused.status, refused.json["field"]) == (401, "ticket")
        again = _stream(site, {"ticket": ticket}, {"last-event-id": last_id})
        await again.read_opening()
        await again.leave()


async def test_places_are_shared_and_a_second_feed_of_a_key_is_refused_when_they_are_taken() -> None:
    async with _opening_site(MemoryTail(), streams_max=1) as site:
        stream = await _join(site)
        refused = await site.ask("GET", "/v1/events/live")
        assert (refused.status, refused.json["code"]) == (503, "busy")
        await stream.leave()
        again = await _join(site)
        await again.leave()


async def test_a_process_that_stops_ends_its_feeds() -> None:
    async with _opening_site(MemoryTail()) as site:
        stream = await _join(site)
    await asyncio.wait_for(stream.task, 5)
    assert b'"code":"busy"' in stream.body
