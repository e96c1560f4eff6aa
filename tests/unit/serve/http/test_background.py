"""A background task does not die silently, and errors of servers do not kill it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest
from structlog.testing import capture_logs

from rtaplatform.core.errors import Stopped
from rtaplatform.serve.http.background import keep_publishing, run_in_background


async def _die() -> None:
    raise KeyError("a bug of ours")


async def _go_on() -> None:
    await asyncio.Event().wait()


async def _end_well() -> None: ...


async def test_a_task_that_dies_is_logged_and_the_others_end_with_the_process() -> None:
    died, stopped = asyncio.Event(), asyncio.Event()
    with capture_logs() as lines:
        async with run_in_background(lambda: [_go_on(), _die()], stopped.set, died.set):
            await died.wait()
    assert stopped.is_set()
    assert [(line["event"], line["task"]) for line in lines] == [("background_task_died", "_die")]


async def test_a_task_that_returns_or_is_cancelled_has_not_died() -> None:
    deaths: list[str] = []
    async with run_in_background(lambda: [_go_on(), _end_well()], lambda: None, lambda: deaths.append("died")):
        await asyncio.sleep(0)
    assert deaths == []


class _Shards:
    """Gives one answer per turn, and reports a change, so that the next turn comes at once."""

    def __init__(self, answers: Iterable[Exception | None]) -> None:
        self._answers, self.has_changed, self.has_ended = iter(answers), asyncio.Event(), asyncio.Event()

    async def publish(self) -> None:
        try:
            answer = next(self._answers)
        except StopIteration:
            self.has_ended.set()
            return
        self.has_changed.set()
        if answer is not None:
            raise answer


@pytest.mark.parametrize(
    "damage", [Stopped("redis", "damaged", "a key of ours has another type"), ValueError("NOPERM")]
)
async def test_a_damaged_shard_is_logged_once_and_published_again(damage: Exception) -> None:
    shards = _Shards([damage, damage, None, damage])
    with capture_logs() as lines:
        publishing = asyncio.create_task(keep_publishing(shards.publish, shards.has_changed))
        await shards.has_ended.wait()
        publishing.cancel()
    assert [line["event"] for line in lines] == ["projects_not_published"] * 2  # once before the success, once after
