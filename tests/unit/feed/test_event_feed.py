"""The feed reads only while somebody looks, is bounded, and says what it leaves out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from rtaplatform.core.errors import InvalidParameter, Unavailable
from rtaplatform.feed.event_feed import EventFeed
from rtaplatform.feed.feed_filter import FeedFilter, parse_feed_filter
from rtaplatform.feed.feed_listener import ITEMS_MAX, FeedListener
from rtaplatform.feed.record_ring import RecordRing
from tests.unit.feed.memory_tail import MemoryTail, make_event, record

LONG_S = 20.0
TOLD_MAX = 20  # times that an outage is told, at most
EVERYTHING = FeedFilter()


@asynccontextmanager
async def _feed(tail: MemoryTail, linger_s: float = LONG_S) -> AsyncIterator[EventFeed]:
    feed = EventFeed(tail, linger_s=linger_s)
    try:
        yield feed
    finally:
        feed.close()
        await feed.join()


async def _take(listener: FeedListener, count: int) -> tuple[list[str | None], int]:
    """The names of the next items, and how many were left out meanwhile."""
    names: list[str | None] = []
    left_out = 0
    while len(names) + left_out < count:
        message = await listener.wait_for_message(LONG_S)
        assert message is not None
        names += [item.event for item in message.items]
        left_out += message.left_out
    return names, left_out


async def test_recent_events_come_newest_first_and_filtered() -> None:
    tail = MemoryTail()
    tail.append(*(record(make_event(f"E{n}", userId=f"u-{n % 2}"), n) for n in range(6)))
    async with _feed(tail) as feed:
        recent = await feed.read_recent("demo", EVERYTHING, 3)
        of_person = await feed.read_recent("demo", parse_feed_filter({"person": "u-1"}), 10)
    assert [item.event for item in recent.items] == ["E5", "E4", "E3"]
    assert [item.event for item in of_person.items] == ["E5", "E3", "E1"]
    assert tail.opened == tail.closed == 1


async def test_a_listener_gets_what_comes_after_it_joined() -> None:
    tail = MemoryTail()
    tail.append(record(make_event("before")))
    async with _feed(tail) as feed, feed.listen("demo", parse_feed_filter({"event": ["after", "later"]})) as listener:
        await feed.read_recent("demo", EVERYTHING, 1)
        tail.append(record(make_event("after"), 1), record(make_event("other"), 2), record(make_event("later"), 3))
        assert await _take(listener, 2) == (["after", "later"], 0)


async def test_a_flood_is_sampled_and_counted() -> None:
    tail = MemoryTail()
    async with _feed(tail) as feed, feed.listen("demo", EVERYTHING) as listener:
        await feed.read_recent("demo", EVERYTHING, 1)
        tail.append(*(record(make_event(f"E{n}"), n) for n in range(500)), skipped=500)
        message = await listener.wait_for_message(LONG_S)
    assert message is not None
    assert [item.event for item in message.items] == [f"E{n}" for n in range(500 - ITEMS_MAX, 500)]
    assert message.left_out == 1_000 - ITEMS_MAX


async def test_the_thread_ends_when_nobody_looks_and_starts_again() -> None:
    tail = MemoryTail()
    async with _feed(tail, linger_s=0.0) as feed:
        for opened in (1, 2):
            async with feed.listen("demo", EVERYTHING) as listener:
                await feed.read_recent("demo", EVERYTHING, 1)
                tail.append(record(make_event(f"E{opened}"), opened))
                assert (await _take(listener, 1))[0] == [f"E{opened}"]
            await feed.join()
            assert tail.opened == tail.closed == opened


async def test_an_outage_is_told_and_ends() -> None:
    tail = MemoryTail()
    async with _feed(tail) as feed, feed.listen("demo", EVERYTHING) as listener:
        await feed.read_recent("demo", EVERYTHING, 1)
        tail.problem = Unavailable("kafka", "It is away.")
        assert await listener.wait_for_message(LONG_S) is None
        assert listener.problem is tail.problem
        tail.problem = None
        # The outage may be told several times, by how long this test takes; its end is told once.
        for _ in range(TOLD_MAX):
            if listener.problem is None:
                break
            assert await listener.wait_for_message(LONG_S) is None
        assert listener.problem is None


async def test_a_project_that_joins_knows_the_repeats_of_what_was_read() -> None:
    tail = MemoryTail()
    tail.append(record(make_event("twice")))
    async with _feed(tail) as feed, feed.listen("demo", EVERYTHING) as listener:
        await feed.read_recent("demo", EVERYTHING, 1)
        tail.append(record(make_event("twice"), 1))
        message = await listener.wait_for_message(LONG_S)
    assert message is not None
    assert [item.status for item in message.items] == ["duplicate"]


def test_the_ring_is_bounded_in_records_and_bytes() -> None:
    ring = RecordRing(records_max=3, bytes_max=3_000)
    ring.add([record(make_event(f"E{n}"), n) for n in range(5)])
    assert [record_in_ring.offset for record_in_ring in ring.list_records()] == [2, 3, 4]
    ring.add([record(b"x" * 2_500, 5)])
    assert [record_in_ring.offset for record_in_ring in ring.list_records()] == [5]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"colour": ["red"]}, "colour"),
        ({"source": ["fax"]}, "source"),
        ({"event": [""]}, "event"),
        ({"person": 7}, "person"),
        ({"event": ["x"] * 21}, "event"),
        ({"product": ["x" * 257]}, "product"),
    ],
)
def test_a_wrong_filter_names_its_field(fields: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        parse_feed_filter(fields)
    assert refused.value.field == field
