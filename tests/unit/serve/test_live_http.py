from __future__ import annotations

import asyncio

import pytest

from rtaplatform.serve import live
from rtaplatform.serve.tickets import Tickets
from tests.unit.analytics.shop import NOON, Happening
from tests.unit.serve.parts_of_tests import Site, Stream

EVENTS = {"metrics": "events,online"}


def stream(site: Site, **more: object) -> Stream:
    return Stream(site.app, "GET", "/v1/live", given={**EVENTS}, **more)  # type: ignore[arg-type]  # passed on


async def test_a_snapshot_then_what_changes() -> None:
    site = Site()
    running = asyncio.create_task(site.hub.run())
    client = stream(site)
    ((first_id, name, data),) = await client.events(1)
    assert (client.status, client.headers["content-type"].split(";")[0]) == (200, "text/event-stream")
    assert (name, [a["metric"] for a in data["answers"]]) == ("snapshot", ["events", "online"])
    site.shop.take([Happening(NOON)])
    events = await client.events(2)
    assert events[1][1] == "update"
    assert {a["metric"]: a["results"][0]["total"] for a in events[1][2]["answers"]} == {"events": 1, "online": 1}
    assert events[1][0] != first_id
    await client.leave()
    assert site.hub.connections == 0
    running.cancel()


async def test_a_reconnect_gets_the_updates_since() -> None:
    site = Site()
    client = stream(site)
    ((first_id, _, _),) = await client.events(1)
    await client.leave()
    site.shop.take([Happening(NOON)])
    again = stream(site, headers={"last-event-id": first_id})
    ((_, name, data), *_) = await again.events(1)
    assert (name, data["answers"][0]["results"][0]["total"]) == ("update", 1)
    await again.leave()
    unknown = stream(site, headers={"last-event-id": "long-ago"})
    assert (await unknown.events(1))[0][1] == "snapshot"
    await unknown.leave()


async def test_heartbeats_come_also_when_nothing_changes() -> None:
    site = Site(live_heartbeat_seconds=0.05)
    client = stream(site)
    await client.events(1)
    await asyncio.sleep(0.2)
    assert client.body.count(b": heartbeat\n\n") >= 2
    await client.leave()


async def test_a_client_that_takes_nothing_is_dropped() -> None:
    site = Site(live_send_timeout_seconds=0.05)
    client = stream(site, is_stuck=True)
    await asyncio.wait_for(client.task, 2)
    assert site.hub.connections == 0


async def test_a_revoked_key_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "KEY_CHECK_S", 0.02)
    site = Site(live_heartbeat_seconds=0.02)
    client = stream(site)
    await client.events(1)
    site.keys.known.clear()
    await asyncio.wait_for(client.task, 2)
    last = (await client.events(2))[-1]
    assert (last[1], last[2]["status"]) == ("error", 401)


async def test_a_key_that_cannot_be_looked_up_ends_the_stream_but_is_not_called_revoked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "KEY_CHECK_S", 0.02)
    site = Site(live_heartbeat_seconds=0.02)
    client = stream(site)
    await client.events(1)
    site.keys.is_away = True
    await asyncio.wait_for(client.task, 2)
    last = (await client.events(2))[-1]
    assert (last[1], last[2]["status"], last[2]["code"]) == ("error", 503, "unavailable")
    assert site.hub.connections == 0


async def test_an_outage_is_an_error_event_and_the_stream_goes_on() -> None:
    site = Site()
    running = asyncio.create_task(site.hub.run())
    client = stream(site)
    await client.events(1)
    await asyncio.sleep(0.05)
    # The hints still come, since only reading is away.
    site.shop.take([Happening(NOON)])
    site.shop.store.is_away = True
    events = await client.events(2)
    assert (events[1][1], events[1][2]["status"]) == ("error", 503)
    site.shop.store.is_away = False
    events = await client.events(3)
    assert (events[2][1], events[2][2]["answers"][0]["results"][0]["total"]) == ("update", 1)
    await client.leave()
    running.cancel()


async def test_closing_the_hub_ends_the_streams() -> None:
    site = Site()
    client = stream(site)
    await client.events(1)
    site.hub.close()
    await asyncio.wait_for(client.task, 2)


async def test_too_many_connections_are_turned_away() -> None:
    site = Site()
    clients = [stream(site) for _ in range(3)]
    for client in clients:
        await client.events(1)
    refused = await site.ask("GET", "/v1/live", **EVENTS)
    assert refused.status == 503
    for client in clients:
        await client.leave()


async def test_a_ticket_opens_one_stream() -> None:
    site = Site()
    ticket = (await site.ask("POST", "/v1/live/tickets")).json["ticket"]
    client = Stream(site.app, "GET", "/v1/live", key=None, given={**EVENTS, "ticket": ticket})
    assert (await client.events(1))[0][1] == "snapshot"
    await client.leave()
    assert (await site.ask("GET", "/v1/live", key=None, **EVENTS, ticket=ticket)).status == 401


def test_a_ticket_lives_a_minute_and_works_once() -> None:
    now = 0.0
    tickets = Tickets(lambda: now)
    first, second = tickets.issue("a"), tickets.issue("b")
    assert (tickets.redeem(first), tickets.redeem(first)) == ("a", None)
    now = 60.0
    assert tickets.redeem(second) is None
