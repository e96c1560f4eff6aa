"""A socket that has ended leaves nothing behind: neither the server's connection nor the message being sent.

The garbage collector is off, because a busy process runs it rarely. Until then the server would keep the connection.
"""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from litestar import WebSocket

from rtaplatform.serve.connections.connection_guard import Peer
from rtaplatform.serve.socket import live_socket, socket_line
from rtaplatform.serve.socket.live_socket import LiveSocket
from rtaplatform.serve.socket.socket_line import SocketLine
from tests.unit.serve.parts_of_tests import Site
from tests.unit.serve.socket_of_tests import make_scope

SUBSCRIBE = '{"type":"subscribe","id":"x","query":{"metric":"events","interval":"minute","from":"-60m"}}'
EVERYTHING = 1_000


class ServerSide:
    """The server of one socket, whose client reads the first messages only."""

    def __init__(self, reads: int) -> None:
        self._reads, self._sent = reads, 0
        self._incoming: asyncio.Queue[Any] = asyncio.Queue()
        self._incoming.put_nowait({"type": "websocket.connect"})

    async def receive(self) -> Any:
        return await self._incoming.get()

    async def send(self, message: Any) -> None:
        self._sent += message["type"] == "websocket.send"
        if self._sent > self._reads:
            await asyncio.Event().wait()

    def hear(self, text: str) -> None:
        self._incoming.put_nowait({"type": "websocket.receive", "text": text})

    def disconnect(self) -> None:
        self._incoming.put_nowait({"type": "websocket.disconnect", "code": 1006})


def leave(server: ServerSide) -> None:
    server.hear(SUBSCRIBE)
    server.disconnect()


def say_too_much(server: ServerSide) -> None:
    server.hear(" " * (64 * 1024 + 1))


def subscribe(server: ServerSide) -> None:
    server.hear(SUBSCRIBE)


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize(
    ("reads", "act", "key"),
    [
        (0, subscribe, "reader"),  # stuck at the greeting
        (1, subscribe, "reader"),  # stuck at the snapshot
        (EVERYTHING, leave, "reader"),
        (EVERYTHING, subscribe, "reader"),  # no heartbeat is answered
        (EVERYTHING, say_too_much, "reader"),
        (EVERYTHING, subscribe, "unknown"),
    ],
)
async def test_an_ended_socket_leaves_nothing_to_the_garbage_collector(
    reads: int, act: Callable[[ServerSide], None], key: str, monkeypatch: pytest.MonkeyPatch, no_collector: None
) -> None:
    monkeypatch.setattr(live_socket, "SILENCE_S_MAX", 0.3)
    site, server = Site(live_send_timeout_seconds=0.05), ServerSide(reads)

    def cut(_: Peer) -> None:
        known_server = server_reference()
        assert known_server is not None
        known_server.disconnect()

    server_reference = weakref.ref(server)
    monkeypatch.setattr(site.parts.bounds.guard, "cut", cut)
    act(server)
    await site.app(make_scope(key=key), server.receive, server.send)
    del server
    await asyncio.sleep(0.05)  # tasks that were cancelled end
    assert server_reference() is None
    assert [thing for thing in gc.get_objects() if isinstance(thing, LiveSocket | SocketLine | WebSocket)] == []


async def test_a_client_that_is_given_up_is_cut_before_the_server_may_close(monkeypatch: pytest.MonkeyPatch) -> None:
    """The application ends when the connection is seen to be cut. Before that, the server would wait for the client."""
    monkeypatch.setattr(socket_line, "CUT_SECONDS_MAX", EVERYTHING)
    site, server, cuts = Site(live_send_timeout_seconds=0.05), ServerSide(1), asyncio.Queue[Peer]()
    subscribe(server)
    monkeypatch.setattr(site.parts.bounds.guard, "cut", cuts.put_nowait)
    running = asyncio.ensure_future(site.app(make_scope(), server.receive, server.send))
    await cuts.get()
    await asyncio.sleep(0.05)
    assert not running.done()
    server.disconnect()
    await running
    assert cuts.empty()
