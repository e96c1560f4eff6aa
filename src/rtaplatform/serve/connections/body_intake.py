"""A request's body as it comes: with a time limit, and with what is held of it counted.

A body may take GRACE_SECONDS, and a second more for each RATE_BYTES that have come. Only the time spent waiting for the
client counts. What is too slow is answered with 408, what finds no room with 503; both close the connection.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from rtaplatform import telemetry
from rtaplatform.collect.cooperative_queue import CooperativeQueue
from rtaplatform.core.errors import Busy, SlowBody
from rtaplatform.serve.connections.byte_budget import FREE_BYTES, BudgetShare, ByteBudget, ByteBudgetSpent

GRACE_SECONDS = 15.0
RATE_BYTES = 4 << 10
PROGRESS_BYTES = 16 << 10
RETRY_SECONDS = 2

Receive = Callable[[], Awaitable[Any]]


class BodyIntake:
    """ASGI's `receive` of one request. `streams`: its handler keeps no more than a piece of the body."""

    def __init__(
        self,
        receive: Receive,
        held: ByteBudget,
        address: Callable[[], str],
        *,
        turns: CooperativeQueue | None = None,
        declared: int = 0,
        streams: bool = False,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self._receive, self._held, self._address = receive, held, address
        self._declared, self._streams, self._grace_seconds = declared, streams, grace_seconds
        self._holding: BudgetShare | None = None
        self._turns = turns or CooperativeQueue()
        self._received, self._marked, self._waited = 0, 0, 0.0
        self._timeout: asyncio.Timeout | None = None
        self._is_complete = self._is_dropped = self._is_unpacking = False
        self.is_client_gone = False

    async def __call__(self) -> Any:
        if self._is_complete:  # all that can come now is that the client has gone
            return self._note_leaving(await self._receive())
        await self.hold(self._declared)
        message = self._note_leaving(await self._next())
        self._received += len(message.get("body", b""))
        if self._received - self._marked >= PROGRESS_BYTES:
            self._marked = self._received
            if self._holding is not None:
                self._holding.progress()
        if not message.get("more_body", False):
            self._complete()
            if self._received > FREE_BYTES and not self._streams:
                await self._turns.take()  # what is made of a large body keeps everybody else waiting
        await self.hold(self._received)
        return message

    async def hold_unpacked(self, total: int, limit: int) -> None:
        """As `hold`, for what is made of the bytes received: a few kilobytes may be megabytes of work.

        The first time room is taken for the largest body that there may be, and a turn. Bodies that took it step by
        step could each hold a part, and wait for each other until all are refused.
        """
        if total <= max(FREE_BYTES, self._received) or self._streams or self._is_unpacking:
            return
        self._is_unpacking = True
        await self.hold(limit)
        if self._received <= FREE_BYTES:
            await self._turns.take()

    def end_unpacking(self, total: int) -> None:
        """The body is whole: so much is held of it."""
        if self._holding is not None:
            self._held.shrink(self._holding, max(total, self._received))

    async def hold(self, total: int) -> None:
        """Hold so much in all, as sent or as decompressed; raises Busy where there is no room."""
        if total <= FREE_BYTES or self._streams:
            return
        if self._holding is None:
            self._holding = BudgetShare(self._address(), drop=None if self._is_complete else self._give_up)
        try:
            await self._held.take(self._holding, total)
        except ByteBudgetSpent:
            raise _too_much() from None

    def end(self) -> None:
        """The request has ended."""
        if self._holding is not None:
            self._held.release(self._holding)

    def _note_leaving(self, message: Any) -> Any:
        if message["type"] == "http.disconnect":
            self.is_client_gone = True
        return message

    async def _next(self) -> Any:
        if self._is_dropped:
            raise _too_much()
        begun = time.monotonic()
        left = self._grace_seconds + self._received / RATE_BYTES - self._waited
        try:
            async with asyncio.timeout(left) as self._timeout:
                return await self._receive()
        except TimeoutError:
            self._complete()
            if self._is_dropped:
                raise _too_much() from None
            telemetry.BODIES_SLOW.inc()
            raise SlowBody(
                f"The body came too slowly: {self._received} bytes in {self._waited + left:.0f} s.",
                hint=f"Send {RATE_BYTES} bytes a second at least.",
            ) from None
        finally:
            self._timeout = None
            self._waited += time.monotonic() - begun

    def _complete(self) -> None:
        self._is_complete = True
        if self._holding is not None:
            self._holding.drop = None

    def _give_up(self) -> None:
        """Somebody else needs the room, and this client sends nothing."""
        self._is_dropped = True
        if self._timeout is not None:
            self._timeout.reschedule(asyncio.get_running_loop().time())


def _too_much() -> Busy:
    return Busy("Too many large bodies are under way.", retry_after_seconds=RETRY_SECONDS)
