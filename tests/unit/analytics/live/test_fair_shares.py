"""Places are shared fairly, and so are turns to compute: nobody is kept out by what others hold."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtaplatform.analytics.answer.engine import Reply
from rtaplatform.analytics.ask.parse import parse_live
from rtaplatform.analytics.live.compute_budget import PROJECTS_MAX, ComputeBudget
from rtaplatform.analytics.live.fair_shares import FairShares, ShareHolder
from rtaplatform.analytics.live.hub import QUESTIONS_MAX, LiveHub, LiveSeat
from rtaplatform.analytics.live.listener_bell import CLOCK_S
from rtaplatform.analytics.live.live_query import LiveQuery
from rtaplatform.core.errors import Busy
from tests.unit.analytics.live_news import wait_for_news
from tests.unit.analytics.shop import Shop

A, B = ShareHolder("a", "k1"), ShareHolder("b", "k1")


def test_everybody_may_take_free_places() -> None:
    shares: FairShares[int] = FairShares(10)
    assert all(shares.take(A, number).is_held for number in range(10))
    assert not shares.take(A, 10).is_held


def test_the_largest_holder_gives_way_to_smaller_ones() -> None:
    shares: FairShares[int] = FairShares(10)
    for number in range(10):
        shares.take(A, number)
    given_up = [place for number in range(20, 30) for place in shares.take(B, number).given_up]
    assert given_up == [9, 8, 7, 6, 5]
    assert not shares.take(B, 99).is_held
    assert not shares.take(A, 99).is_held


def test_keys_of_a_project_share_in_the_same_way() -> None:
    shares: FairShares[int] = FairShares(4)
    for number in range(4):
        shares.take(A, number)
    assert shares.take(ShareHolder("a", "k2"), 4) == (True, [3])
    assert shares.take(ShareHolder("a", "k3"), 5) == (True, [2])
    assert not shares.take(ShareHolder("a", "k4"), 6).is_held or len(shares) == 4


def test_a_place_with_weight_counts_as_several() -> None:
    shares: FairShares[str] = FairShares(10)
    for name in "uvwxyz":
        shares.take(A, name)
    assert shares.take(B, "heavy", 4) == (True, [])
    assert shares.take(B, "heavy", 5) == (True, ["z"])
    assert not shares.take(B, "heavy", 7).is_held
    shares.leave("heavy")
    assert shares.take(A, "t", 5).is_held


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("kl"), st.integers(1, 3), st.booleans()), max_size=120)
)
def test_no_project_holds_more_while_another_was_refused(steps: list[tuple[str, str, int, bool]]) -> None:
    """The law: the house is never over-full, and who is refused would have had more than the others."""
    shares: FairShares[int] = FairShares(12)
    holders: dict[int, tuple[ShareHolder, int]] = {}
    for number, (project, key, weight, is_leaving) in enumerate(steps):
        holder = ShareHolder(project, key)
        if is_leaving and holders:
            place = next(iter(holders))
            shares.leave(place)
            del holders[place]
            continue
        taken = shares.take(holder, number, weight)
        for place in taken.given_up:
            del holders[place]
        of: Counter[str] = Counter()
        for other, heavy in holders.values():
            of[other.project] += heavy
        if taken.is_held:
            holders[number] = holder, weight
        else:
            assert max(of.values()) <= of[project] + weight
        assert sum(heavy for _, heavy in holders.values()) <= 12
    assert len(shares) == len(holders)


# The hub -------------------------------------------------------------------------------------------------------------


class Anything:
    """An engine that has an empty answer to every question of every project."""

    async def reply(self, project: str, queries: Any) -> Reply:
        return Reply([], "g1", "0")


class Room:
    """A hub, and those who listen."""

    def __init__(self, connections_max: int = 2_000) -> None:
        self.hub = LiveHub(cast(Any, Anything()), Shop().reader, interval_ms=20, connections_max=connections_max)
        self._open = AsyncExitStack()

    async def listen(self, project: str, minutes: int, seat: LiveSeat | None = None) -> LiveQuery:
        queries = parse_live([("metrics", "events"), ("from", f"-{minutes}m")])
        channel, _ = await self._open.enter_async_context(self.hub.listen(project, queries, seat))
        return channel

    async def leave(self) -> None:
        await self._open.aclose()
        assert (self.hub.connections, len(self.hub._seats)) == (0, 0)


async def test_no_project_keeps_others_from_asking_live_questions() -> None:
    room = Room()
    greedy = [await room.listen("greedy", minutes) for minutes in range(1, QUESTIONS_MAX + 1)]
    with pytest.raises(Busy, match="has its share"):
        await room.listen("greedy", QUESTIONS_MAX + 1)
    woken = asyncio.create_task(wait_for_news(greedy[-1]))
    mine = [await room.listen("demo", minutes) for minutes in range(1, 21)]
    ended = [channel for channel in greedy if channel.problem is not None]
    assert ended == greedy[-20:]
    assert all(isinstance(channel.problem, Busy) for channel in ended)
    assert not any(channel.problem for channel in mine)
    await woken
    await room.leave()


async def test_no_key_keeps_others_from_connecting() -> None:
    room, seats = Room(connections_max=3), [LiveSeat("key_1") for _ in range(3)]
    for seat in seats:
        await room.listen("demo", 5, seat)
    other = LiveSeat("key_2")
    await room.listen("demo", 5, other)
    assert [seat.problem is not None for seat in (*seats, other)] == [False, False, True, False]
    with pytest.raises(Busy, match="has its share"):
        await room.listen("demo", 5, LiveSeat("key_1"))
    await room.leave()


async def test_history_is_bounded_for_all_questions_together() -> None:
    room = Room()
    await room.listen("demo", 1)
    alone = room.hub._compute_history_points_max()
    await room.listen("demo", 2)
    assert room.hub._compute_history_points_max() == alone // 2
    await room.leave()


# Turns ---------------------------------------------------------------------------------------------------------------


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_a_cheap_query_does_not_wait_behind_another_project() -> None:
    clock, order = Clock(), list[str]()
    turns = ComputeBudget(at_once=1, now=clock)

    async def compute(project: str, seconds: float) -> None:
        async with turns.turn(project):
            order.append(project)
            clock.now += seconds
            await asyncio.sleep(0)

    turns.charge("dear", 1.0)
    dear = [asyncio.create_task(compute("dear", 0.01)) for _ in range(20)]
    await asyncio.sleep(0)
    cheap = asyncio.create_task(compute("cheap", 0.001))
    await asyncio.gather(*dear, cheap)
    assert order.index("cheap") == 1


async def test_a_slot_rests_for_as_long_as_it_worked() -> None:
    turns = ComputeBudget(at_once=1)
    loop = asyncio.get_running_loop()
    started_at = loop.time()
    for _ in range(3):
        async with turns.turn("demo"):
            await asyncio.sleep(0.02)
    # Three times 20 ms of work, and two of rest. The loop counts whole milliseconds, at each of the five.
    assert loop.time() - started_at >= 0.1 - 5 * CLOCK_S


async def test_a_cancelled_waiter_passes_its_turn_on() -> None:
    turns = ComputeBudget(at_once=1)
    async with turns.turn("demo"):
        waiters = [asyncio.create_task(turns._enter("demo")) for _ in range(5)]
        await asyncio.sleep(0)
        for task in waiters:
            task.cancel()
        await asyncio.gather(*waiters, return_exceptions=True)
    async with asyncio.timeout(5), turns.turn("demo"):
        pass


async def test_the_number_of_known_projects_is_bounded() -> None:
    turns = ComputeBudget()
    for number in range(3 * PROJECTS_MAX):
        turns.charge(f"p{number}", 0.001)
    assert len(turns._used_seconds) <= PROJECTS_MAX
