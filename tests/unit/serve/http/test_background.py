"""A work in the background does not die in silence, and what it meets outside does not kill it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest
from structlog.testing import capture_logs

from rtaplatform.core.errors import Stopped
from rtaplatform.serve.http.background import going_on, keep_told


async def _die() -> None:
    raise KeyError("a bug of ours")


async def _go_on() -> None:
    await asyncio.Event().wait()


async def _end_well() -> None: ...


async def test_a_work_that_dies_is_told_with_its_name_and_the_others_end_with_the_process() -> None:
    died, stopped = asyncio.Event(), asyncio.Event()
    with capture_logs() as lines:
        async with going_on(lambda: [_go_on(), _die()], stopped.set, died.set):
            await died.wait()
    assert stopped.is_set()
    assert [(line["event"], line["work"]) for line in lines] == [("work_died", "_die")]


async def test_a_work_that_has_done_its_part_or_is_stopped_has_not_died() -> None:
    deaths: list[str] = []
    async with going_on(lambda: [_go_on(), _end_well()], lambda: None, lambda: deaths.append("died")):
        await asyncio.sleep(0)
    assert deaths == []


class _Shards:
    """Answers once for each turn, and says that there are news, so that the next turn comes at once."""

    def __init__(self, answers: Iterable[Exception | None]) -> None:
        self._answers, self.news, self.all_told = iter(answers), asyncio.Event(), asyncio.Event()

    async def tell(self) -> None:
        try:
            answer = next(self._answers)
        except StopIteration:
            self.all_told.set()
            return
        self.news.set()
        if answer is not None:
            raise answer


@pytest.mark.parametrize(
    "damage", [Stopped("redis", "damaged", "a key of ours has another type"), ValueError("NOPERM")]
)
async def test_a_damaged_shard_is_said_once_and_told_again(damage: Exception) -> None:
    shards = _Shards([damage, damage, None, damage])
    with capture_logs() as lines:
        telling = asyncio.create_task(keep_told(shards.tell, shards.news))
        await shards.all_told.wait()
        telling.cancel()
    assert [line["event"] for line in lines] == ["cannot_tell_of_projects"] * 2  # once before it was good, once after
