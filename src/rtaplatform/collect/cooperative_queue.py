"""Run heavy work in turns: between any two pieces, the event loop serves all other tasks once."""

from __future__ import annotations

import asyncio


class CooperativeQueue:
    """Without it, sixty batches that arrive together would run in one round of the loop, and delay all other tasks."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def take(self) -> None:
        """Wait for the caller's turn, which lasts until it awaits again."""
        async with self._lock:
            await asyncio.sleep(0)
