"""The sending side of one socket: one message at a time, each with a time limit.   Stage 6 of 6.

Nothing is queued. Whoever has something to say waits for its turn, and then says the newest. So a slow client gets
fewer updates, and holds no memory. A client that takes a message too slowly is cut.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NoReturn

from rtaplatform import telemetry
from rtaplatform.serve.connections.byte_budget import BudgetShare, ByteBudget, ByteBudgetSpent
from rtaplatform.serve.connections.deadlines import Deadlines

END_SECONDS_MAX = 1.0
SEND_SECONDS_MIN = 5.0  # for who has waited long for room
COPIES = 2  # of a message, while it is sent: our own, and the server's

SendMessage = Callable[[Any], Awaitable[None]]


class SocketGone(Exception):
    """The client has disconnected, or takes nothing. The socket has ended."""


class SocketLine:
    """`cut` cuts the connection at once. `address` is the client's, in whose name messages take room in the budget."""

    def __init__(
        self, send: SendMessage, cut: Callable[[], None], *, deadlines: Deadlines, budget: ByteBudget, address: str
    ) -> None:
        self._send, self._cut = send, cut
        self._deadlines, self._budget, self._address = deadlines, budget, address
        self._lock = asyncio.Lock()
        self._waited_s = 0.0  # for room, for the message that is being sent
        self._is_over = False

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Callable[[str], Awaitable[None]]]:
        """Wait for a turn. Yields a function that sends a message. Raises SocketGone."""
        async with self._lock:
            if self._is_over:
                raise SocketGone
            yield self._send_text

    @asynccontextmanager
    async def room_for(self, size: int) -> AsyncIterator[None]:
        """Wait until a message of this size may be made and sent, inside. Raises SocketGone.

        The server takes a message whole and keeps it until the client has read it, so large ones take room in a budget.
        While others wait for room, a client that reads nothing is cut. Waiting takes from the time for sending, so that
        all of many clients that read nothing are gone after one time limit.
        """
        share, start_s = BudgetShare(self._address, drop=self._give_up), time.monotonic()
        try:
            await self._budget.take(share, COPIES * size)
            self._waited_s = time.monotonic() - start_s
            share.progress()  # it may have waited, but has not been slow
            yield
        except ByteBudgetSpent:
            self._give_up()
            raise SocketGone from None
        finally:
            self._waited_s = 0.0
            self._budget.release(share)

    def _give_up(self) -> None:
        telemetry.LIVE_DROPPED.labels("takes_nothing").inc()
        self._is_over = True
        self._cut()

    async def say(self, text: str) -> None:
        """Send one message. Raises SocketGone."""
        async with self.turn() as send:
            await send(text)

    async def end(self, code: int, *last_words: str) -> NoReturn:
        """Send the last messages and close the socket. A client that does not take them is cut. Raises SocketGone."""
        try:
            async with asyncio.timeout(END_SECONDS_MAX), self._lock:
                if not self._is_over:
                    self._is_over = True
                    for text in last_words:
                        await self._send({"type": "websocket.send", "text": text})
                    await self._send({"type": "websocket.close", "code": code, "reason": ""})
        except TimeoutError:
            self._is_over = True
            self._cut()
        except (OSError, RuntimeError):  # the client has left
            self._is_over = True
        raise SocketGone

    async def _send_text(self, text: str) -> None:
        try:
            limit_s = self._deadlines.seconds_max
            seconds_max = max(limit_s - self._waited_s, min(SEND_SECONDS_MIN, limit_s))
            await self._deadlines.keep(self._send({"type": "websocket.send", "text": text}), seconds_max)
        except TimeoutError:
            self._give_up()
            raise SocketGone from None
        except (OSError, RuntimeError):
            self._is_over = True
            raise SocketGone from None
