"""Other tasks of the event loop run between any two pieces of heavy work."""

from __future__ import annotations

import asyncio

from rtaplatform.collect.cooperative_queue import CooperativeQueue


async def test_other_tasks_run_between_any_two_turns() -> None:
    turns, log = CooperativeQueue(), list[str]()

    async def work(name: str) -> None:
        for _ in range(3):
            await turns.take()
            log.append(name)

    async def look() -> None:
        while True:
            log.append("-")
            await asyncio.sleep(0)

    looking = asyncio.create_task(look())
    await asyncio.gather(*(work(name) for name in "abcd"))
    looking.cancel()
    pieces = "".join(log)
    assert sorted(pieces.replace("-", "")) == sorted("abcd" * 3)
    assert not any(f"{name}{other}" in pieces for name in "abcd" for other in "abcd")
