"""The sending side of a socket: who takes nothing is cut, and large messages take turns in a budget."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rtaplatform import telemetry
from rtaplatform.serve.connections.byte_budget import STALLED_SECONDS, ByteBudget
from rtaplatform.serve.connections.connection_guard import Peer
from rtaplatform.serve.connections.deadlines import Deadlines
from rtaplatform.serve.socket import socket_line
from rtaplatform.serve.socket.socket_line import COPIES, SocketGone, SocketLine
from tests.unit.serve.parts_of_tests import Site
from tests.unit.serve.socket_of_tests import Socket
from tests.unit.serve.virtual_clock import run_on_virtual_clock

MB = 1 << 20


@pytest.fixture(autouse=True)
def short_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here no guard ends a connection that is cut."""
    monkeypatch.setattr(socket_line, "CUT_SECONDS_MAX", 0.01)


class Server:
    """Takes messages while `is_reading`."""

    def __init__(self) -> None:
        self.is_reading, self.messages, self.cuts = True, list[Any](), 0

    async def send(self, message: Any) -> None:
        if not self.is_reading:
            await asyncio.Event().wait()
        self.messages.append(message)

    def cut(self) -> None:
        self.cuts += 1


def make_line(server: Server, budget: ByteBudget, seconds_max: float = 10.0) -> SocketLine:
    return SocketLine(server.send, server.cut, deadlines=Deadlines(seconds_max), budget=budget, address="10.0.0.1")


def make_budget(megabytes: int) -> ByteBudget:
    return ByteBudget("tests", megabytes * MB, wait_seconds=5)


def count_dropped() -> float:
    [metric] = telemetry.LIVE_DROPPED.collect()
    return sum(sample.value for sample in metric.samples if sample.name.endswith("_total"))


async def say_large(line: SocketLine, size: int) -> None:
    async with line.hold_room(size):
        await line.say("x" * size)


def test_the_guard_is_told_the_peer_as_it_knows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server gives the port as a text, the guard compares numbers."""

    async def work() -> list[Peer]:
        site, peers = Site(live_send_timeout_seconds=2.0), list[Peer]()
        monkeypatch.setattr(site.parts.bounds.guard, "cut", peers.append)
        await Socket(site.app, is_stuck=True, client=("127.0.0.1", "4711")).end()
        return peers

    assert run_on_virtual_clock(work()) == [("127.0.0.1", 4711)]


async def test_a_client_that_takes_nothing_is_cut_once_its_time_is_over() -> None:
    server = Server()
    server.is_reading = False
    line = make_line(server, make_budget(1), seconds_max=0.01)
    with pytest.raises(SocketGone):
        await line.say("news")
    with pytest.raises(SocketGone):
        await line.say("more")
    assert server.cuts == 1


async def test_a_client_that_only_waited_for_room_is_cut_too_and_counted_once() -> None:
    holder, waiter, budget = Server(), Server(), ByteBudget("tests", 8 * MB, wait_seconds=0.05)
    holder.is_reading = False
    sending = asyncio.create_task(say_large(make_line(holder, budget), 4 * MB // COPIES))
    await asyncio.sleep(0)
    dropped = count_dropped()
    line = make_line(waiter, budget)
    with pytest.raises(SocketGone):
        await say_large(line, 4 * MB // COPIES)
    line.note_silence()  # the heartbeats were not answered either
    assert (waiter.messages, waiter.cuts, holder.cuts) == ([], 1, 0)
    assert count_dropped() - dropped == 1
    sending.cancel()


async def test_large_messages_give_their_room_back() -> None:
    server, budget = Server(), make_budget(8)
    for _ in range(10):
        await say_large(make_line(server, budget), 4 * MB // COPIES)
    assert (len(server.messages), server.cuts) == (10, 0)


async def test_a_silent_client_loses_its_room_to_the_next() -> None:
    silent, reader, budget = Server(), Server(), make_budget(8)
    silent.is_reading = False
    sending = [asyncio.create_task(say_large(make_line(silent, budget), 4 * MB // COPIES)) for _ in range(2)]
    await asyncio.sleep(0.01)
    for share in budget._shares:
        share.progressed_at -= STALLED_SECONDS + 1
    await say_large(make_line(reader, budget), 4 * MB // COPIES)
    assert (len(reader.messages), reader.cuts) == (1, 0)
    assert silent.cuts >= 1
    for task in sending:
        task.cancel()
