"""A budget for the bytes of request bodies, or of responses, that this process holds: in total and per address.

A request that needs more waits until others are done. One holder at a time may exceed the limit; otherwise all could
hold a part and wait for each other. While a request waits, a holder without progress is dropped: a stalled upload or
download loses its place to the next. Small bodies are not counted; the number of connections bounds them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from rtaplatform import telemetry

FREE_BYTES = 16 << 10
ADDRESS_SHARE = 0.5  # of the budget for one address; its first body may take more
STALLED_SECONDS = 2.0
_RETRY_SECONDS = 0.25

Drop = Callable[[], None]


class ByteBudgetSpent(Exception):
    """No room became free within the waiting time."""


@dataclass(eq=False)
class BudgetShare:
    """The bytes that one request holds. `drop` ends the request; None once it no longer depends on its client."""

    address: str
    drop: Drop | None = None
    bytes: int = 0
    progressed_at: float = field(default_factory=time.monotonic)

    def note_progress(self) -> None:
        self.progressed_at = time.monotonic()


class ByteBudget:
    """The budget for one kind of bytes; `kind` is its name in signals."""

    def __init__(self, kind: str, bytes_max: int, *, wait_seconds: float, waiting_max: int = 1_000) -> None:
        """At most `waiting_max` requests wait at once: the bytes of a waiting response are already in memory."""
        self._kind, self._bytes_max, self._wait_seconds = kind, bytes_max, wait_seconds
        self._shares: dict[BudgetShare, None] = {}
        self._bytes, self._by_address = 0, dict[str, int]()
        self._growing_share: BudgetShare | None = None  # the one that may exceed the limit
        self._release = asyncio.Event()
        self._waiter_count, self._waiting_max = 0, waiting_max
        telemetry.BYTES_HELD.labels(kind).set_function(lambda: self._bytes)

    async def take(self, share: BudgetShare, total: int) -> None:
        """Let the request hold `total` bytes. Waits for room; raises ByteBudgetSpent."""
        if total <= max(FREE_BYTES, share.bytes):
            return
        deadline = time.monotonic() + self._wait_seconds
        while not self._fits(share, total) and not self._may_grow(share):
            if self._drop_stalled(share):
                continue
            if time.monotonic() >= deadline or self._waiter_count >= self._waiting_max:
                telemetry.HELD_REFUSED.labels(self._kind).inc()
                raise ByteBudgetSpent
            await self._wait()
        self._add(share, total - share.bytes)

    def shrink(self, share: BudgetShare, total: int) -> None:
        """Reduce what the request holds to `total` bytes."""
        if total < share.bytes:
            self._add(share, total - share.bytes)
            self._release.set()

    def release(self, share: BudgetShare) -> None:
        """The request holds nothing any more."""
        if self._growing_share is share:
            self._growing_share = None
        if share not in self._shares:
            return
        self._add(share, -share.bytes)
        del self._shares[share]
        if not self._by_address[share.address]:
            del self._by_address[share.address]
        self._release.set()

    def _fits(self, share: BudgetShare, total: int) -> bool:
        bytes_of_others = self._bytes - share.bytes
        others_of_address = self._by_address.get(share.address, 0) - share.bytes
        fits_all = bytes_of_others + total <= self._bytes_max or not bytes_of_others
        return fits_all and (others_of_address + total <= self._bytes_max * ADDRESS_SHARE or not others_of_address)

    def _may_grow(self, share: BudgetShare) -> bool:
        if not share.bytes or self._growing_share not in (None, share):
            return False
        self._growing_share = share
        return True

    def _drop_stalled(self, requester: BudgetShare) -> bool:
        """Drop the holder that has been without progress the longest. False if none is stalled."""
        stalled_since = time.monotonic() - STALLED_SECONDS
        other_shares = [share for share in self._shares if share.drop and share is not requester]
        stalled_shares = [share for share in other_shares if share.progressed_at < stalled_since]
        if not stalled_shares:
            return False
        victim = min(stalled_shares, key=lambda share: share.progressed_at)
        drop = victim.drop
        self.release(victim)
        telemetry.HELD_REFUSED.labels(self._kind).inc()
        if drop is not None:
            drop()
        return True

    async def _wait(self) -> None:
        self._release.clear()
        self._waiter_count += 1
        try:
            async with asyncio.timeout(_RETRY_SECONDS):
                await self._release.wait()
        except TimeoutError:
            return
        finally:
            self._waiter_count -= 1

    def _add(self, share: BudgetShare, byte_count: int) -> None:
        self._shares[share] = None
        share.bytes += byte_count
        self._bytes += byte_count
        self._by_address[share.address] = self._by_address.get(share.address, 0) + byte_count
