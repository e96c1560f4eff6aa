"""Background tasks that feed the freshness tracker: ends of the logs, committed offsets, ledgers.   Stage 5 of 6.

Promise: they go on through any outage of Kafka or the store. Meanwhile `as_of` does not move and the lag grows.
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
    tracker: FreshnessTracker, read_ends: Callable[[], Awaitable[Mapping[PartitionId, int]]], clock: WatchClock
) -> None:
    """Sample the ends of the logs until cancelled, through outages and time-outs too."""
    while True:
        before = clock()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                tracker.sample(before, await read_ends())
            await asyncio.sleep(SAMPLE_EVERY_S)
        except (PlatformError, TimeoutError):
            await asyncio.sleep(RETRY_EVERY_S)


async def seed_floors(
    tracker: FreshnessTracker,
    read_committed: Callable[[], Awaitable[Mapping[PartitionId, int]]],
    retry_every_s: float = RETRY_EVERY_S,
) -> None:
    """Tell the tracker how far the workers had come before this process started, as soon as Kafka answers."""
    while True:
        try:
            tracker.seed(await read_committed())
            return
        except Unavailable:
            await asyncio.sleep(retry_every_s)


async def watch_ledgers(observe: Callable[[], Awaitable[object]], every_s: float = 1.0) -> None:
    """Observe the ledgers even without queries, so that health and `complete` know since when one has not moved."""
    while True:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await observe()
        except (PlatformError, TimeoutError):
            pass
        await asyncio.sleep(every_s)
