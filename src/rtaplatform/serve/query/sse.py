"""Server-sent events over ASGI, with a time limit for every send.   Stage 6 of 6.

A client that does not take a chunk within the limit is dropped. When a client disconnects, its generator ends at once.
`close` is awaited once in any case, even if no byte was sent.
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
    """Write one event; `data` is one line of JSON."""
    return f"event: {name}\ndata: ".encode() + data + b"\n\n"


def id_line(id: str) -> bytes:
    """Write the line that gives the following event its id."""
    return f"id: {id}\n".encode()


def comment(text: str) -> bytes:
    return f": {text}\n\n".encode()


def opening(text: str, retry_ms: int) -> bytes:
    """Write a comment, and how long the browser must wait before it reconnects."""
    return f": {text}\nretry: {retry_ms}\n\n".encode()


class EventStream(ASGIResponse):
    _should_set_content_length = False

    def __init__(
        self, chunks: AsyncGenerator[bytes, None], close: Callable[[], Awaitable[object]], *, send_timeout_s: float
    ) -> None:
        super().__init__(
            media_type="text/event-stream",
            # Proxies that compress or rewrite would delay events.
            headers={"cache-control": "no-store, no-transform", "x-accel-buffering": "no"},
            status_code=200,
        )
        self.chunks, self.close, self.send_timeout_s = chunks, close, send_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self.chunks.aclose()
            await self.close()

    async def send_body(self, send: Send, receive: Receive) -> None:
        sender = asyncio.create_task(self._send_all(send))
        disconnect = asyncio.create_task(_wait_for_disconnect(receive))
        try:
            await asyncio.wait((sender, disconnect), return_when=asyncio.FIRST_COMPLETED)
            if sender.done():
                with suppress(TimeoutError, OSError):
                    sender.result()
        finally:
            for task in (sender, disconnect):
                task.cancel()
            await asyncio.gather(sender, disconnect, return_exceptions=True)

    async def _send_all(self, send: Send) -> None:
        async for chunk in self.chunks:
            try:
                async with asyncio.timeout(self.send_timeout_s):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            except TimeoutError:
                telemetry.LIVE_DROPPED.labels("takes_nothing").inc()
                raise
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
