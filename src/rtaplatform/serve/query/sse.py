"""Server-sent events over ASGI, with a time limit for every send.   Stage 6 of 6.

A client that does not take a chunk within the limit is dropped; one that goes away ends its generator at once.
Whatever happens, `done` is awaited once, also where the first byte was never sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from litestar.response.base import ASGIResponse

from rtaplatform import telemetry

if TYPE_CHECKING:
    from litestar.types import Receive, Scope, Send


def event(name: str, data: bytes) -> bytes:
    """One event; `data` is one line of JSON."""
    return f"event: {name}\ndata: ".encode() + data + b"\n\n"


def id_line(id: str) -> bytes:
    """What goes before an event that has an id."""
    return f"id: {id}\n".encode()


def comment(text: str) -> bytes:
    return f": {text}\n\n".encode()


def opening(text: str, retry_ms: int) -> bytes:
    """A comment, and how long a browser waits before it reconnects."""
    return f": {text}\nretry: {retry_ms}\n\n".encode()


class EventStream(ASGIResponse):
    _should_set_content_length = False

    def __init__(
        self, chunks: AsyncGenerator[bytes, None], done: Callable[[], Awaitable[object]], *, send_timeout_s: float
    ) -> None:
        super().__init__(
            media_type="text/event-stream",
            # Proxies that compress or rewrite would hold events back.
            headers={"cache-control": "no-store, no-transform", "x-accel-buffering": "no"},
            status_code=200,
        )
        self.chunks, self.done, self.send_timeout_s = chunks, done, send_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self.chunks.aclose()
            await self.done()

    async def send_body(self, send: Send, receive: Receive) -> None:
        sending = asyncio.create_task(self._send_all(send))
        leaving = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                with suppress(TimeoutError, OSError):
                    sending.result()
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)

    async def _send_all(self, send: Send) -> None:
        async for chunk in self.chunks:
            try:
                async with asyncio.timeout(self.send_timeout_s):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            except TimeoutError:
                telemetry.LIVE_DROPPED.labels("takes_nothing").inc()
                raise
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
