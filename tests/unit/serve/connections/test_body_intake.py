"""A body as it comes: bounded in time, and in what is held of it."""

from __future__ import annotations

import asyncio
import gzip
import os
import tracemalloc
from typing import Any

import pytest

from rtaplatform.collect.cooperative_queue import CooperativeQueue
from rtaplatform.core.errors import Busy, SlowBody
from rtaplatform.serve.connections.body_intake import BodyIntake
from rtaplatform.serve.connections.body_receiver import RATE_BYTES
from rtaplatform.serve.connections.byte_budget import STALLED_SECONDS, BudgetShare, ByteBudget
from rtaplatform.serve.http.bodies import read_body

MB = 1 << 20


class Client:
    """Sends these chunks, then nothing."""

    def __init__(self, *chunks: bytes, ends: bool = True) -> None:
        self.messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
        if ends:
            self.messages.append({"type": "http.request", "body": b"", "more_body": False})
        self.leaves = asyncio.Event()

    async def __call__(self) -> Any:
        if self.messages:
            return self.messages.pop(0)
        await self.leaves.wait()
        return {"type": "http.disconnect"}


def make_budget(bytes_max: int = 8 * MB, wait_seconds: float = 0) -> ByteBudget:
    return ByteBudget("tests", bytes_max, wait_seconds=wait_seconds)


def make_intake(client: Client, of: ByteBudget, **options: Any) -> BodyIntake:
    return BodyIntake(client, of, lambda: "10.0.0.1", **options)


async def read(of: BodyIntake) -> bytes:
    return await read_body(of, None, 4 * MB)


async def test_a_body_that_does_not_come_is_given_up() -> None:
    with pytest.raises(SlowBody, match="3 bytes"):
        await read(make_intake(Client(b"abc", ends=False), make_budget(), grace_seconds=0.01))


async def test_received_bytes_give_more_time() -> None:
    slow = make_intake(Client(b"x" * (RATE_BYTES // 20), ends=False), make_budget(), grace_seconds=0.001)
    begin = asyncio.get_running_loop().time()
    await slow()
    with pytest.raises(SlowBody):
        await slow()
    assert asyncio.get_running_loop().time() - begin >= 0.04


async def test_a_complete_body_has_no_time_limit() -> None:
    client = Client(b"abc")
    whole = make_intake(client, make_budget(), grace_seconds=0.01)
    assert await read(whole) == b"abc"
    waiting = asyncio.ensure_future(whole())
    await asyncio.sleep(0.03)
    assert not waiting.done()
    client.leaves.set()
    assert (await waiting)["type"] == "http.disconnect"
    assert whole.is_client_gone


async def test_a_body_of_declared_length_is_complete_without_the_empty_message_at_its_end() -> None:
    client = Client(b"ab", b"c")
    whole = make_intake(client, make_budget(), length=3, grace_seconds=0.01)
    assert await read(whole) == b"abc"
    assert len(client.messages) == 1
    waiting = asyncio.ensure_future(whole())
    await asyncio.sleep(0.03)
    assert not waiting.done()
    assert not client.messages
    client.leaves.set()
    assert (await waiting)["type"] == "http.disconnect"
    assert whole.is_client_gone


async def test_an_empty_message_does_not_end_a_body_without_a_declared_length() -> None:
    assert await read(make_intake(Client(b"", b"ab"), make_budget())) == b"ab"


async def test_a_body_that_is_shorter_than_declared_waits_for_the_rest() -> None:
    with pytest.raises(SlowBody, match="2 bytes"):
        await read(make_intake(Client(b"ab", ends=False), make_budget(), length=3, grace_seconds=0.01))


async def test_a_large_body_needs_room_before_a_byte_of_it_is_read() -> None:
    of, client = make_budget(), Client(b"x" * MB)
    await of.take(BudgetShare("10.0.0.2"), 8 * MB)
    with pytest.raises(Busy):
        await read(make_intake(client, of, length=MB))
    assert len(client.messages) == 2


async def test_what_no_body_may_have_takes_no_room() -> None:
    """A client without a key may declare any length, and send nothing."""
    of = make_budget()
    waiting = asyncio.ensure_future(read(make_intake(Client(ends=False), of, length=1 << 62)))
    await asyncio.sleep(0)
    await of.take(BudgetShare("10.0.0.2"), 4 * MB)
    waiting.cancel()


async def test_a_small_body_needs_no_room() -> None:
    of = make_budget()
    await of.take(BudgetShare("10.0.0.2"), 8 * MB)
    assert len(await read(make_intake(Client(b"x" * 16_000), of, length=16_000))) == 16_000


async def test_a_streamed_body_needs_no_room() -> None:
    of = make_budget()
    await of.take(BudgetShare("10.0.0.2"), 8 * MB)
    assert len(await read(make_intake(Client(b"x" * MB, b"x" * MB), of, length=2 * MB, streams=True))) == 2 * MB


async def test_decompressed_bytes_count() -> None:
    of = make_budget()
    await of.take(BudgetShare("10.0.0.2"), 7 * MB)
    with pytest.raises(Busy):
        await read(make_intake(Client(gzip.compress(bytes(3 * MB))), of))


async def test_small_bodies_that_become_large_are_unpacked_in_turns() -> None:
    """Else all that arrive together are unpacked in one round of the loop, and nobody is answered meanwhile."""
    turns, body, rounds = CooperativeQueue(), gzip.compress(bytes(MB)), 0

    async def others() -> None:
        nonlocal rounds
        while True:
            await asyncio.sleep(0)
            rounds += 1

    beside = asyncio.create_task(others())
    await asyncio.gather(*(read(make_intake(Client(body), make_budget(), turns=turns)) for _ in range(8)))
    beside.cancel()
    assert rounds >= 8


async def test_bodies_that_become_large_together_are_all_read_one_after_the_other() -> None:
    """Each had held a part of what it needs, until all of them were refused."""
    of, body = make_budget(wait_seconds=5), gzip.compress(bytes(3 * MB))

    async def read_whole() -> int:
        body_intake = make_intake(Client(body), of)
        size = len(await read(body_intake))
        await asyncio.sleep(0)
        body_intake.end()
        return size

    assert await asyncio.gather(*(read_whole() for _ in range(10))) == [3 * MB] * 10


class GatedClient(Client):
    """Sends its body once `gate` is set: until then the room for it is held."""

    def __init__(self, gate: asyncio.Event, body: bytes) -> None:
        super().__init__(body)
        self.gate = gate

    async def __call__(self) -> Any:
        await self.gate.wait()
        return await super().__call__()


async def test_bodies_that_hold_a_part_do_not_wait_for_each_other() -> None:
    """Compressed bodies hold what comes of them while they wait for room to be unpacked."""
    of, gate, body = make_budget(wait_seconds=3), asyncio.Event(), gzip.compress(os.urandom(100_000) + bytes(2 * MB))

    async def read_whole() -> int:
        body_intake = make_intake(GatedClient(gate, body), of, length=len(body))
        try:
            return len(await read(body_intake))
        finally:
            body_intake.end()

    reading = [asyncio.create_task(read_whole()) for _ in range(30)]
    for _ in range(5):
        await asyncio.sleep(0)
    gate.set()
    assert await asyncio.gather(*reading) == [100_000 + 2 * MB] * 30


async def test_a_body_that_waits_for_room_has_unpacked_almost_nothing() -> None:
    of, body = make_budget(wait_seconds=60), gzip.compress(bytes(3 * MB))
    await of.take(BudgetShare("10.0.0.2"), 7 * MB)
    waiting = [asyncio.create_task(read(make_intake(Client(body), of))) for _ in range(50)]
    tracemalloc.start()
    try:
        for _ in range(100):
            await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        assert tracemalloc.get_traced_memory()[0] < 50 * 0.3 * MB
    finally:
        tracemalloc.stop()
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_held_bytes_are_given_back() -> None:
    of = make_budget()
    for _ in range(5):
        body_intake = make_intake(Client(b"x" * 3 * MB), of, length=3 * MB)
        await read(body_intake)
        body_intake.end()
    await of.take(BudgetShare("10.0.0.2"), 4 * MB)


async def test_a_stalled_body_loses_its_place() -> None:
    of = make_budget()
    stalled = make_intake(Client(b"x" * 100, ends=False), of, length=4 * MB)
    waiting = asyncio.ensure_future(read(stalled))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for share in of._shares:
        share.progressed_at -= STALLED_SECONDS + 1
    await of.take(BudgetShare("10.0.0.2"), 6 * MB)
    with pytest.raises(Busy):
        await waiting
