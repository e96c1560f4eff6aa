"""Receive a request's body with a time limit, and count the bytes of it that are held.

A body may take GRACE_SECONDS, and a second more for each RATE_BYTES received. Only time spent waiting for the client
counts. A body that is too slow is answered with 408, one that finds no room with 503. Both close the connection.

The server ends each body with an empty message. A body of declared length is complete without it, and the handler does
not wait for it: to take one message from the server costs as much as a fifth of a collecting call.
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
from rtaplatform.serve.connections.deadlines import Deadlines

GRACE_SECONDS = 15.0
RATE_BYTES = 4 << 10
PROGRESS_BYTES = 16 << 10
RETRY_SECONDS = 2

Receive = Callable[[], Awaitable[Any]]


class BodyIntake:
    """ASGI's `receive` of one request. `streams` means that the handler never holds the whole body."""

    def __init__(
        self,
        receive: Receive,
        budget: ByteBudget,
        address: Callable[[], str],
        *,
        turns: CooperativeQueue | None = None,
        deadlines: Deadlines | None = None,
        declared: int = 0,
        streams: bool = False,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self._receive, self._budget, self._address = receive, budget, address
        self._declared, self._streams, self._grace_seconds = declared, streams, grace_seconds
        self._share: BudgetShare | None = None
        self._turns = turns or CooperativeQueue()
        self._deadlines = deadlines or Deadlines(grace_seconds)
        self._received, self._marked, self._waited = 0, 0, 0.0
        self._receiving: asyncio.Task[Any] | None = None  # the task that waits for the client
        self._is_complete = self._is_dropped = self._is_unpacking = self._has_empty_end = False
        self.is_client_gone = False

    async def __call__(self) -> Any:
        if self._is_complete:
            return await self._receive_disconnect()
        if self._declared > FREE_BYTES:
            await self.hold(self._declared)
        message = self._note_disconnect(await self._receive_in_time())
        self._received += len(message.get("body", b""))
        if self._received - self._marked >= PROGRESS_BYTES:
            self._marked = self._received
            if self._share is not None:
                self._share.note_progress()
        if message.get("more_body", False) and self._received == self._declared:
            message, self._has_empty_end = {**message, "more_body": False}, True
        if not message.get("more_body", False):
            self._complete()
            if self._received > FREE_BYTES and not self._streams:
                await self._turns.take()  # decoding a large body blocks the event loop
        if self._received > FREE_BYTES:
            await self.hold(self._received)
        return message

    async def hold_unpacked(self, total: int, limit: int) -> None:
        """Hold room for decompressed bytes: a few kilobytes received may become megabytes.

        The first call takes room for the largest body allowed, and a turn. Bodies that took room step by step could
        each hold a part, and wait for each other until all are refused.
        """
        if total <= max(FREE_BYTES, self._received) or self._streams or self._is_unpacking:
            return
        self._is_unpacking = True
        await self.hold(limit)
        if self._received <= FREE_BYTES:
            await self._turns.take()

    def end_unpacking(self, total: int) -> None:
        """The body is complete: hold only this many bytes from now on."""
        if self._share is not None:
            self._budget.shrink(self._share, max(total, self._received))

    async def hold(self, total: int) -> None:
        """Hold `total` bytes of this body from now on. Raises Busy if there is no room."""
        if total <= FREE_BYTES or self._streams:
            return
        if self._share is None:
            self._share = BudgetShare(self._address(), drop=None if self._is_complete else self._give_up)
        try:
            await self._budget.take(self._share, total)
        except ByteBudgetSpent:
            raise _make_busy_error() from None

    def end(self) -> None:
        """The request has ended."""
        if self._share is not None:
            self._budget.release(self._share)

    def _note_disconnect(self, message: Any) -> Any:
        if message["type"] == "http.disconnect":
            self.is_client_gone = True
        return message

    async def _receive_disconnect(self) -> Any:
        """Receive what is left once the body is complete: that the client has disconnected."""
        message = await self._receive()
        if self._has_empty_end and message["type"] == "http.request":
            message = await self._receive()
        return self._note_disconnect(message)

    async def _receive_in_time(self) -> Any:
        if self._is_dropped:
            raise _make_busy_error()
        start = time.monotonic()
        seconds_left = self._grace_seconds + self._received / RATE_BYTES - self._waited
        self._receiving = asyncio.current_task()
        try:
            return await self._deadlines.keep(self._receive(), seconds_left)
        except TimeoutError:
            self._complete()
            if self._is_dropped:
                raise _make_busy_error() from None
            telemetry.BODIES_SLOW.inc()
            raise SlowBody(
                f"The body came too slowly: {self._received} bytes in {self._waited + seconds_left:.0f} s.",
                hint=f"Send {RATE_BYTES} bytes a second at least.",
            ) from None
        finally:
            self._receiving = None
            self._waited += time.monotonic() - start

    def _complete(self) -> None:
        self._is_complete = True
        if self._share is not None:
            self._share.drop = None

    def _give_up(self) -> None:
        """Give up this body: another request needs the room, and this client sends nothing."""
        self._is_dropped = True
        if self._receiving is not None:
            self._deadlines.expire(self._receiving)


def _make_busy_error() -> Busy:
    return Busy("Too many large bodies are under way.", retry_after_seconds=RETRY_SECONDS)
