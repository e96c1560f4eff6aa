"""One limit for many sends: who is overdue is ended, and nobody else."""

from __future__ import annotations

import asyncio

import pytest

from rtaplatform.serve.connections.deadlines import Deadlines


async def wait_forever() -> None:
    await asyncio.Event().wait()


async def finish_at_once() -> None: ...


async def test_a_send_that_nobody_takes_ends() -> None:
    deadlines = Deadlines(0.01)
    sends = [asyncio.create_task(deadlines.keep(wait_forever())) for _ in range(3)]
    for send in sends:
        with pytest.raises(TimeoutError):
            await send
    await deadlines.keep(finish_at_once())


async def test_a_send_begun_later_ends_later() -> None:
    deadlines = Deadlines(0.2)
    early = asyncio.create_task(deadlines.keep(wait_forever()))
    await asyncio.sleep(0.15)
    late = asyncio.create_task(deadlines.keep(wait_forever()))
    with pytest.raises(TimeoutError):
        await early
    assert not late.done()
    late.cancel()


async def test_a_task_that_somebody_else_cancels_stays_cancelled() -> None:
    deadlines = Deadlines(10)
    send = asyncio.create_task(deadlines.keep(wait_forever()))
    await asyncio.sleep(0)
    send.cancel()
    with pytest.raises(asyncio.CancelledError):
        await send


async def test_a_send_may_be_ended_before_its_limit() -> None:
    deadlines = Deadlines(10)
    send = asyncio.create_task(deadlines.keep(wait_forever()))
    await asyncio.sleep(0)
    deadlines.expire(send)
    with pytest.raises(TimeoutError):
        await send


async def test_a_wait_that_ends_in_another_way_leaves_no_cancellation_behind() -> None:
    async def fail() -> None:
        try:
            await wait_forever()
        except asyncio.CancelledError:
            raise ConnectionResetError from None

    deadlines, task = Deadlines(0.01), asyncio.current_task()
    assert task is not None
    with pytest.raises(ConnectionResetError):
        await deadlines.keep(fail())
    assert task.cancelling() == 0


async def test_an_inner_limit_does_not_end_the_outer_send() -> None:
    outer, inner, has_ended = Deadlines(10), Deadlines(0.01), False

    async def send() -> None:
        nonlocal has_ended
        with pytest.raises(TimeoutError):
            await inner.keep(wait_forever())
        has_ended = True

    await outer.keep(send())
    assert has_ended
