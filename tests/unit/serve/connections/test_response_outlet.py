"""An answer as it goes: in pieces; who takes nothing is cut, and what finds no room is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from rtaplatform.serve.connections.byte_budget import STALLED_SECONDS, BudgetShare, ByteBudget
from rtaplatform.serve.connections.deadlines import Deadlines
from rtaplatform.serve.connections.response_outlet import PIECE_BYTES, ResponseOutlet

MB = 1 << 20
START = {"type": "http.response.start", "status": 200, "headers": []}


class Server:
    """Takes so many pieces, then none."""

    def __init__(self, takes: int = 1_000_000) -> None:
        self.takes, self.messages, self.cuts = takes, list[Any](), 0

    async def send(self, message: Any) -> None:
        if len(self.messages) > self.takes:
            await asyncio.Event().wait()
        self.messages.append(message)

    def cut(self) -> None:
        self.cuts += 1

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.messages if message["type"] == "http.response.body")


def make_budget() -> ByteBudget:
    return ByteBudget("tests", 8 * MB, wait_seconds=0)


def make_outlet(
    server: Server, of: ByteBudget | None = None, *, stalled_seconds_max: float = 20.0, **options: Any
) -> ResponseOutlet:
    deadlines = Deadlines(stalled_seconds_max)
    return ResponseOutlet(
        server.send, of or make_budget(), lambda: "10.0.0.1", cut=server.cut, deadlines=deadlines, **options
    )


async def answer(of: ResponseOutlet, body: bytes) -> None:
    await of(START)
    await of({"type": "http.response.body", "body": body, "more_body": False})
    of.end(is_client_gone=False)


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, PIECE_BYTES * 2, PIECE_BYTES * 2 + 1, MB, MB + 1])
async def test_a_response_arrives_complete_in_pieces(size: int) -> None:
    server, body = Server(), bytes(range(256)) * (size // 256) + bytes(size % 256)
    await answer(make_outlet(server), body)
    assert server.body == body
    assert server.messages[-1].get("more_body", False) is False
    assert max(len(message.get("body", b"")) for message in server.messages) <= max(PIECE_BYTES, min(size, PIECE_BYTES))
    assert server.cuts == 0


async def test_a_client_that_reads_nothing_is_cut() -> None:
    server = Server(takes=3)
    await answer(make_outlet(server, stalled_seconds_max=0.01), bytes(MB))
    assert server.cuts == 1


async def test_a_stream_that_nobody_reads_gets_an_error() -> None:
    server = Server(takes=3)
    stream = make_outlet(server, stalled_seconds_max=0.01)
    await stream(START)
    with pytest.raises(TimeoutError):
        await stream({"type": "http.response.body", "body": bytes(MB), "more_body": True})
    await stream({"type": "http.response.body", "body": b"more", "more_body": True})
    assert server.cuts == 1


async def test_an_incomplete_stream_is_cut_unless_its_client_has_disconnected() -> None:
    for is_client_gone in (True, False):
        server = Server()
        stream = make_outlet(server)
        await stream(START)
        await stream({"type": "http.response.body", "body": b"data", "more_body": True})
        stream.end(is_client_gone=is_client_gone)
        assert server.cuts == (not is_client_gone)


async def test_a_large_response_without_room_becomes_503() -> None:
    server, of = Server(), make_budget()
    await of.take(BudgetShare("10.0.0.2"), 8 * MB)
    await answer(make_outlet(server, of), bytes(MB))
    assert (server.messages[0]["status"], msgspec.json.decode(server.body)["code"]) == (503, "busy")
    assert (b"retry-after", b"2") in server.messages[0]["headers"]


async def test_a_stalled_response_loses_its_place() -> None:
    server, of = Server(takes=3), make_budget()
    stalled = asyncio.ensure_future(answer(make_outlet(server, of), bytes(4 * MB)))
    await asyncio.sleep(0.01)
    for share in of._shares:
        share.progressed_at -= STALLED_SECONDS + 1
    await of.take(BudgetShare("10.0.0.2"), 6 * MB)
    await stalled
    assert server.cuts == 1


async def test_head_has_no_body() -> None:
    server = Server()
    await answer(make_outlet(server, is_head=True), bytes(MB))
    assert server.body == b""
