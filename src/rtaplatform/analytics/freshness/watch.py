"""The background task that keeps `freshness` fed: the logs' ends, and now and then a ledger.   Stage 5 of 6.

Promise: it goes on through any outage of Kafka or the store; meanwhile `as_of` stands still and the lag grows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from rtaplatform.analytics.freshness.log_ends import LogInstant
from rtaplatform.analytics.freshness.tracker import FreshnessTracker
from rtaplatform.core.errors import PlatformError
from rtaplatform.core.ledger import PartitionId

SAMPLE_EVERY_S = 0.25
RETRY_EVERY_S = 1.0
TIMEOUT_S = 5.0


class WatchClock(Protocol):
    def __call__(self) -> LogInstant: ...


async def watch_ends(
    tracker: FreshnessTracker, ends: Callable[[], Awaitable[Mapping[PartitionId, int]]], clock: WatchClock
) -> None:
    """Sample until cancelled. `ends` asks the log; `Unavailable` and time-outs are waited out."""
    while True:
        before = clock()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                tracker.sample(before, await ends())
            await asyncio.sleep(SAMPLE_EVERY_S)
        except (PlatformError, TimeoutError):
            await asyncio.sleep(RETRY_EVERY_S)


async def watch_ledgers(observe: Callable[[], Awaitable[object]], every_s: float = 1.0) -> None:
    """Look at the ledgers also while nobody asks, so that health and `complete` know since when they stand."""
    while True:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await observe()
        except (PlatformError, TimeoutError):
            pass
        await asyncio.sleep(every_s)
