"""The sending side of one socket: one message at a time, each with a time limit.   Stage 6 of 6.

Nothing is queued. Whoever has something to say waits for its turn, and then says the newest. So a slow client gets
fewer updates, and holds no memory. A client that takes a message too slowly is cut. Whoever gives a client up waits
until the connection is cut: the server then closes it at once, with whatever the client has not read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NoReturn

from rtaplatform import telemetry
from rtaplatform.serve.connections.byte_budget import BudgetShare, ByteBudget, ByteBudgetSpent
from rtaplatform.serve.connections.deadlines import Deadlines

END_SECONDS_MAX = 1.0
CUT_SECONDS_MAX = 1.0  # where there is no guard, the socket ends without a cut
SEND_SECONDS_MIN = 5.0  # for who has waited long for room
COPIES = 2  # of a message, while it is sent: ours until the server has its own, then that and its frame

SendMessage = Callable[[Any], Awaitable[None]]


class SocketGone(Exception):
    """The client has disconnected, or takes nothing. The socket has ended."""


def forget_frames(end: BaseException) -> None:
    """Let go of the frames of an end that was expected.

    Frames, tasks and errors refer to each other. Without this the server's connection, and the message that was being
    sent, would stay until the garbage collector runs.
    """
    error: BaseException | None = end
    while error is not None:
        error.__traceback__ = None
        for member in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
            forget_frames(member)
        error = error.__context__


class SocketLine:
    """`cut` cuts the connection at once. `address` is the client's, in whose name messages take room in the budget."""

    def __init__(
        self, send: SendMessage, cut: Callable[[], None], *, deadlines: Deadlines, budget: ByteBudget, address: str
    ) -> None:
        self._send, self._cut = send, cut
        self._deadlines, self._budget, self._address = deadlines, budget, address
        self._lock = asyncio.Lock()
        self._waited_s = 0.0  # for room, for the message that is being sent
        self._is_over = self._is_silent = False

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Callable[[str], Awaitable[None]]]:
        """Wait for a turn. Yields a function that sends a message. Raises SocketGone."""
        async with self._lock:
            if self._is_over:
                raise SocketGone
            yield self._send_text

    @asynccontextmanager
    async def hold_room(self, size: int) -> AsyncIterator[None]:
        """Wait until a message of this size may be made and sent, inside. Raises SocketGone.

        The server takes a message whole and keeps it until the client has read it, so large ones take room in a budget.
        While others wait for room, a client that reads nothing is cut. Waiting takes from the time for sending, so that
        all of many clients that read nothing are gone after one time limit.
        """
        share, start_s = BudgetShare(self._address, drop=self._give_up), time.monotonic()
        if not await self._take_room(share, COPIES * size):
            await self._give_up_and_wait()
        try:
            self._waited_s = time.monotonic() - start_s
            share.note_progress()  # it may have waited, but has not been slow
            yield
        finally:
            self._waited_s = 0.0
            self._budget.release(share)

    async def _take_room(self, share: BudgetShare, size: int) -> bool:
        try:
            await self._budget.take(share, size)
        except ByteBudgetSpent:
            return False
        return True

    def note_silence(self) -> None:
        """Count the client among those that take nothing, once."""
        if not (self._is_silent or self._is_over):
            self._is_silent = True
            telemetry.LIVE_DROPPED.labels("takes_nothing").inc()

    def _give_up(self) -> None:
        self.note_silence()
        if not self._is_over:
            self.cut()

    def cut(self) -> None:
        """Cut the connection now, whatever the client has not read."""
        self._is_over = True
        self._cut()

    async def _give_up_and_wait(self) -> NoReturn:
        """Give the client up. The socket's reader ends the socket as soon as the connection is cut."""
        self._give_up()
        await asyncio.sleep(CUT_SECONDS_MAX)
        raise SocketGone

    async def say(self, text: str) -> None:
        """Send one message. Raises SocketGone."""
        async with self.turn() as send:
            await send(text)

    async def end(self, code: int, *last_words: str) -> NoReturn:
        """Send the last messages and close the socket. A client that does not take them is cut. Raises SocketGone."""
        if not await self._close(code, last_words):
            self.cut()
            await asyncio.sleep(CUT_SECONDS_MAX)
        raise SocketGone

    async def _close(self, code: int, last_words: Sequence[str]) -> bool:
        """Whether the client took the messages, or has left."""
        try:
            async with asyncio.timeout(END_SECONDS_MAX), self._lock:
                if not self._is_over:
                    self._is_over = True
                    for text in last_words:
                        await self._send({"type": "websocket.send", "text": text})
                    await self._send({"type": "websocket.close", "code": code, "reason": ""})
        except TimeoutError:
            return False
        except (OSError, RuntimeError):  # the client has left
            self._is_over = True
        return True

    def _send_text(self, text: str) -> Awaitable[None]:
        # No frame that waits holds the text: the channel drops it as soon as the server has its own copy.
        return self._send_message({"type": "websocket.send", "text": text})

    async def _send_message(self, message: dict[str, str]) -> None:
        if not await self._takes(message):
            await self._give_up_and_wait()

    async def _takes(self, message: dict[str, str]) -> bool:
        """Whether the client takes this message in time. Raises SocketGone."""
        try:
            limit_s = self._deadlines.seconds_max
            seconds_max = max(limit_s - self._waited_s, min(SEND_SECONDS_MIN, limit_s))
            await self._deadlines.keep(self._send(message), seconds_max)
        except TimeoutError:
            return False
        except (OSError, RuntimeError):
            self._is_over = True
            raise SocketGone from None
        return True
