"""Profiles that stand still are told, and those that go on, or of which nothing is known, are not."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from rtaplatform.analytics.freshness.log_ends import LogInstant
from rtaplatform.analytics.freshness.profiles_lag import ProfilesLag, watch_profiles
from rtaplatform.core.errors import Unable, Unavailable
from rtaplatform.core.ledger import PartitionId
from rtaplatform.stream.port import GroupPosition

PLACE = PartitionId("topic", 0)
BEGAN_MS = 1_795_000_000_000


def make_instant(seconds: float) -> LogInstant:
    return LogInstant(BEGAN_MS + int(seconds * 1000), 100.0 + seconds)


def make_position(offset: int, behind: int) -> GroupPosition:
    return GroupPosition({PLACE: offset}, behind)


def start_lag() -> ProfilesLag:
    """Long ago, and caught up."""
    lag = ProfilesLag()
    for seconds in (-60, -5):
        lag.note(make_position(7, 0), make_instant(seconds))
    return lag


async def test_a_lag_of_ten_seconds_without_a_commit_is_a_fault() -> None:
    lag = start_lag()
    for seconds in (0, 4):
        lag.note(make_position(7, 1_200), make_instant(seconds))
    await lag.check()
    lag.note(make_position(7, 1_300), make_instant(5))
    with pytest.raises(Unable, match=r"profiles: they stand still: 1,300 records behind since 2026-11-18T\d\d:06:35"):
        await lag.check()
    lag.note(make_position(8, 1_400), make_instant(10))
    await lag.check()


async def test_a_growing_lag_with_commits_is_no_fault() -> None:
    lag = start_lag()
    for turn in range(20):
        lag.note(make_position(7 + turn, 1_000 * turn), make_instant(5 * turn))
        await lag.check()


async def test_a_group_with_nothing_to_read_is_no_fault() -> None:
    lag = start_lag()
    lag.note(make_position(7, 0), make_instant(3_600))
    lag.note(make_position(7, 1), make_instant(3_605))
    await lag.check()


async def test_the_first_commit_may_take_half_a_minute() -> None:
    lag = ProfilesLag()
    for seconds in (0, 15, 29):
        lag.note(make_position(7, 5), make_instant(seconds))
        await lag.check()
    lag.note(make_position(7, 5), make_instant(31))
    with pytest.raises(Unable):
        await lag.check()


async def test_a_group_without_commits_is_a_fault_too() -> None:
    lag = ProfilesLag()
    for seconds in (0, 31):
        lag.note(GroupPosition({}, 5), make_instant(seconds))
    with pytest.raises(Unable):
        await lag.check()


async def test_without_answers_of_kafka_nothing_is_a_fault() -> None:
    lag = start_lag()
    answers: list[GroupPosition | Unavailable] = [
        make_position(7, 5),
        Unavailable("kafka", "away"),
        make_position(7, 5),
    ]
    was_asked = asyncio.Event()

    async def look() -> GroupPosition:
        if len(answers) == 1:
            was_asked.set()
        answer = answers.pop(0) if answers else make_position(7, 5)
        if isinstance(answer, Unavailable):
            raise answer
        return answer

    watching = asyncio.create_task(watch_profiles(lag, look, lambda: make_instant(60), every_s=0))
    await asyncio.wait_for(was_asked.wait(), 10)
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    await lag.check()
