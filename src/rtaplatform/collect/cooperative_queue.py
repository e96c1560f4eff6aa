"""Heavy pieces of work, one after the other: between any two, the event loop looks at everybody else once."""

from __future__ import annotations

import asyncio


class CooperativeQueue:
    """Sixty batches that arrive together would else be worked on in one round of the loop, and nobody is answered."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def take(self) -> None:
        """Come back when it is the caller's turn; what it does until it next waits is its piece."""
        async with self._lock:
            await asyncio.sleep(0)
