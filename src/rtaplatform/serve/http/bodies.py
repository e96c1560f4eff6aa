"""Read request bodies, never beyond the limit, before or after decompression.

A body is gzip if it begins like gzip, whatever `Content-Encoding` says: proxies and SDKs lose the header, or the
compression. `BodyIntake` counts the bytes that are held.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from typing import Any

from rtaplatform.core.errors import UnreadableBody, UnsupportedEncoding
from rtaplatform.serve.connections.body_intake import BodyIntake
from rtaplatform.serve.connections.body_receiver import Receive

ENCODINGS = ("", "identity", "gzip", "x-gzip")
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP = 31  # zlib's window bits for gzip's format
_PADDING = b" \t\r\n\0"
_PART_BYTES_MAX = 64 << 10  # decompressed at once, before the budget is asked for more room


class ClientDisconnected(UnreadableBody):
    """The body has no end. As a rule the client has disconnected, and nobody reads the answer."""


async def read_body(receive: Receive, encoding: str | None, limit: int) -> bytes:
    """Read and decompress the body. Raises UnreadableBody, UnsupportedEncoding, SlowBody, Busy."""
    _check_encoding(encoding)
    first = await receive()
    if is_whole_body(first, limit):
        whole: bytes = first.get("body", b"")
        return whole
    parts, total = [], 0
    async for part in _read(_ReceiveAgain(first, receive), limit):
        parts.append(part)
        total += len(part)
        if isinstance(receive, BodyIntake):
            await receive.hold_unpacked(total, limit)
    if isinstance(receive, BodyIntake):
        receive.end_unpacking(total)
    return b"".join(parts)


def stream_body(receive: Receive, encoding: str | None, limit: int) -> AsyncIterator[bytes]:
    """Yield the decompressed body in chunks of bounded size. Raises what `read_body` raises."""
    _check_encoding(encoding)
    return _read(receive, limit)


def is_whole_body(message: Any, limit: int) -> bool:
    """Whether the message is a request's whole body as the client wrote it: nothing follows, and it is not gzip."""
    if message["type"] != "http.request" or message.get("more_body", False):
        return False
    body = message.get("body", b"")
    return len(body) <= limit and not body.startswith(_GZIP_MAGIC)


class _ReceiveAgain:
    """Receives a message that is read already, then what follows it."""

    def __init__(self, first: Any, receive: Receive) -> None:
        self._first, self._receive = first, receive

    async def __call__(self) -> Any:
        if self._first is None:
            return await self._receive()
        first, self._first = self._first, None
        return first


def _check_encoding(encoding: str | None) -> None:
    if not encoding:
        return
    name = encoding.strip().lower()
    if name not in ENCODINGS:
        raise UnsupportedEncoding(
            f"Content-Encoding `{name[:50]}` is unknown.", field="Content-Encoding", allowed=["gzip", "identity"]
        )


async def _read(receive: Receive, limit: int) -> AsyncIterator[bytes]:
    head, chunks = b"", _read_chunks(receive, limit)
    async for chunk in chunks:
        head += chunk
        if len(head) >= len(_GZIP_MAGIC):
            break
    body = _prepend(head, chunks)
    async for part in _unzip(body, limit) if head.startswith(_GZIP_MAGIC) else body:
        yield part


async def _prepend(head: bytes, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield head
    async for chunk in chunks:
        yield chunk


async def _read_chunks(receive: Receive, limit: int) -> AsyncIterator[bytes]:
    total = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected("The body ends early: the client has disconnected, or its chunks cannot be read.")
        chunk = message.get("body", b"")
        total += len(chunk)
        if total > limit:
            raise UnreadableBody(f"The body has more than {limit} bytes.")
        yield chunk
        if not message.get("more_body", False):
            return


async def _unzip(chunks: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    total, unzip = 0, zlib.decompressobj(_GZIP)
    try:
        async for chunk in chunks:
            while chunk:
                if unzip.eof:
                    chunk = chunk.lstrip(_PADDING)
                    if not chunk:
                        break
                    unzip = zlib.decompressobj(_GZIP)  # another member follows, as gzip allows
                part = unzip.decompress(chunk, min(limit + 1 - total, _PART_BYTES_MAX))
                total += len(part)
                if total > limit:
                    raise UnreadableBody(f"The body has more than {limit} bytes when decompressed.")
                yield part
                chunk = unzip.unused_data if unzip.eof else unzip.unconsumed_tail
    except zlib.error as error:
        raise UnreadableBody(
            f"The body begins as gzip, but cannot be decompressed: {error}.", field="Content-Encoding"
        ) from None
    if not unzip.eof:
        raise UnreadableBody("The gzip body is cut off.", field="Content-Encoding")
