"""The event feed on a socket, beside questions."""

from __future__ import annotations

from typing import Any

import pytest

from rtaplatform.feed.event_feed import EventFeed
from rtaplatform.serve.feed.subscriptions import FeedSubscriptions
from tests.unit.feed.memory_tail import MemoryTail, make_event, record
from tests.unit.serve.parts_of_tests import Site
from tests.unit.serve.socket_of_tests import Socket


async def test_events_arrive_under_the_subscription_s_id() -> None:
    tail = MemoryTail()
    feed = EventFeed(tail, linger_s=5.0)
    site = Site(feeds=FeedSubscriptions(feed, 10))
    socket = Socket(site.app)
    socket.subscribe("tiles", {"metric": "events"})
    socket.say(type="subscribe", id="feed", feed={"event": ["Signed Up"]})
    assert (await socket.take_next("snapshot", "error"))["id"] == "tiles"
    socket.subscribe("last", {"metric": "events"})
    await socket.take_next("snapshot")  # the messages are read in order
    await site.ask("GET", "/v1/events/recent")  # the feed has begun
    tail.append(record(make_event("Signed Up", userId="u-1")), record(make_event("Other", userId="u-1"), 1))
    events = await socket.take_next("events")
    assert (events["id"], [item["event"] for item in events["items"]]) == ("feed", ["Signed Up"])
    assert set(events) == {"type", "id", "items", "left_out"}
    socket.say(type="unsubscribe", id="feed")
    await socket.leave()
    feed.close()
    await feed.join()


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({"feed": {"source": ["fax"]}}, "feed.source"),
        ({"feed": {"colour": ["red"]}}, "feed.colour"),
        ({"feed": []}, "feed"),
        ({"feed": {}, "query": {"metric": "events"}}, "query"),
    ],
)
async def test_a_wrong_feed_is_told(message: dict[str, Any], field: str) -> None:
    feed = EventFeed(MemoryTail(), linger_s=5.0)
    socket = Socket(Site(feeds=FeedSubscriptions(feed, 10)).app)
    socket.say(type="subscribe", id="feed", **message)
    error = await socket.take_next("error")
    assert (error["problem"]["status"], error["problem"]["field"]) == (422, field)
    await socket.leave()
    feed.close()
    await feed.join()


async def test_a_process_without_a_feed_says_so() -> None:
    socket = Socket(Site().app)
    socket.say(type="subscribe", id="feed", feed={})
    assert (await socket.take_next("error"))["problem"]["status"] == 503
    await socket.leave()
