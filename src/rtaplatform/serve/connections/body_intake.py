"""Receive a request's body with a time limit, and count the bytes of it that are held.

A body that is too slow (`body_receiver.py`) is answered with 408, one that finds no room with 503. Both close the
connection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rtaplatform.collect.cooperative_queue import CooperativeQueue
from rtaplatform.serve.connections.body_receiver import GRACE_SECONDS, BodyReceiver, Receive, make_busy_error
from rtaplatform.serve.connections.byte_budget import FREE_BYTES, BudgetShare, ByteBudget, ByteBudgetSpent
from rtaplatform.serve.connections.deadlines import Deadlines

PROGRESS_BYTES = 16 << 10
BODY_BYTES_MAX = 4 << 20  # of a body that is held as a whole


class BodyIntake:
    """ASGI's `receive` of one request. `streams` means that the handler never holds the whole body.

    `held_max`: no handler holds more. What a client declares beyond it takes no room: it may send nothing at all.
    """

    def __init__(
        self,
        receive: Receive,
        budget: ByteBudget,
        address: Callable[[], str],
        *,
        turns: CooperativeQueue | None = None,
        deadlines: Deadlines | None = None,
        length: int = 0,
        held_max: int = BODY_BYTES_MAX,
        streams: bool = False,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self._receiver = BodyReceiver(receive, deadlines, length=length, grace_seconds=grace_seconds)
        self._budget, self._address, self._streams = budget, address, streams
        self._bytes_expected, self._bytes_marked = min(length, held_max), 0
        self._share: BudgetShare | None = None
        self._turns = turns or CooperativeQueue()
        self._is_unpacking = False

    @property
    def is_client_gone(self) -> bool:
        return self._receiver.is_client_gone

    async def __call__(self) -> Any:
        receiver = self._receiver
        if receiver.is_complete:
            return await receiver.receive_disconnect()
        if self._bytes_expected > FREE_BYTES:
            await self.hold(self._bytes_expected)
        try:
            message = await receiver.receive()
        finally:
            if receiver.is_complete and self._share is not None:
                self._share.drop = None
        bytes_received = receiver.received
        if self._share is not None and bytes_received - self._bytes_marked >= PROGRESS_BYTES:
            self._bytes_marked = bytes_received
            self._share.note_progress()
        if receiver.is_complete and bytes_received > FREE_BYTES and not self._streams:
            await self._turns.take()  # decoding a large body blocks the event loop
        if bytes_received > FREE_BYTES:
            await self.hold(bytes_received)
        return message

    async def hold_unpacked(self, total: int, limit: int) -> None:
        """Hold room for decompressed bytes: a few kilobytes received may become megabytes.

        The first call takes room for the largest body allowed, and a turn. Bodies that took room step by step could
        each hold a part, and wait for each other until all are refused.
        """
        if total <= max(FREE_BYTES, self._receiver.received) or self._streams or self._is_unpacking:
            return
        self._is_unpacking = True
        await self.hold(limit)
        if self._receiver.received <= FREE_BYTES:
            await self._turns.take()

    def end_unpacking(self, total: int) -> None:
        """The body is complete: hold only this many bytes from now on."""
        if self._share is not None:
            self._budget.shrink(self._share, max(total, self._receiver.received))

    async def hold(self, total: int) -> None:
        """Hold `total` bytes of this body from now on. Raises Busy if there is no room."""
        if total <= FREE_BYTES or self._streams:
            return
        if self._share is None:
            drop = None if self._receiver.is_complete else self._receiver.give_up
            self._share = BudgetShare(self._address(), drop=drop)
        try:
            await self._budget.take(self._share, total)
        except ByteBudgetSpent:
            raise make_busy_error() from None

    def end(self) -> None:
        """The request has ended."""
        if self._share is not None:
            self._budget.release(self._share)
