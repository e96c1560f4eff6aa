"""Long work runs in a thread beside the event loop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from rtaplatform.analytics.answer.side_thread import INLINE_MAX, SideThread

LONG = INLINE_MAX + 1


async def test_long_work_does_not_block_the_event_loop() -> None:
    go_on = threading.Event()
    working = asyncio.create_task(SideThread().run(LONG, lambda: go_on.wait(10)))
    while not working.done() and not go_on.is_set():
        await asyncio.sleep(0)
        go_on.set()
    assert await working


async def test_short_work_runs_at_once() -> None:
    assert await SideThread().run(INLINE_MAX, threading.get_ident) == threading.get_ident()
    assert await SideThread().run(LONG, threading.get_ident) != threading.get_ident()


async def test_long_works_wait_for_each_other() -> None:
    beside, order = SideThread(), list[int]()
    await asyncio.gather(*(beside.run(LONG, lambda n=n: order.append(n)) for n in range(5)))  # type: ignore[misc]
    assert order == [0, 1, 2, 3, 4]


async def test_cancelled_caller_waits_for_its_work() -> None:
    """Nobody else may use what the work changes until it has ended."""
    beside, go_on, start_signal, ended = SideThread(), threading.Event(), threading.Event(), list[bool]()

    def work() -> None:
        start_signal.set()
        ended.append(go_on.wait(10))

    working = asyncio.create_task(beside.run(LONG, work))
    await asyncio.sleep(0)  # the work is handed over
    start_signal.wait(10)
    for _ in range(2):
        working.cancel()
        await asyncio.sleep(0)
        assert not working.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert ended == [True]


async def test_errors_of_the_thread_are_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        await SideThread().run(LONG, lambda: 1 // 0)
