"""Send a response in pieces, each with a time limit, and count the bytes of it that are held.

The server accepts a piece at once while its own buffers have room. They are small, so a piece that has to wait shows
that the client reads nothing. Its connection is then cut; otherwise the server would keep the response for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from rtaplatform.core.errors import Busy
from rtaplatform.serve.connections.byte_budget import FREE_BYTES, BudgetShare, ByteBudget, ByteBudgetSpent
from rtaplatform.serve.connections.deadlines import Deadlines
from rtaplatform.serve.http.problems import write_problem

PIECE_BYTES = 8 << 10

Send = Callable[[Any], Awaitable[None]]


class ResponseOutlet:
    """ASGI's `send` of one request, as the application sees it. `send` is the next layer; `cut` cuts the connection."""

    def __init__(
        self,
        send: Send,
        budget: ByteBudget,
        address: Callable[[], str],
        *,
        cut: Callable[[], None],
        deadlines: Deadlines,
        is_head: bool = False,
    ) -> None:
        self._send, self._budget, self._address, self._cut, self._is_head = send, budget, address, cut, is_head
        self._deadlines = deadlines
        self._share: BudgetShare | None = None
        self._start: Any = None
        self._sending: asyncio.Task[Any] | None = None
        self._has_started, self._is_done = False, False

    async def __call__(self, message: Any) -> None:
        if self._is_done:
            return
        if message["type"] != "http.response.body":
            self._start = message
            return
        body, has_more = message.get("body", b""), message.get("more_body", False)
        if self._is_head:
            body, has_more = b"", False
        if not has_more and len(body) <= PIECE_BYTES:  # the server has room for one piece
            self._is_done = True
            await self._send_start()
            await self._send({"type": "http.response.body", "body": body})
            return
        if len(body) > FREE_BYTES and not await self._take_room(len(body)):
            return
        await self._send_start()
        await self._send_pieces(body, has_more)

    def end(self, *, is_client_gone: bool) -> None:
        """The request has ended. Cut the connection if the response is incomplete: nothing more will come."""
        if self._has_started and not self._is_done and not is_client_gone:
            self._cut()

    async def answer_instead(self, error: Busy) -> None:
        """Send an error response. If another response has begun, cut the connection."""
        if self._is_done:
            return
        self._is_done = True
        if self._has_started:
            self._cut()
            return
        for message in write_problem(error):
            await self._send(message)

    # inside ----------------------------------------------------------------------------------------------------

    async def _take_room(self, size: int) -> bool:
        self._share = self._share or BudgetShare(self._address(), drop=self._give_up)
        self._share.note_progress()
        try:
            await self._budget.take(self._share, size)
        except ByteBudgetSpent:
            await self.answer_instead(Busy("Too many large answers are under way."))
            return False
        return True

    async def _send_start(self) -> None:
        if not self._has_started:
            self._has_started = True
            await self._send(self._start)

    async def _send_pieces(self, body: bytes, has_more: bool) -> None:
        self._sending = asyncio.current_task()
        try:
            for start in range(0, max(1, len(body)), PIECE_BYTES):
                is_last = start + PIECE_BYTES >= len(body)
                piece = body if is_last and not start else body[start : start + PIECE_BYTES]
                message = {"type": "http.response.body", "body": piece, "more_body": has_more or not is_last}
                await self._deadlines.keep(self._send(message))
                if self._share is not None:
                    self._share.note_progress()
            self._is_done = not has_more
        except TimeoutError:
            self._is_done = True
            self._cut()
            if has_more:  # the producer of a stream must learn that nobody reads it
                raise
        finally:
            self._sending = None
            if self._share is not None:
                self._budget.release(self._share)

    def _give_up(self) -> None:
        """Give up this response: another one needs the room, and this client reads nothing."""
        if self._sending is not None:
            self._deadlines.expire(self._sending)
