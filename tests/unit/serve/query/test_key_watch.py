"""A revoked key is cut within a minute, on a virtual clock: by every way in, at any moment, without notifications."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from annotated_types import Le
from pydantic import SecretStr

from rtaplatform import telemetry
from rtaplatform.catalog.keys.key_cache import LOOK_UP_SECONDS_MAX, OVERDUE_SECONDS, KeyCache
from rtaplatform.catalog.keys.key_format import hash_key
from rtaplatform.catalog.keys.key_rows import KeyAccess
from rtaplatform.core.errors import Unauthorized, Unavailable
from rtaplatform.feed.event_feed import EventFeed
from rtaplatform.serve.feed.subscriptions import FeedSubscriptions
from rtaplatform.serve.query import key_watch
from rtaplatform.serve.socket.live_socket import KEY
from rtaplatform.settings import CatalogSettings
from tests.unit.feed.memory_tail import MemoryTail
from tests.unit.serve.parts_of_tests import READ, Site, Stream
from tests.unit.serve.shared_routes import share_routes
from tests.unit.serve.socket_of_tests import Socket
from tests.unit.serve.virtual_clock import run_on_virtual_clock

LIVE = {"metrics": "events,online"}
MINUTE_S = 60.0


class Postgres:
    """Knows the key `reader` until it is revoked. A look-up takes `seconds`."""

    def __init__(self) -> None:
        self.is_revoked = self.is_away = False
        self.looks, self.seconds = 0, 0.0

    async def run(self, work: Any, *, seconds: float) -> KeyAccess | None:
        self.looks += 1
        access = None if self.is_revoked else READ  # as it is when the statement runs; the reply comes later
        await asyncio.sleep(min(self.seconds, seconds))
        if self.is_away or self.seconds > seconds:
            raise Unavailable("postgres", "away")
        return access if work.__closure__[0].cell_contents == hash_key("reader") else None


class House:
    """The application over the real cache of keys, whose clock is the loop's."""

    def __init__(self, watches: key_watch.KeyWatches | None = None) -> None:
        self.postgres = Postgres()
        self.feed = EventFeed(MemoryTail(), linger_s=5.0)
        self.site = Site(feeds=FeedSubscriptions(self.feed, 10), live_send_timeout_seconds=600.0)
        settings = CatalogSettings(url=SecretStr("postgresql://nowhere"))
        database: Any = self.postgres
        parts = self.site.parts
        if watches is not None:
            parts = replace(parts, questions=replace(self.site.services, key_watches=watches))
        keys = KeyCache(database, settings, asyncio.get_running_loop().time)
        self.site.app = share_routes(replace(parts, keys=keys))

    async def make_ticket(self) -> dict[str, str]:
        return {"ticket": (await self.site.ask("POST", "/v1/live/tickets")).json["ticket"]}

    async def make_cookie(self) -> dict[str, str]:
        return {"cookie": f"rta_session={await self.site.services.sessions.open(hash_key('reader'))}"}

    async def leave(self) -> None:
        self.site.hub.close()
        await self.feed.stop()


Open = Callable[[House], Awaitable["asyncio.Task[Any]"]]


async def _open_stream(house: House, path: str = "/v1/live", **more: Any) -> asyncio.Task[Any]:
    parameters = LIVE if path == "/v1/live" else {}
    stream = Stream(house.site.app, "GET", path, parameters={**parameters, **more.pop("parameters", {})}, **more)
    return stream.task


async def _open_stuck_stream(house: House) -> asyncio.Task[Any]:
    return await _open_stream(house, is_stuck=True)


async def _open_stream_by_ticket(house: House) -> asyncio.Task[Any]:
    return await _open_stream(house, key=None, parameters=await house.make_ticket())


async def _open_stream_by_session(house: House) -> asyncio.Task[Any]:
    return await _open_stream(house, key=None, headers=await house.make_cookie())


async def _open_feed(house: House) -> asyncio.Task[Any]:
    return await _open_stream(house, "/v1/events/live")


async def _open_stuck_feed(house: House) -> asyncio.Task[Any]:
    return await _open_stream(house, "/v1/events/live", is_stuck=True)


async def _open_socket(house: House, **more: Any) -> asyncio.Task[Any]:
    socket = Socket(house.site.app, **more)

    async def answer_heartbeats() -> None:
        while not socket.task.done():
            await asyncio.sleep(5)
            socket.say(type="pong")

    pongs = asyncio.create_task(answer_heartbeats())
    socket.task.add_done_callback(lambda _: pongs.cancel())
    socket.subscribe("x", {"metric": "events", "from": "-1h", "to": "now"})
    socket.subscribe("y", {"metric": "online"})
    return socket.task


async def _open_stuck_socket(house: House) -> asyncio.Task[Any]:
    return await _open_socket(house, is_stuck=True)


async def _open_socket_by_session(house: House) -> asyncio.Task[Any]:
    return await _open_socket(house, key=None, headers={**await house.make_cookie(), "origin": "http://test"})


WAYS: list[Open] = [
    _open_stream, _open_stuck_stream, _open_stream_by_ticket, _open_stream_by_session, _open_feed, _open_stuck_feed,
    _open_socket, _open_stuck_socket, _open_socket_by_session,
]  # fmt: skip
STUCK = (_open_stuck_stream, _open_stuck_feed, _open_stuck_socket)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("revoked_after_s", [0.0, 4.9, 31.0, 333.3])
@pytest.mark.parametrize("look_up_s", [0.0, 2.9])
def test_a_revoked_key_ends_every_connection_within_a_minute(
    way: Open, revoked_after_s: float, look_up_s: float
) -> None:
    async def work() -> float:
        house, now = House(), asyncio.get_running_loop().time
        house.postgres.seconds = look_up_s
        connection = await way(house)
        # By then its key has been looked up, or it would be refused instead of cut.
        await asyncio.sleep(look_up_s + 0.1)
        assert not connection.done()
        await asyncio.sleep(revoked_after_s)
        # Who takes nothing may have been dropped before.
        assert way in STUCK or not connection.done()
        house.postgres.is_revoked, revoked_at = True, now()
        await asyncio.wait({connection}, timeout=10 * MINUTE_S)
        lived_s = now() - revoked_at
        assert connection.done()
        await house.leave()
        return lived_s

    assert run_on_virtual_clock(work()) <= MINUTE_S


@pytest.mark.parametrize("pause_s", [0.5, 7.0, 29.0, 39.0, 59.0, 300.0])
@pytest.mark.parametrize("failed_at_s", [None, 0.5, 25.0])
def test_a_revoked_key_s_session_opens_nothing_after_a_minute(pause_s: float, failed_at_s: float | None) -> None:
    """Also if PostgreSQL failed once, for a moment: afterwards it answers, so nothing excuses an old entry."""

    async def work() -> float:
        house, now = House(), asyncio.get_running_loop().time
        cookie = await house.make_cookie()

        async def ask() -> int:
            reply = await house.site.ask_raw("GET", "/v1/metrics", b"", key=None, headers=cookie)
            return reply.status

        assert await ask() == 200
        if failed_at_s is not None:
            house.postgres.is_away = True
            await asyncio.sleep(failed_at_s)
            await house.site.ask("GET", "/v1/metrics", key="another")
            house.postgres.is_away = False
        house.postgres.is_revoked, revoked_at, passed_at = True, now(), now()
        for _ in range(int(200 / pause_s) + 3):
            await asyncio.sleep(pause_s)
            if await ask() == 200:
                passed_at = now()
        await house.leave()
        return passed_at - revoked_at

    assert run_on_virtual_clock(work()) <= MINUTE_S


def test_many_connections_of_a_key_ask_postgres_as_often_as_one() -> None:
    async def work(connections: int) -> int:
        house = House()
        tasks = list[asyncio.Task[Any]]()
        for _ in range(connections):
            tasks.append(await _open_feed(house))
            await asyncio.sleep(0.1)
        await asyncio.sleep(10 * MINUTE_S)
        assert not any(task.done() for task in tasks)
        await house.leave()
        await asyncio.wait(tasks)
        return house.postgres.looks

    looks_of_one, looks_of_many = run_on_virtual_clock(work(1)), run_on_virtual_clock(work(10))
    assert looks_of_one == looks_of_many <= 10 * 60 / 30 + 1


def test_the_bound_is_a_sum_of_less_than_a_minute() -> None:
    """Whatever the settings are: from the moment of the oldest answer that may be served to the cut."""
    (fresh_s_max,) = (
        float(str(limit.le))
        for limit in CatalogSettings.model_fields["key_cache_seconds"].metadata
        if isinstance(limit, Le)
    )
    assert LOOK_UP_SECONDS_MAX + 0.5 < key_watch.LOOK_S_MAX, (
        "a look-up that fails must be told from one that takes long"
    )
    sum_s = fresh_s_max + OVERDUE_SECONDS + key_watch.KEY_CHECK_S + key_watch.LOOK_S_MAX + key_watch.END_S
    assert sum_s <= MINUTE_S


class EndedWatches(key_watch.KeyWatches):
    """A key that is revoked while the connection still waits for its first answer."""

    @contextmanager
    def hold(self, keys: key_watch.HashedKeyFinder, hashed: bytes, project: str) -> Iterator[key_watch.KeyLease]:
        with super().hold(keys, hashed, project) as lease:
            lease.end(Unauthorized("The key is no longer valid."))
            yield lease


@pytest.mark.parametrize("path", ["/v1/live", "/v1/events/live"])
def test_a_stream_whose_key_ended_before_it_began_says_why(path: str) -> None:
    async def work() -> tuple[int, str]:
        house = House(EndedWatches())
        reply = await house.site.ask("GET", path, **(LIVE if path == "/v1/live" else {}))
        await house.leave()
        return reply.status, reply.json["detail"]

    assert run_on_virtual_clock(work()) == (401, "The key is no longer valid.")


def test_a_socket_whose_key_ended_before_it_began_says_why() -> None:
    async def work() -> tuple[list[Any], int]:
        house = House(EndedWatches())
        socket = Socket(house.site.app)
        await asyncio.wait({socket.task})
        await house.leave()
        return [message.get("problem", {}).get("detail") for message in socket.messages], socket.code

    details, code = run_on_virtual_clock(work())
    assert "The key is no longer valid." in details
    assert code == KEY


def test_who_attaches_after_the_end_is_woken_at_once() -> None:
    async def work() -> list[str]:
        lease, calls = key_watch.KeyLease(), list[str]()
        lease.end(Unauthorized("The key is no longer valid."))
        lease.attach(lambda: calls.append("woken"))
        return calls

    assert run_on_virtual_clock(work()) == ["woken"]


def test_the_end_of_the_process_is_no_dropped_key() -> None:
    dropped = telemetry.LIVE_DROPPED.labels("key")

    async def work() -> float:
        house, before = House(), dropped._value.get()
        await _open_feed(house)
        await asyncio.sleep(0.1)
        for task in asyncio.all_tasks():
            if task.get_name() == "key watch":
                task.cancel()
        await asyncio.sleep(0.1)
        await house.leave()
        return float(dropped._value.get() - before)

    assert run_on_virtual_clock(work()) == 0
