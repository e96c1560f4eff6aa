"""When the clock of this machine counts as wrong."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from rtaplatform.collect.machine_clock import REFUSAL_COUNTS_SECONDS, REFUSED, MachineClock, watch_clock
from rtaplatform.core.errors import Unavailable, WrongClock


async def test_a_clock_is_right_until_something_speaks_against_it() -> None:
    clock = MachineClock()
    clock.compare(1_000.0, 1_299.0)
    assert clock.describe_fault() is None
    await clock.check()


@pytest.mark.parametrize(
    ("own", "fault"), [(4_600, "It is 3600 s ahead of Redis' clock."), (400, "It is 600 s behind Redis' clock.")]
)
async def test_a_clock_that_differs_from_redis_by_over_five_minutes_is_wrong_until_it_is_set(
    own: int, fault: str
) -> None:
    clock = MachineClock()
    clock.compare(own, 1_000)
    assert clock.describe_fault() == fault
    with pytest.raises(WrongClock, match="The clock of this machine is wrong"):
        await clock.check()
    clock.compare(1_001, 1_000)
    assert clock.describe_fault() is None


def test_a_refusal_counts_for_a_minute() -> None:
    now = 0.0
    clock = MachineClock(lambda: now)
    clock.note_refusal()
    now = REFUSAL_COUNTS_SECONDS - 1
    assert clock.describe_fault() == REFUSED
    now = REFUSAL_COUNTS_SECONDS
    assert clock.describe_fault() is None


async def test_the_clock_is_compared_with_redis() -> None:
    clock, was_asked = MachineClock(), asyncio.Event()

    async def read_other() -> float:
        was_asked.set()
        return 1_000

    watching = asyncio.create_task(watch_clock(clock, read_other, lambda: 5_000))
    await was_asked.wait()
    await asyncio.sleep(0)
    assert clock.describe_fault() is not None
    await _end(watching)


async def test_an_unavailable_redis_does_not_change_the_verdict() -> None:
    clock, was_asked = MachineClock(), asyncio.Event()

    async def read_other() -> float:
        was_asked.set()
        raise Unavailable("redis", "away")

    watching = asyncio.create_task(watch_clock(clock, read_other))
    await was_asked.wait()
    await asyncio.sleep(0)
    assert (clock.describe_fault(), watching.done()) == (None, False)
    await _end(watching)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
