"""The law of live answers: snapshot + updates == fresh answer, merged as the Python client does."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtaplatform.analytics.answer.engine import Reply
from rtaplatform.analytics.ask.parse import parse_live
from rtaplatform.analytics.live.answer_changes import find_answer_changes
from rtaplatform.analytics.live.hub import LiveHub
from rtaplatform.analytics.live.live_query import AnswerVersion, LiveQuery
from rtaplatform.client.reducer import merge_updates
from rtaplatform.core.errors import InvalidParameter, Unavailable
from rtaplatform.core.query import Answer, Query
from tests.examples import count_examples
from tests.unit.analytics.live_news import wait_for_news
from tests.unit.analytics.shop import NOON, PLACE, Happening, Shop
from tests.unit.serve.virtual_clock import run_on_virtual_clock

MINUTE, HOUR = 60_000, 3_600_000
QUESTION = parse_live([("metrics", "events,visitors"), ("breakdown", "source"), ("interval", "hour"), ("limit", "2")])
MOVING = (
    *parse_live([("metrics", "events"), ("interval", "minute"), ("from", "-4m"), ("breakdown", "source")]),
    *parse_live([("metrics", "events,online"), ("interval", "minute"), ("from", "-4m")]),
)


def as_json(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


def merge(old: list[Any], updates: list[Any]) -> list[Any]:
    return merge_updates(old, updates)


batches = st.lists(
    st.lists(
        st.builds(
            Happening,
            at_ms=st.integers(NOON - 26 * HOUR, NOON),
            source=st.sampled_from(("web", "ios", "server")),
            person=st.sampled_from("abc"),
        ),
        max_size=4,
    ),
    max_size=6,
)


@settings(max_examples=count_examples(30), deadline=None)
@given(
    question=st.sampled_from((QUESTION, MOVING)),
    batches=batches,
    steps=st.lists(st.integers(0, 150_000), min_size=6, max_size=6),
    is_away=st.lists(st.booleans(), min_size=6, max_size=6),
    rebuilt_at=st.integers(0, 12),
)
async def test_snapshot_plus_updates_is_the_fresh_answer(
    question: tuple[Query, ...], batches: list[list[Happening]], steps: list[int], is_away: list[bool], rebuilt_at: int
) -> None:
    """Over reconnects with an old version, windows that move by minutes and hours, and a new generation."""
    shop = Shop()
    sent = await shop.engine.reply("demo", question)
    live_query = LiveQuery(lambda: shop.engine.reply("demo", question), interval_s=1, name="law")
    merged_answers = as_json(sent.answers)
    for number, (batch, step) in enumerate(zip(batches, steps, strict=False)):
        if number == rebuilt_at:
            shop.store.begin(0, expected="g1", generation="g2", topics={"rta.events.web": PLACE.topic_id}, starts={})
            shop.offset = 0
        shop.take(batch)
        shop.clock.at_ms += step
        fresh = await shop.engine.reply("demo", question)
        if is_away[number]:
            continue
        updates = live_query.merge_updates_since(make_version(sent), make_version(fresh))
        merged_answers = as_json(fresh.answers) if updates is None else merge(merged_answers, as_json(updates))
        assert merged_answers == as_json(fresh.answers)
        sent = fresh


def make_version(reply: Reply) -> AnswerVersion:
    return AnswerVersion("", reply.generation, reply.answers, 0)


async def test_an_update_holds_only_what_changed() -> None:
    shop = Shop()
    question = parse_live([("metrics", "events,orders"), ("interval", "hour"), ("breakdown", "source")])
    shop.take([Happening(NOON - HOUR), Happening(NOON - HOUR, source="ios")])
    before = (await shop.engine.reply("demo", question)).answers
    shop.take([Happening(NOON - 2 * HOUR)])
    changes = find_answer_changes(before, (await shop.engine.reply("demo", question)).answers)
    assert changes is not None
    (only,) = as_json(changes)
    assert (only["metric"], only["removed"]) == ("events", [])
    assert only["results"] == [
        {"dimensions": {"source": "web"}, "total": 2, "previous": None, "points": [["2026-11-22T10:00:00+01:00", 1]]}
    ]


async def test_a_row_that_falls_out_is_removed() -> None:
    shop = Shop()
    question = parse_live([("metrics", "events"), ("breakdown", "source"), ("limit", "1")])
    shop.take([Happening(NOON - HOUR)])
    before = (await shop.engine.reply("demo", question)).answers
    shop.take([Happening(NOON - HOUR, source="ios")] * 2)
    changes = find_answer_changes(before, (await shop.engine.reply("demo", question)).answers)
    assert changes is not None
    assert changes[0].removed == [{"source": "web"}]


async def test_a_moved_window_is_an_update_of_its_new_points() -> None:
    shop = Shop()
    question = parse_live([("metrics", "events"), ("interval", "minute"), ("from", "-60m")])
    before = (await shop.engine.reply("demo", question)).answers
    shop.clock.at_ms += 2 * MINUTE
    updates = find_answer_changes(before, (await shop.engine.reply("demo", question)).answers)
    assert updates is not None
    assert [time for time, _ in updates[0].results[0].points] == [
        "2026-11-22T12:01:00+01:00", "2026-11-22T12:02:00+01:00"
    ]  # fmt: skip


@pytest.mark.parametrize("ms", [61 * MINUTE, -MINUTE])
async def test_a_window_that_has_jumped_or_gone_back_needs_a_snapshot(ms: int) -> None:
    shop = Shop()
    question = parse_live([("metrics", "events"), ("interval", "minute"), ("from", "-60m")])
    before = (await shop.engine.reply("demo", question)).answers
    shop.clock.at_ms += ms
    assert find_answer_changes(before, (await shop.engine.reply("demo", question)).answers) is None


# The hub -------------------------------------------------------------------------------------------------------------


class Counted:
    """An engine that counts what is asked of it."""

    def __init__(self, shop: Shop) -> None:
        self._shop, self.calls = shop, 0

    async def reply(self, project: str, queries: tuple[Query, ...]) -> Reply:
        self.calls += 1
        return await self._shop.engine.reply(project, queries)

    def touch(self, projects: frozenset[str] | None) -> None:
        self._shop.engine.touch(projects)


def make_hub(shop: Shop, interval_ms: int = 20, connections_max: int = 10) -> tuple[LiveHub, Counted]:
    engine = Counted(shop)
    hub = LiveHub(engine, shop.store, interval_ms=interval_ms, connections_max=connections_max)  # type: ignore[arg-type]  # counts
    return hub, engine


EVENTS = parse_live([("metrics", "events")])


def read_total(answers: list[Answer]) -> Any:
    return answers[0].results[0].total


async def wait_for(channel: LiveQuery, expected: int) -> None:
    async with asyncio.timeout(5):
        while read_total(channel.latest.answers) != expected:
            await wait_for_news(channel)


async def test_an_event_is_pushed_at_once() -> None:
    shop = Shop()
    hub, _ = make_hub(shop)
    running = asyncio.create_task(hub.run())
    async with hub.listen("demo", EVENTS) as (channel, first):
        assert read_total(first.answers) == 0
        await asyncio.sleep(0.05)
        shop.take([Happening(NOON)])
        started_at = asyncio.get_running_loop().time()
        await wait_for(channel, 1)
        assert asyncio.get_running_loop().time() - started_at < 0.3
        assert channel.merge_updates_since(first)
    running.cancel()


async def test_many_listeners_cost_one_computation() -> None:
    shop = Shop()
    hub, engine = make_hub(shop)
    running = asyncio.create_task(hub.run())

    async def listen() -> None:
        async with hub.listen("demo", EVENTS) as (channel, _):
            await wait_for(channel, 3)

    listeners = [asyncio.create_task(listen()) for _ in range(10)]
    await asyncio.sleep(0.05)
    before = engine.calls
    shop.take([Happening(NOON)] * 3)
    await asyncio.gather(*listeners)
    assert before <= 3
    assert engine.calls - before <= 2
    assert hub.connections == 0
    running.cancel()


def test_updates_are_at_least_an_interval_apart_and_the_latest_wins() -> None:
    async def work() -> int:
        shop = Shop()
        hub, engine = make_hub(shop, interval_ms=100)
        running = asyncio.create_task(hub.run())
        async with hub.listen("demo", EVENTS) as (channel, _):
            for _ in range(50):
                shop.take([Happening(NOON)])
                await asyncio.sleep(0.004)
            await wait_for(channel, 50)
            calls = engine.calls
        running.cancel()
        return calls

    assert run_on_virtual_clock(work()) <= 8


async def test_a_quiet_site_gets_no_update_for_freshness_alone() -> None:
    shop = Shop()
    hub, _ = make_hub(shop)
    running = asyncio.create_task(hub.run())
    async with hub.listen("demo", EVENTS) as (channel, first):
        # The first sample makes the answer complete, which is news; the others only move `as_of`.
        for _ in range(10):
            shop.clock.at_ms += 10
            shop.freshness.sample(shop.clock(), {})
            channel.touch()
            await asyncio.sleep(0.03)
        assert channel.latest.answers[0].meta.complete
        assert channel.find(first.id) is first
        assert int(channel.latest.id.rpartition(".")[2]) <= 2
    running.cancel()


async def test_a_reconnect_within_the_history_gets_the_changes_since() -> None:
    shop = Shop()
    hub, _ = make_hub(shop)
    async with hub.listen("demo", EVENTS) as (_, first):
        pass
    shop.take([Happening(NOON)])
    async with hub.listen("demo", EVENTS) as (channel, latest):
        assert channel.find(first.id) is first
        changes = channel.merge_updates_since(first)
        assert changes
        assert read_total(latest.answers) == 1
        assert channel.find("another") is None


async def test_a_new_generation_or_a_rewind_needs_a_snapshot() -> None:
    shop = Shop()
    hub, _ = make_hub(shop)
    running = asyncio.create_task(hub.run())
    async with hub.listen("demo", EVENTS) as (channel, first):
        shop.store.begin(0, expected="g1", generation="g2", topics={}, starts={})
        await wait_for_news(channel)
        assert channel.merge_updates_since(first) is None
    running.cancel()


async def test_listeners_learn_of_an_outage_and_its_end() -> None:
    shop = Shop()
    hub, _ = make_hub(shop)
    async with hub.listen("demo", EVENTS) as (channel, _):
        shop.store.is_away = True
        channel.touch()
        await wait_for_news(channel)
        assert isinstance(channel.error, Unavailable)
        shop.store.is_away = False
        shop.take([Happening(NOON)])
        channel.touch()
        await wait_for(channel, 1)
        assert channel.error is None


async def test_a_wrong_query_is_refused_before_the_stream_begins() -> None:
    hub, _ = make_hub(Shop(), connections_max=1)
    with pytest.raises(InvalidParameter):
        async with hub.listen("demo", parse_live([("metrics", "events"), ("from", "now")])):
            pass
    async with hub.listen("demo", EVENTS):
        with pytest.raises(Unavailable):
            async with hub.listen("demo", EVENTS):
                pass
    assert hub.connections == 0


async def test_a_query_without_listeners_is_not_computed() -> None:
    hub, engine = make_hub(Shop())
    async with hub.listen("demo", EVENTS) as (channel, _):
        pass
    calls = engine.calls
    channel.touch()
    await asyncio.sleep(0.05)
    assert engine.calls == calls


async def test_a_bug_ends_the_streams_instead_of_showing_old_numbers() -> None:
    shop = Shop()
    hub, engine = make_hub(shop)
    async with hub.listen("demo", EVENTS) as (channel, _):
        engine.reply = None  # type: ignore[assignment,method-assign]  # a bug
        channel.touch()
        await wait_for_news(channel)
        with pytest.raises(TypeError):
            channel.check()
