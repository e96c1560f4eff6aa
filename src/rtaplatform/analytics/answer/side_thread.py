"""Runs long computations in a thread, so that the event loop continues.   Stage 5 of 6.

There is one thread, so long computations wait for each other, and short ones do not wait. Python's threads take turns
every few milliseconds, so no other request waits longer than that for a large answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

INLINE_MAX = 5_000  # numbers; handling so many takes some 5 ms

WorkResult = TypeVar("WorkResult")


class SideThread:
    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, "analytics")  # starts its thread with the first call

    async def run(self, numbers: int, work: Callable[[], WorkResult]) -> WorkResult:
        """Run `work`, which handles this many numbers. A cancelled caller waits until `work` has ended."""
        if numbers <= INLINE_MAX:
            return work()
        future = asyncio.get_running_loop().run_in_executor(self._executor, work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:  # nobody else may use what `work` changes until it has ended
            while not future.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([future])
            raise
