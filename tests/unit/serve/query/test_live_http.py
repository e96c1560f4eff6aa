from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import Any
from unittest.mock import ANY

import pytest

from rtaplatform.analytics.answer.side_thread import INLINE_MAX, SideThread, WorkResult
from rtaplatform.serve.http.ticket_vault import TicketVault
from rtaplatform.serve.http.tickets import Tickets
from rtaplatform.serve.query import key_watch
from tests.unit.analytics.catalog import Catalog
from tests.unit.analytics.shop import NOON, Happening, Shop
from tests.unit.serve.parts_of_tests import Site, Stream, shorten_pauses
from tests.unit.serve.virtual_clock import run_on_virtual_clock

EVENTS = {"metrics": "events,online"}
IS_STOPPING = {
    "type": "/problems/busy", "title": "Not at the moment", "status": 503, "field": None, "allowed": None,
    "hint": "Try again after `Retry-After` seconds.", "code": "busy",
}  # fmt: skip


def stream(site: Site, **more: object) -> Stream:
    return Stream(site.app, "GET", "/v1/live", parameters={**EVENTS}, **more)  # type: ignore[arg-type]  # passed on


async def test_a_stream_is_a_snapshot_then_updates() -> None:
    site = Site()
    running = asyncio.create_task(site.hub.run())
    client = stream(site)
    ((first_id, name, data),) = await client.read_events(1)
    assert (client.status, client.headers["content-type"].split(";")[0]) == (200, "text/event-stream")
    assert (name, [a["metric"] for a in data["answers"]]) == ("snapshot", ["events", "online"])
    site.shop.take([Happening(NOON)])
    events = await client.read_events(2)
    assert events[1][1] == "update"
    assert {a["metric"]: a["results"][0]["total"] for a in events[1][2]["answers"]} == {"events": 1, "online": 1}
    assert events[1][0] != first_id
    await client.leave()
    assert site.hub.connections == 0
    running.cancel()


async def test_a_reconnect_gets_the_updates_since() -> None:
    site = Site()
    client = stream(site)
    ((first_id, _, _),) = await client.read_events(1)
    await client.leave()
    site.shop.take([Happening(NOON)])
    again = stream(site, headers={"last-event-id": first_id})
    ((_, name, data), *_) = await again.read_events(1)
    assert (name, data["answers"][0]["results"][0]["total"]) == ("update", 1)
    await again.leave()
    unknown = stream(site, headers={"last-event-id": "long-ago"})
    assert (await unknown.read_events(1))[0][1] == "snapshot"
    await unknown.leave()


async def test_heartbeats_come_even_without_changes() -> None:
    site = Site(live_heartbeat_seconds=0.05)
    client = stream(site)
    await client.read_events(1)
    await asyncio.sleep(0.2)
    assert client.body.count(b": heartbeat\n\n") >= 2
    await client.leave()


async def test_a_client_that_reads_nothing_is_dropped() -> None:
    site = Site(live_send_timeout_seconds=0.05)
    client = stream(site, is_stuck=True)
    await asyncio.wait_for(client.task, 2)
    assert site.hub.connections == 0


async def test_a_revoked_key_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_watch, "KEY_CHECK_S", 0.02)
    site = Site(live_heartbeat_seconds=0.02)
    client = stream(site)
    await client.read_events(1)
    site.keys.accesses.clear()
    await asyncio.wait_for(client.task, 2)
    last = (await client.read_events(2))[-1]
    assert (last[1], last[2]["status"]) == ("problem", 401)


async def test_a_key_that_cannot_be_looked_up_ends_the_stream_but_is_not_called_revoked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(key_watch, "KEY_CHECK_S", 0.02)
    site = Site(live_heartbeat_seconds=0.02)
    client = stream(site)
    await client.read_events(1)
    site.keys.is_away = True
    await asyncio.wait_for(client.task, 2)
    last = (await client.read_events(2))[-1]
    assert (last[1], last[2]["status"], last[2]["code"]) == ("problem", 503, "unavailable")
    assert site.hub.connections == 0


async def test_an_outage_is_a_problem_event_and_the_stream_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_pauses(monkeypatch)
    site = Site()
    running = asyncio.create_task(site.hub.run())
    client = stream(site)
    await client.read_events(1)
    await asyncio.sleep(0.05)
    site.shop.take([Happening(NOON)])  # the notifications still come, since only reading is away
    site.shop.store.is_away = True
    events = await client.read_events(2)
    assert (events[1][1], events[1][2]["status"]) == ("problem", 503)
    site.shop.store.is_away = False
    events = await client.read_events(3)
    assert (events[2][1], events[2][2]["answers"][0]["results"][0]["total"]) == ("update", 1)
    await client.leave()
    running.cancel()


async def test_closing_the_hub_ends_the_streams() -> None:
    site = Site()
    client = stream(site)
    await client.read_events(1)
    site.hub.close()
    await asyncio.wait_for(client.task, 2)


async def test_too_many_connections_are_turned_away() -> None:
    site = Site()
    clients = [stream(site) for _ in range(3)]
    for client in clients:
        await client.read_events(1)
    refused = await site.ask("GET", "/v1/live", **EVENTS)
    assert refused.status == 503
    for client in clients:
        await client.leave()


async def test_proxies_are_told_to_leave_the_stream_alone() -> None:
    site = Site()
    client = stream(site)
    await client.read_events(1)
    assert "no-transform" in client.headers["cache-control"]
    assert client.headers["x-accel-buffering"] == "no"
    assert b"\nretry: " in client.body
    await client.leave()


# Tickets ----------------------------------------------------------------------------------------------------------


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Shared:
    """Values that several processes share, as Redis keeps them; `is_away` fails."""

    def __init__(self) -> None:
        self.values, self.is_away = dict[str, bytes](), False

    async def get(self, name: str) -> bytes | None:
        await asyncio.sleep(0)
        if self.is_away:
            raise ConnectionError
        return self.values.get(name)

    async def set(self, name: str, value: bytes, *, ex: int, nx: bool) -> bool:
        await asyncio.sleep(0)
        assert (ex > 0, nx) == (True, True)
        if self.is_away:
            raise ConnectionError
        is_new = name not in self.values
        self.values.setdefault(name, value)
        return is_new

    async def delete(self, name: str) -> int:
        await asyncio.sleep(0)
        return self.values.pop(name, None) is not None


class Browser:
    """An EventSource: one URL, and the last id that it has seen, whichever process answers."""

    def __init__(self, ticket: str) -> None:
        self.parameters, self.last_id = {**EVENTS, "ticket": ticket}, ""

    def connect(self, site: Site) -> Stream:
        headers = {"last-event-id": self.last_id} if self.last_id else {}
        return Stream(site.app, "GET", "/v1/live", key=None, parameters=self.parameters, headers=headers)

    async def read(self, stream: Stream, number: int) -> list[tuple[str, str, Any]]:
        events = await stream.read_events(number)
        self.last_id = next((id for id, _, _ in reversed(events) if id), self.last_id)
        return events


def make_site(shared: Shared | None, clock: Clock | None = None, shop: Shop | None = None) -> Site:
    """One of several processes, in front of the same shop."""
    clock = clock or Clock()
    return Site(shop or Shop(catalog=Catalog({})), tickets=Tickets(TicketVault(shared, clock), clock))


async def issue_ticket(site: Site, key: str = "reader") -> str:
    answer = await site.ask("POST", "/v1/live/tickets", key=key)
    return str(answer.json["ticket"])


async def test_a_ticket_opens_one_stream() -> None:
    site = make_site(Shared())
    ticket = await issue_ticket(site)
    client = Stream(site.app, "GET", "/v1/live", key=None, parameters={**EVENTS, "ticket": ticket})
    assert (await client.read_events(1))[0][1] == "snapshot"
    for more in ({}, {"last_event_id": "g1-0-1.1"}, {"last_event_id": "g1-0-1.1~AAAAAAAAAAAA"}):
        refused = await site.ask("GET", "/v1/live", key=None, **EVENTS, ticket=ticket, **more)
        assert (refused.status, refused.json["field"]) == (401, "ticket")
        assert "POST /v1/live/tickets" in refused.json["hint"]
    await client.leave()


async def test_of_many_that_show_a_ticket_at_once_one_gets_the_stream() -> None:
    shared, clock = Shared(), Clock()
    sites = [make_site(shared, clock) for _ in range(2)]
    ticket = await issue_ticket(sites[0])
    streams = [
        Stream(site.app, "GET", "/v1/live", key=None, parameters={**EVENTS, "ticket": ticket}) for site in sites * 5
    ]
    for stream in streams:
        await stream.read_events(1)
    assert sorted(stream.status for stream in streams) == [200] + [401] * 9
    for stream in streams:
        await stream.leave()


async def test_a_browser_reconnects_by_itself_to_any_process() -> None:
    """With the same URL and its last id: the updates since, or a fresh snapshot where the process is another one."""
    shared, clock, shop = Shared(), Clock(), Shop(catalog=Catalog({}))
    first, second = make_site(shared, clock, shop), make_site(shared, clock, shop)
    browser = Browser(await issue_ticket(first))
    line = browser.connect(first)
    assert (await browser.read(line, 1))[0][1] == "snapshot"
    for site, expected in ((first, "update"), (second, "snapshot"), (second, "update"), (first, "snapshot")):
        await line.leave()
        shop.take([Happening(NOON)])
        line = browser.connect(site)
        events = await browser.read(line, 1)
        assert (line.status, events[0][1]) == (200, expected)
    assert events[0][2]["answers"][0]["results"][0]["total"] == 4
    await line.leave()


async def test_a_restarted_process_takes_its_browsers_back() -> None:
    shared, clock = Shared(), Clock()
    before = make_site(shared, clock)
    browser = Browser(await issue_ticket(before))
    line = browser.connect(before)
    await browser.read(line, 1)
    before.hub.close()
    assert (await browser.read(line, 2))[1][1:] == ("problem", {**IS_STOPPING, "detail": ANY, "message": ANY})
    await asyncio.wait_for(line.task, 2)
    after = make_site(shared, clock)
    line = browser.connect(after)
    assert (await browser.read(line, 1))[0][1] == "snapshot"
    await line.leave()


async def test_a_browser_that_cannot_be_served_yet_is_kept() -> None:
    """At any status but 200 an EventSource gives up for ever. Its ticket is not used up."""
    site = make_site(Shared())
    browser = Browser(await issue_ticket(site))
    site.shop.store.is_away = True
    line = browser.connect(site)
    assert [(name, data["status"]) for _, name, data in await browser.read(line, 1)] == [("problem", 503)]
    await asyncio.wait_for(line.task, 2)
    assert line.status == 200
    site.shop.store.is_away = False
    line = browser.connect(site)
    assert (await browser.read(line, 1))[0][1] == "snapshot"
    await line.leave()


async def test_a_ticket_s_stream_ends_an_hour_after_its_issue() -> None:
    clock = Clock()
    site = make_site(Shared(), clock)
    browser = Browser(await issue_ticket(site))
    clock.now += 3_599.9
    line = browser.connect(site)
    events = await browser.read(line, 2)
    await asyncio.wait_for(line.task, 2)
    assert [name for _, name, _ in events] == ["snapshot", "problem"]
    assert (events[1][2]["status"], events[1][2]["field"]) == (401, "ticket")
    assert "POST /v1/live/tickets" in events[1][2]["hint"]
    clock.now += 1
    refused = browser.connect(site)
    await refused.task
    assert refused.status == 401
    # With a new ticket it goes on where it was.
    browser.parameters["ticket"] = await issue_ticket(site)
    browser.parameters["last_event_id"], browser.last_id = browser.last_id, ""
    site.shop.take([Happening(NOON)])
    line = browser.connect(site)
    assert (await browser.read(line, 1))[0][1] == "update"
    await line.leave()


async def test_tickets_of_others_push_none_out() -> None:
    site = make_site(Shared())
    ticket = await issue_ticket(site)
    for _ in range(11_000):
        await site.services.tickets.issue(b"x" * 32)
    browser = Browser(ticket)
    line = browser.connect(site)
    assert (await browser.read(line, 1))[0][1] == "snapshot"
    await line.leave()


async def test_a_ticket_ends_with_its_key() -> None:
    site = make_site(Shared())
    ticket = await issue_ticket(site)
    site.keys.accesses.clear()
    assert (await site.ask("GET", "/v1/live", key=None, **EVENTS, ticket=ticket)).status == 401


async def test_nobody_can_make_or_change_a_ticket() -> None:
    clock = Clock()
    tickets = Tickets(TicketVault(Shared(), clock), clock)
    ticket = await tickets.issue(b"k" * 32)
    ticket_read = await tickets.read(ticket)
    assert ticket_read is not None
    assert ticket_read.key_hash == b"k" * 32
    raw = base64.urlsafe_b64decode(ticket + "=")
    for at in range(len(raw)):
        changed = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        assert await tickets.read(base64.urlsafe_b64encode(changed).decode().rstrip("=")) is None
    for wrong in ("", "x", ticket[:-1], ticket + "A", "é" * len(ticket), "!" * len(ticket)):
        assert await tickets.read(wrong) is None
    assert await Tickets(TicketVault(Shared(), clock), clock).read(ticket) is None


async def test_processes_agree_on_tickets_also_after_redis_has_forgotten() -> None:
    shared, clock = Shared(), Clock()
    first, two = (Tickets(TicketVault(shared, clock), clock) for _ in range(2))
    assert await two.read(await first.issue(b"a" * 32)) is not None
    shared.values.clear()
    three = Tickets(TicketVault(shared, clock), clock)
    theirs = await three.issue(b"b" * 32)
    old = await first.issue(b"c" * 32)
    clock.now += 11
    assert [await tickets.read(theirs) is not None for tickets in (first, two, three)] == [True] * 3
    assert [await tickets.read(old) is not None for tickets in (first, two)] == [True] * 2
    assert await three.read(await first.issue(b"d" * 32)) is not None


async def test_without_redis_tickets_work_at_the_process_that_issued_them() -> None:
    shared, clock = Shared(), Clock()
    shared.is_away = True
    tickets = Tickets(TicketVault(shared, clock), clock)
    ticket_read = await tickets.read(await tickets.issue(b"a" * 32))
    assert ticket_read is not None
    assert [await tickets.claim(ticket_read) for _ in range(3)] == [True, False, False]


class NotingThread(SideThread):
    """Which long works it was given. It does them at once: on a virtual clock no thread may take time."""

    def __init__(self) -> None:
        self.numbers = list[int]()

    async def run(self, numbers: int, work: Callable[[], WorkResult]) -> WorkResult:
        self.numbers += [numbers] if numbers > INLINE_MAX else []
        return work()


def test_large_events_are_encoded_once_and_outside_the_event_loop() -> None:
    async def work() -> None:
        site, beside = Site(), NotingThread()
        site.shop.take([Happening(NOON, name) for name in ("Seen", "Signed Up", "Signed In")])
        parameters = {"metrics": "events", "from": "-2000m", "interval": "minute", "breakdown": "event"}
        site.hub._engine.side_thread, running = beside, asyncio.create_task(site.hub.run())
        clients = [Stream(site.app, "GET", "/v1/live", parameters=parameters) for _ in range(3)]
        first_events = [(await client.read_events(1))[0] for client in clients]
        for _, name, data in first_events:
            lengths = [len(result["points"]) for result in data["answers"][0]["results"]]
            assert (name, lengths) == ("snapshot", [2_001] * 3)
        assert beside.numbers.count(3 * 2_002) == len({id for id, _, _ in first_events})
        beside.numbers.clear()
        site.shop.take([Happening(NOON, "Seen")])
        for client in clients:
            _, (_, name, data), *_ = await client.read_events(2)
            assert (name, max(len(result["points"]) for result in data["answers"][0]["results"])) == ("update", 1)
            await client.leave()
        assert beside.numbers.count(3 * 2_002) > 0
        running.cancel()

    run_on_virtual_clock(work())
