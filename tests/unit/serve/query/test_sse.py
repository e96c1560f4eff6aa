"""How a stream's chunks are sent: the server keeps some pieces of each stream, so large chunks come in small ones."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from rtaplatform.serve.connections.deadlines import Deadlines
from rtaplatform.serve.connections.response_outlet import PIECE_BYTES
from rtaplatform.serve.query.sse import SMALL_PIECE_BYTES, EventStream

PIECES_OF_A_SERVER = 20  # as many as granian and hyper keep of one response
KEPT_BYTES_MAX = 24 << 10


@pytest.mark.parametrize("size", [1, PIECE_BYTES, PIECE_BYTES + 1, 300_000])
async def test_the_server_keeps_little_of_a_large_chunk(size: int) -> None:
    chunk, sent = bytes(range(256)) * (size // 256 + 1), list[bytes]()

    async def make_chunks() -> AsyncGenerator[bytes, None]:
        yield chunk[:size]

    async def send(message: Any) -> None:
        sent.append(message["body"])

    async def close() -> None: ...

    await EventStream(make_chunks(), close, Deadlines(10.0)).send_body(send, asyncio.Event().wait)  # type: ignore[arg-type]
    *pieces, end = sent
    assert (b"".join(pieces), end) == (chunk[:size], b"")
    assert len(pieces) == 1 or PIECES_OF_A_SERVER * max(map(len, pieces)) <= KEPT_BYTES_MAX
    assert max(map(len, pieces)) <= max(SMALL_PIECE_BYTES, min(size, PIECE_BYTES))


async def test_a_stream_whose_client_takes_nothing_is_let_go_at_once() -> None:
    """Else its messages, and the server's part of it, would stay until the garbage collector runs."""

    async def make_chunks() -> AsyncGenerator[bytes, None]:
        yield b"news"

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    async def close() -> None: ...

    stream = EventStream(make_chunks(), close, Deadlines(0.01, look_seconds=0.01))
    chunks_reference = weakref.ref(stream.chunks)
    gc.disable()
    try:
        await stream({}, asyncio.Event().wait, send)  # type: ignore[arg-type]
        del stream
        await asyncio.sleep(0)
        assert chunks_reference() is None
    finally:
        gc.enable()
