"""Server-sent events over ASGI, with a time limit for every send.   Stage 6 of 6.

A client that does not take a chunk within the limit is dropped. When a client disconnects, its generator ends at once.
`close` is awaited once in any case, even if no byte was sent.
A large chunk is sent in small pieces. Clients share the chunks, so a stream itself holds no more than the twenty pieces
that the server keeps for its connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from litestar.response.base import ASGIResponse

from rtaplatform import telemetry
from rtaplatform.serve.connections.deadlines import Deadlines
from rtaplatform.serve.connections.response_outlet import PIECE_BYTES

if TYPE_CHECKING:
    from litestar.types import Receive, Scope, Send


def write_event(name: str, data: bytes) -> bytes:
    """Write one event; `data` is one line of JSON."""
    return f"event: {name}\ndata: ".encode() + data + b"\n\n"


def write_answers_event(name: str, answers: bytes) -> bytes:
    """Write a live event; `answers` is their list as JSON. Empty if there are none."""
    return write_event(name, b'{"answers":' + answers + b"}") if answers else b""


def write_id_line(id: str) -> bytes:
    """Write the line that gives the following event its id."""
    return f"id: {id}\n".encode()


def write_comment(text: str) -> bytes:
    return f": {text}\n\n".encode()


def write_opening(text: str, retry_ms: int, first_id: bytes = b"") -> bytes:
    """Write a comment, and how long the browser must wait before it reconnects. `first_id` is a line
    that `write_id_line` has made, or empty."""
    return f": {text}\nretry: {retry_ms}\n".encode() + first_id + b"\n"


SMALL_PIECE_BYTES = 1 << 10


class EventStream(ASGIResponse):
    _should_set_content_length = False

    def __init__(
        self,
        chunks: AsyncGenerator[bytes, None],
        close: Callable[[], Awaitable[object]],
        deadlines: Deadlines,
        *,
        is_over: asyncio.Future[None] | None = None,
    ) -> None:
        """The stream is cut as soon as `is_over` is done, whatever the client has not taken by then."""
        super().__init__(
            media_type="text/event-stream",
            # Proxies that compress or rewrite would delay events.
            headers={"cache-control": "no-store, no-transform", "x-accel-buffering": "no"},
            status_code=200,
        )
        self.chunks, self.close, self.deadlines, self.is_over = chunks, close, deadlines, is_over

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
            ends: list[asyncio.Future[None]] = [sender, disconnect, *([self.is_over] if self.is_over else [])]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if sender.done():
                with suppress(TimeoutError, OSError):
                    sender.result()
        finally:
            sender.cancel()
            disconnect.cancel()
            await asyncio.gather(sender, disconnect, return_exceptions=True)
            # An error's frames keep this one. Without its tasks there is no cycle that waits for the garbage collector.
            del sender, disconnect, ends

    async def _send_all(self, send: Send) -> None:
        async for chunk in self.chunks:
            try:
                await self.deadlines.keep(_send_chunk(send, chunk))
            except TimeoutError:
                telemetry.LIVE_DROPPED.labels("takes_nothing").inc()
                raise
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send_chunk(send: Send, chunk: bytes) -> None:
    for piece in _split_chunk(chunk):
        await send({"type": "http.response.body", "body": piece, "more_body": True})


def _split_chunk(chunk: bytes) -> Iterator[bytes]:
    if len(chunk) <= PIECE_BYTES:
        yield chunk
        return
    for start in range(0, len(chunk), SMALL_PIECE_BYTES):
        yield chunk[start : start + SMALL_PIECE_BYTES]


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
