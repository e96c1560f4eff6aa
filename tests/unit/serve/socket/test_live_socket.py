"""The live socket: many questions over one connection, each from its own version on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from rtaplatform.catalog.keys.key_format import hash_key
from rtaplatform.catalog.keys.key_rows import KeyAccess
from rtaplatform.client.reducer import apply_message
from rtaplatform.core.errors import Busy
from rtaplatform.serve.query import key_watch
from rtaplatform.serve.socket import live_socket
from rtaplatform.settings import LimitSettings
from tests.unit.analytics.shop import NOON, Happening
from tests.unit.serve.parts_of_tests import Site, shorten_pauses
from tests.unit.serve.socket_of_tests import Socket
from tests.unit.serve.virtual_clock import run_on_virtual_clock

EVENTS = {"metric": "events"}
BY_SOURCE = {"metric": "events", "breakdown": ["source"], "interval": "hour"}


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    running = asyncio.create_task(site.hub.run())
    yield site
    running.cancel()


async def test_a_socket_is_greeted_then_gets_a_snapshot_and_updates(site: Site) -> None:
    socket = Socket(site.app)
    hello = await socket.take_next()
    assert (hello["type"], hello["heartbeat_seconds"]) == ("hello", 10.0)
    assert set(hello) == {"type", "build", "heartbeat_seconds", "now"}
    socket.subscribe("tiles", [EVENTS, BY_SOURCE])
    snapshot = await socket.take_next()
    assert (snapshot["type"], snapshot["id"]) == ("snapshot", "tiles")
    assert [answer["metric"] for answer in snapshot["answers"]] == ["events", "events"]
    site.shop.take([Happening(NOON)])
    update = await socket.take_next("update")
    assert (update["id"], [answer["index"] for answer in update["answers"]]) == ("tiles", [0, 1])
    assert update["version"] != snapshot["version"]
    whole = apply_message(snapshot["answers"], update)
    assert [answer["results"][0]["total"] for answer in whole] == [1, 1]
    assert whole[1]["results"][0]["dimensions"] == {"source": "web"}
    await socket.leave()
    assert site.hub.connections == 0


async def test_subscriptions_come_and_go_each_under_its_id(site: Site) -> None:
    socket = Socket(site.app)
    for id in ("a", "b"):
        socket.subscribe(id, EVENTS)
    assert {(await socket.take_next("snapshot"))["id"] for _ in range(2)} == {"a", "b"}
    socket.say(type="unsubscribe", id="a")
    socket.subscribe("b", {"metric": "orders"})
    assert (await socket.take_next("snapshot"))["answers"][0]["metric"] == "orders"
    site.shop.take([Happening(NOON, event="Order Completed", product="p", revenue=10)])
    update = await socket.take_next("update")
    assert (update["id"], update["answers"][0]["metric"]) == ("b", "orders")
    await socket.leave()


async def test_a_client_that_comes_back_resumes_from_its_version(site: Site) -> None:
    socket = Socket(site.app)
    socket.subscribe("x", EVENTS)
    first = await socket.take_next("snapshot")
    await socket.leave()
    site.shop.take([Happening(NOON)])
    again = Socket(site.app)
    again.subscribe("x", EVENTS, since=first["version"])
    resumed, update = await again.take_next("resumed", "snapshot"), await again.take_next("update")
    assert (resumed["type"], resumed["id"], resumed["version"]) == ("resumed", "x", first["version"])
    assert update["answers"][0]["results"][0]["total"] == 1
    again.subscribe("y", EVENTS, since="g9-another-1.1")
    assert (await again.take_next("resumed", "snapshot"))["type"] == "snapshot"
    await again.leave()


@pytest.mark.parametrize(
    ("message", "id", "field"),
    [
        ({"type": "subscribe", "id": "x", "query": {"metric": "event"}}, "x", "query.metric"),
        (
            {"type": "subscribe", "id": "x", "query": [EVENTS, {"metric": "events", "from": "soon"}]},
            "x",
            "query.1.from",
        ),
        ({"type": "subscribe", "id": "x", "query": [EVENTS, {**EVENTS, "from": "now"}]}, "x", "query.1.from"),
        ({"type": "subscribe", "id": "x", "query": []}, "x", "query"),
        ({"type": "subscribe", "id": "x", "query": EVENTS, "every": 1}, "x", "every"),
        ({"type": "subscribe", "id": "x", "query": EVENTS, "since": 1}, "x", "since"),
        ({"type": "subscribe", "query": EVENTS}, "", "id"),
        ({"type": "subscribe", "id": "x" * 65, "query": EVENTS}, "", "id"),
        ({"type": "shout", "id": "x"}, "", "type"),
        ([], "", None),
    ],
)
async def test_a_wrong_message_is_answered_and_the_socket_goes_on(
    site: Site, message: Any, id: str, field: str | None
) -> None:
    socket = Socket(site.app)
    await socket.take_next("hello")
    socket.say(**message) if isinstance(message, dict) else socket.say_raw("[]")
    error = await socket.take_next()
    assert (error["type"], error["id"]) == ("error", id)
    assert (error["problem"]["status"], error["problem"]["field"]) == (422, field)
    socket.say_raw("{")
    assert "not JSON" in (await socket.take_next())["problem"]["detail"]
    socket.subscribe("x", EVENTS)
    assert (await socket.take_next())["type"] == "snapshot"
    await socket.leave()


async def test_a_list_that_is_too_large_is_named_as_it_was_sent(site: Site) -> None:
    socket, large = Socket(site.app), {"from": "-24h", "interval": "minute", "breakdown": ["source"], "limit": 60}
    socket.subscribe("x", [{**large, "metric": name} for name in ("events", "page_views", "product_views")])
    problem = (await socket.take_next("error"))["problem"]
    assert (problem["status"], problem["field"]) == (422, "query")
    await socket.leave()


def test_heartbeats_want_an_answer() -> None:
    async def work() -> tuple[float, int]:
        site, now = Site(), asyncio.get_running_loop().time
        silent, alive = Socket(site.app), Socket(site.app)
        lived_s = 0.0
        while now() < 5 * live_socket.SILENCE_S_MAX:
            await asyncio.sleep(1)
            alive.say(type="pong")
            lived_s = lived_s if silent.task.done() else now()
        assert (await silent.take_next("bye"))["retry_seconds"] >= 1
        assert sum(message["type"] == "heartbeat" for message in alive.messages) >= 10
        assert not alive.task.done()
        await alive.leave()
        return lived_s, silent.code

    lived_s, code = run_on_virtual_clock(work())
    assert code == 4408
    assert live_socket.SILENCE_S_MAX - 2 <= lived_s <= live_socket.SILENCE_S_MAX + 1


async def test_a_client_that_takes_nothing_is_cut() -> None:
    site = Site(live_send_timeout_seconds=0.05)
    socket = Socket(site.app, is_stuck=True)
    await socket.end()
    assert site.hub.connections == 0


@pytest.mark.parametrize("text", [" " * (64 * 1024 + 1), "é" * (32 * 1024 + 1)])
async def test_a_message_over_the_limit_ends_the_socket(site: Site, text: str) -> None:
    socket = Socket(site.app)
    socket.say_raw(text)
    assert (await socket.take_next("error"))["id"] == ""
    assert (await socket.take_next("bye"))["retry_seconds"] >= 1
    assert await socket.end() == 1009


async def test_a_socket_has_a_limit_of_subscriptions(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    monkeypatch.setattr(live_socket, "SUBSCRIPTIONS_MAX", 2)
    socket = Socket(site.app)
    for id in "abc":
        socket.subscribe(id, EVENTS)
    error = await socket.take_next("error")
    assert (error["id"], error["problem"]["field"]) == ("c", "id")
    await socket.leave()


async def test_more_than_20_messages_a_second_wait(site: Site) -> None:
    socket, started_at = Socket(site.app), asyncio.get_running_loop().time()
    for _ in range(25):
        socket.say(type="unsubscribe", id="none")
    socket.subscribe("x", EVENTS)
    assert (await socket.take_next("snapshot"))["id"] == "x"
    assert asyncio.get_running_loop().time() - started_at > 0.2
    await socket.leave()


async def test_an_outage_is_an_error_and_the_subscription_goes_on(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    shorten_pauses(monkeypatch)
    socket = Socket(site.app)
    socket.subscribe("x", EVENTS)
    await socket.take_next("snapshot")
    site.shop.take([Happening(NOON)])
    site.shop.store.is_away = True
    error = await socket.take_next("error")
    assert (error["id"], error["problem"]["status"]) == ("x", 503)
    site.shop.store.is_away = False
    assert (await socket.take_next("update"))["answers"][0]["results"][0]["total"] == 1
    await socket.leave()


async def test_a_subscription_that_begins_during_an_outage_starts_when_it_is_over(
    monkeypatch: pytest.MonkeyPatch, site: Site
) -> None:
    monkeypatch.setattr(live_socket, "OUTAGE_RETRY_S", 0.02)
    site.shop.store.is_away = True
    socket = Socket(site.app)
    socket.subscribe("x", EVENTS)
    assert (await socket.take_next("error"))["problem"]["status"] == 503
    site.shop.store.is_away = False
    assert (await socket.take_next("error", "snapshot"))["type"] == "snapshot"
    await socket.leave()


# Who may connect -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "status", "code"), [(None, 401, 4401), ("nobody", 401, 4401), ("writer", 403, 4403)])
async def test_who_may_not_read_is_told_so(site: Site, key: str | None, status: int, code: int) -> None:
    socket = Socket(site.app, key=key)
    error = await socket.take_next()
    assert (error["type"], error["id"], error["problem"]["status"]) == ("error", "", status)
    assert (await socket.take_next())["type"] == "bye"
    assert await socket.end() == code


async def test_a_revoked_key_ends_the_socket(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    monkeypatch.setattr(key_watch, "KEY_CHECK_S", 0.02)
    socket = Socket(site.app)
    await socket.take_next("hello")
    site.keys.accesses.clear()
    assert (await socket.take_next("error"))["problem"]["status"] == 401
    assert await socket.end() == 4401


async def test_a_cookie_opens_a_socket_from_our_own_pages_only(site: Site) -> None:
    cookie = {"cookie": f"rta_session={await site.services.sessions.open(hash_key('reader'))}"}
    for headers in ({}, {"origin": "https://elsewhere"}, {"origin": "null"}):
        socket = Socket(site.app, key=None, headers={**cookie, **headers})
        assert (await socket.take_next())["problem"]["field"] == "Origin"
        assert await socket.end() == 4403
    own = Socket(site.app, key=None, headers={**cookie, "origin": "http://test"})
    assert (await own.take_next())["type"] == "hello"
    await own.leave()


async def test_pages_of_other_origins_connect_if_the_project_lists_them(site: Site) -> None:
    refused = Socket(site.app, headers={"origin": "https://shop.example"})
    assert (await refused.take_next())["problem"]["field"] == "Origin"
    site.parts.origins.replace({"demo": ["https://shop.example"]})
    listed = Socket(site.app, headers={"origin": "https://shop.example"})
    assert (await listed.take_next())["type"] == "hello"
    await listed.leave()


async def test_a_ticket_opens_one_socket_and_its_reconnects(site: Site) -> None:
    ticket = (await site.ask("POST", "/v1/live/tickets")).json["ticket"]
    socket = Socket(site.app, key=None, parameters={"ticket": ticket})
    socket.subscribe("x", EVENTS)
    version = (await socket.take_next("snapshot"))["version"]
    second = Socket(site.app, key=None, parameters={"ticket": ticket})
    assert (await second.take_next())["problem"]["field"] == "ticket"
    await socket.leave()
    again = Socket(site.app, key=None, parameters={"ticket": ticket, "last_event_id": version})
    again.subscribe("x", EVENTS, since=version)
    assert (await again.take_next("resumed", "snapshot"))["type"] == "resumed"
    await again.leave()


# Shares and ends -----------------------------------------------------------------------------------------------------


async def test_a_socket_takes_one_place_however_many_subscriptions(site: Site) -> None:
    sockets = [Socket(site.app) for _ in range(3)]
    for socket in sockets:
        for id in "abcd":
            socket.subscribe(id, EVENTS)
        await socket.take_next("snapshot")
    assert site.hub.connections == 3
    refused = Socket(site.app)
    assert (await refused.take_next())["problem"]["status"] == 503
    assert await refused.end() == 4429
    site.keys.accesses["other"] = KeyAccess("other", "prj_2", frozenset({"read"}), "key_9")
    other = Socket(site.app, key="other")
    assert (await other.take_next())["type"] == "hello"
    assert await sockets[2].end() == 4429
    for socket in (*sockets[:2], other):
        await socket.leave()


async def test_a_question_that_gives_way_ends_its_subscription_alone(site: Site) -> None:
    socket = Socket(site.app)
    socket.subscribe("x", EVENTS)
    await socket.take_next("snapshot")
    site.hub._live_queries[next(iter(site.hub._live_queries))].end(Busy("somebody has fewer"))
    assert (await socket.take_next("error"))["id"] == "x"
    socket.subscribe("y", {"metric": "orders"})
    assert (await socket.take_next("snapshot"))["id"] == "y"
    await socket.leave()


async def test_subscriptions_count_against_the_key_s_limit() -> None:
    site = Site(limits=LimitSettings(reads_per_minute=3))
    socket = Socket(site.app)
    for id in "abc":
        socket.subscribe(id, EVENTS)
    error = await socket.take_next("error")
    assert (error["id"], error["problem"]["status"]) == ("c", 429)
    await socket.leave()


async def test_a_process_that_stops_says_goodbye(site: Site) -> None:
    socket = Socket(site.app)
    socket.subscribe("x", EVENTS)
    await socket.take_next("snapshot")
    site.hub.close()
    assert 1 <= (await socket.take_next("bye"))["retry_seconds"] <= 5
    assert await socket.end() == 1012


async def test_a_bug_of_ours_ends_the_socket_without_its_text(site: Site) -> None:
    socket = Socket(site.app)
    socket.subscribe("x", EVENTS)
    await socket.take_next("snapshot")
    site.shop.engine.reply = None  # type: ignore[assignment,method-assign]  # a bug
    site.shop.take([Happening(NOON)])
    error = await socket.take_next("error")
    assert (error["id"], error["problem"]["code"]) == ("", "internal-error")
    assert await socket.end() == 1011
