"""An answer as it goes: in pieces, each with a time limit, and with what is held of it counted.

The server takes a piece at once as long as its own buffers have room. They are small, so a client that reads nothing is
noticed by the piece that waits. Its connection is then cut: the server would keep what it has of the answer for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from rtaplatform.core.errors import Busy
from rtaplatform.serve.connections.byte_budget import FREE_BYTES, BudgetShare, ByteBudget, ByteBudgetSpent
from rtaplatform.serve.http.problems import problem_messages

PIECE_BYTES = 8 << 10
STALLED_SECONDS_MAX = 20.0

Send = Callable[[Any], Awaitable[None]]


class ResponseOutlet:
    """ASGI's `send` of one request, for the application; `send` is what comes next. `cut` cuts its connection."""

    def __init__(
        self,
        send: Send,
        held: ByteBudget,
        address: Callable[[], str],
        *,
        cut: Callable[[], None],
        is_head: bool = False,
        stalled_seconds_max: float = STALLED_SECONDS_MAX,
    ) -> None:
        self._send, self._held, self._address, self._cut, self._is_head = send, held, address, cut, is_head
        self._stalled_seconds_max = stalled_seconds_max
        self._holding: BudgetShare | None = None
        self._start: Any = None
        self._timeout: asyncio.Timeout | None = None
        self._has_started, self._is_done = False, False

    async def __call__(self, message: Any) -> None:
        if self._is_done:
            return
        if message["type"] != "http.response.body":
            self._start = message
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._is_head:
            body, more = b"", False
        if not more and len(body) <= PIECE_BYTES:  # the server has room for one
            self._is_done = True
            await self._send_start()
            await self._send({"type": "http.response.body", "body": body})
            return
        if len(body) > FREE_BYTES and not await self._finds_room(len(body)):
            return
        await self._send_start()
        await self._send_pieces(body, more)

    def end(self, *, is_client_gone: bool) -> None:
        """The request has ended. An answer that is not whole by now never will be."""
        if self._has_started and not self._is_done and not is_client_gone:
            self._cut()

    async def answer_instead(self, error: Busy) -> None:
        """Answer with the error, or close the connection where another answer has begun."""
        if self._is_done:
            return
        self._is_done = True
        if self._has_started:
            self._cut()
            return
        for message in problem_messages(error):
            await self._send(message)

    # inside ----------------------------------------------------------------------------------------------------

    async def _finds_room(self, size: int) -> bool:
        self._holding = self._holding or BudgetShare(self._address(), drop=self._give_up)
        self._holding.progress()
        try:
            await self._held.take(self._holding, size)
        except ByteBudgetSpent:
            await self.answer_instead(Busy("Too many large answers are under way."))
            return False
        return True

    async def _send_start(self) -> None:
        if not self._has_started:
            self._has_started = True
            await self._send(self._start)

    async def _send_pieces(self, body: bytes, more: bool) -> None:
        try:
            for at in range(0, max(1, len(body)), PIECE_BYTES):
                is_last = at + PIECE_BYTES >= len(body)
                piece = body if is_last and not at else body[at : at + PIECE_BYTES]
                async with asyncio.timeout(self._stalled_seconds_max) as self._timeout:
                    await self._send({"type": "http.response.body", "body": piece, "more_body": more or not is_last})
                if self._holding is not None:
                    self._holding.progress()
            self._is_done = not more
        except TimeoutError:
            self._is_done = True
            self._cut()
            if more:  # whoever makes a stream must learn that nobody takes it
                raise
        finally:
            self._timeout = None
            if self._holding is not None:
                self._held.release(self._holding)

    def _give_up(self) -> None:
        """Somebody else needs the room, and this client takes nothing."""
        if self._timeout is not None:
            self._timeout.reschedule(asyncio.get_running_loop().time())
