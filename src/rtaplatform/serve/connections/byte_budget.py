"""How many bytes of bodies, or of answers, are under way in this process: bounded in all, and per address.

Who wants more waits until others are done. One holder at a time may grow beyond the limit: else all could hold a part,
and wait for each other. While somebody waits, who makes no progress is dropped: the client of a
stalled upload or download loses its place to the next one. Small ones are free: what bounds them is the number of
connections.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from rtaplatform import telemetry

FREE_BYTES = 16 << 10
ADDRESS_SHARE = 0.5  # so much of all one address may hold, while it holds anything at all
STALLED_SECONDS = 2.0
_LOOK_SECONDS = 0.25

Drop = Callable[[], None]


class ByteBudgetSpent(Exception):
    """There was no room within the time that one waits."""


@dataclass(eq=False)
class BudgetShare:
    """What one request holds. `drop` ends it, as long as it can be ended: None when it needs its client no more."""

    address: str
    drop: Drop | None = None
    bytes: int = 0
    progressed_at: float = field(default_factory=time.monotonic)

    def progress(self) -> None:
        self.progressed_at = time.monotonic()


class ByteBudget:
    """All holdings of one kind; `of` names it in signals."""

    def __init__(self, of: str, bytes_max: int, *, wait_seconds: float, waiting_max: int = 1_000) -> None:
        """At most `waiting_max` wait at once: what waits may be in memory already."""
        self._of, self._bytes_max, self._wait_seconds = of, bytes_max, wait_seconds
        self._holdings: dict[BudgetShare, None] = {}
        self._bytes, self._by_address = 0, dict[str, int]()
        self._growing: BudgetShare | None = None  # beyond the limit
        self._released = asyncio.Event()
        self._waiting, self._waiting_max = 0, waiting_max
        telemetry.BYTES_HELD.labels(of).set_function(lambda: self._bytes)

    async def take(self, holding: BudgetShare, total: int) -> None:
        """Let `holding` have `total` bytes in all; raises ByteBudgetSpent."""
        if total <= max(FREE_BYTES, holding.bytes):
            return
        deadline = time.monotonic() + self._wait_seconds
        while not self._fits(holding, total) and not self._may_grow(holding):
            if self._drop_stalled(holding):
                continue
            if time.monotonic() >= deadline or self._waiting >= self._waiting_max:
                telemetry.HELD_REFUSED.labels(self._of).inc()
                raise ByteBudgetSpent
            await self._wait()
        self._add(holding, total - holding.bytes)

    def shrink(self, holding: BudgetShare, total: int) -> None:
        """It holds so much and no more."""
        if total < holding.bytes:
            self._add(holding, total - holding.bytes)
            self._released.set()

    def release(self, holding: BudgetShare) -> None:
        """It holds nothing any more."""
        if self._growing is holding:
            self._growing = None
        if holding not in self._holdings:
            return
        self._add(holding, -holding.bytes)
        del self._holdings[holding]
        if not self._by_address[holding.address]:
            del self._by_address[holding.address]
        self._released.set()

    def _fits(self, holding: BudgetShare, total: int) -> bool:
        others = self._bytes - holding.bytes
        of_address = self._by_address.get(holding.address, 0) - holding.bytes
        fits_all = others + total <= self._bytes_max or not others
        return fits_all and (of_address + total <= self._bytes_max * ADDRESS_SHARE or not of_address)

    def _may_grow(self, holding: BudgetShare) -> bool:
        if not holding.bytes or self._growing not in (None, holding):
            return False
        self._growing = holding
        return True

    def _drop_stalled(self, asking: BudgetShare) -> bool:
        before = time.monotonic() - STALLED_SECONDS
        stalled = [one for one in self._holdings if one.drop and one is not asking and one.progressed_at < before]
        if not stalled:
            return False
        victim = min(stalled, key=lambda one: one.progressed_at)
        drop = victim.drop
        self.release(victim)
        telemetry.HELD_REFUSED.labels(self._of).inc()
        if drop is not None:
            drop()
        return True

    async def _wait(self) -> None:
        self._released.clear()
        self._waiting += 1
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                await self._released.wait()
        except TimeoutError:
            return
        finally:
            self._waiting -= 1

    def _add(self, holding: BudgetShare, more: int) -> None:
        self._holdings[holding] = None
        holding.bytes += more
        self._bytes += more
        self._by_address[holding.address] = self._by_address.get(holding.address, 0) + more
