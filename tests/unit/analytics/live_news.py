"""Wait as a listener of a live query does."""

from __future__ import annotations

import asyncio

from rtaplatform.analytics.live.listener_bell import ListenerBell
from rtaplatform.analytics.live.live_query import LiveQuery


async def wait_for_news(live_query: LiveQuery, seconds: float = 5) -> None:
    """Wait until the listeners are woken next. Raises TimeoutError."""
    bell = ListenerBell()
    with live_query.ringing(bell):
        await bell.wait()  # whoever has just joined looks first
        async with asyncio.timeout(seconds):
            await bell.wait()
