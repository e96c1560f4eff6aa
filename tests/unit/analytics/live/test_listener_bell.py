"""A listener is woken by news and by its alarm, and misses no ring while it is busy."""

from __future__ import annotations

import asyncio

from rtaplatform.analytics.live.listener_bell import ListenerBell


async def is_waiting(bell: ListenerBell) -> bool:
    """Whether the bell has not been rung."""
    try:
        async with asyncio.timeout(0.01):
            await bell.wait()
    except TimeoutError:
        return True
    return False


async def test_who_has_just_joined_looks_first_then_waits() -> None:
    bell = ListenerBell()
    assert not await is_waiting(bell)
    assert await is_waiting(bell)


async def test_a_ring_while_the_listener_is_busy_is_kept_once() -> None:
    bell = ListenerBell()
    await bell.wait()
    for _ in range(3):
        bell.ring()
    assert not await is_waiting(bell)
    assert await is_waiting(bell)


async def test_the_alarm_rings_after_its_time_and_only_the_last_one() -> None:
    bell, loop = ListenerBell(), asyncio.get_running_loop()
    await bell.wait()
    bell.set_alarm(loop.time() + 60)
    at_s = loop.time() + 0.01
    bell.set_alarm(at_s)
    async with asyncio.timeout(5):
        await bell.wait()
    assert loop.time() >= at_s
    bell.set_alarm(loop.time())
    bell.end()
    assert await is_waiting(bell)
