"""The background tasks that keep `freshness` fed: the logs' ends, where the workers were, a ledger.   Stage 5 of 6.

Promise: they go on through any outage of Kafka or the store; meanwhile `as_of` stands still and the lag grows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from rtaplatform.analytics.freshness.log_ends import LogInstant
from rtaplatform.analytics.freshness.tracker import FreshnessTracker
from rtaplatform.core.errors import PlatformError, Unavailable
from rtaplatform.core.ledger import PartitionId

SAMPLE_EVERY_S = 0.25
RETRY_EVERY_S = 1.0
TIMEOUT_S = 5.0


class WatchClock(Protocol):
    def __call__(self) -> LogInstant: ...


def read_clock() -> LogInstant:
    return LogInstant(time.time_ns() // 1_000_000, time.monotonic())


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


async def seed_floors(
    tracker: FreshnessTracker,
    committed: Callable[[], Awaitable[Mapping[PartitionId, int]]],
    retry_every_s: float = RETRY_EVERY_S,
) -> None:
    """Tell how far the workers have been before this process began, as soon as the log answers."""
    while True:
        try:
            tracker.seed(await committed())
            return
        except Unavailable:
            await asyncio.sleep(retry_every_s)


async def watch_ledgers(observe: Callable[[], Awaitable[object]], every_s: float = 1.0) -> None:
    """Look at the ledgers also while nobody asks, so that health and `complete` know since when they stand."""
    while True:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await observe()
        except (PlatformError, TimeoutError):
            pass
        await asyncio.sleep(every_s)
