"""Long work beside the event loop, which goes on meanwhile.   Stage 5 of 6.

One thread for all: work that takes long waits for other such work, and not what is quick. Python's threads take turns
every few milliseconds, so no request waits longer than that for a large answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

INLINE_MAX = 5_000  # numbers that are handled within some 5 ms

Found = TypeVar("Found")


class SideThread:
    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, "analytics")  # its thread begins with the first work

    async def run(self, numbers: int, work: Callable[[], Found]) -> Found:
        """Do `work`, which handles so many numbers. A caller that is cancelled waits for its end first."""
        if numbers <= INLINE_MAX:
            return work()
        done = asyncio.get_running_loop().run_in_executor(self._executor, work)
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:  # what `work` changes is the caller's alone until it ends
            while not done.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([done])
            raise
