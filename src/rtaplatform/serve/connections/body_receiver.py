"""Receive the messages of a request's body, each within the time that is left for the body.

A body may take GRACE_SECONDS, and a second more for each RATE_BYTES received. Only time spent waiting for the client
counts.

The server ends each body with an empty message. A body of declared length is complete without it, and nobody waits for
it: to take one message from the server costs a fifth of a collecting call.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from rtaplatform import telemetry
from rtaplatform.core.errors import Busy, SlowBody
from rtaplatform.serve.connections.deadlines import Deadlines

GRACE_SECONDS = 15.0
RATE_BYTES = 4 << 10
RETRY_SECONDS = 2

Receive = Callable[[], Awaitable[Any]]


class BodyReceiver:
    """`declared` is the Content-Length, 0 if there is none. `received` counts the bytes so far."""

    def __init__(
        self, receive: Receive, deadlines: Deadlines | None, *, length: int = 0, grace_seconds: float = GRACE_SECONDS
    ) -> None:
        self._receive, self._deadlines = receive, deadlines or Deadlines(grace_seconds)
        self._length, self._grace_seconds = length, grace_seconds
        self._waited_seconds = 0.0
        self._task: asyncio.Task[Any] | None = None  # the one that waits for the client
        self._is_given_up = self._has_empty_end = False
        self.received = 0
        self.is_complete = self.is_client_gone = False

    async def receive(self) -> Any:
        """Receive the next message of the body. Raises SlowBody, and Busy if the body has been given up."""
        if self._is_given_up:
            raise make_busy_error()
        start = time.monotonic()
        seconds_left = self._grace_seconds + self.received / RATE_BYTES - self._waited_seconds
        self._task = asyncio.current_task()
        try:
            message = await self._deadlines.keep(self._receive(), seconds_left)
        except TimeoutError:
            self.is_complete = True
            if self._is_given_up:
                raise make_busy_error() from None
            telemetry.BODIES_SLOW.inc()
            raise SlowBody(
                f"The body came too slowly: {self.received} bytes in {self._waited_seconds + seconds_left:.0f} s.",
                hint=f"Send {RATE_BYTES} bytes a second at least.",
            ) from None
        finally:
            self._task = None
            self._waited_seconds += time.monotonic() - start
        return self._note(message)

    async def receive_disconnect(self) -> Any:
        """Receive what is left once the body is complete: that the client has disconnected."""
        message = await self._receive()
        if self._has_empty_end and message["type"] == "http.request":
            message = await self._receive()
        return self._note(message)

    def give_up(self) -> None:
        """Give up this body: another request needs the room, and this client sends nothing."""
        self._is_given_up = True
        if self._task is not None:
            self._deadlines.expire(self._task)

    def _note(self, message: Any) -> Any:
        """Count the message's bytes. The message with the last declared byte is the last one."""
        if message["type"] == "http.disconnect":
            self.is_client_gone = True
        self.received += len(message.get("body", b""))
        if not message.get("more_body", False):
            self.is_complete = True
        elif self._length and self.received == self._length:
            self.is_complete = self._has_empty_end = True
            return {**message, "more_body": False}
        return message


def make_busy_error() -> Busy:
    return Busy("Too many large bodies are under way.", retry_after_seconds=RETRY_SECONDS)
