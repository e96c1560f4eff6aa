"""Read request bodies, never beyond the limit, before or after decompression.

A body is gzip if it begins like gzip, whatever `Content-Encoding` says: proxies and SDKs lose the header, or the
compression. `BodyIntake` counts the bytes that are held.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator

from rtaplatform.core.errors import UnreadableBody, UnsupportedEncoding
from rtaplatform.serve.connections.body_intake import BodyIntake, Receive

ENCODINGS = ("", "identity", "gzip", "x-gzip")
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP = 31  # zlib's window bits for gzip's format
_PADDING = b" \t\r\n\0"
_PART_BYTES_MAX = 64 << 10  # decompressed at once, before the budget is asked for more room


class ClientDisconnected(UnreadableBody):
    """The client has disconnected, and nobody reads the answer."""


async def read_body(receive: Receive, encoding: str | None, limit: int) -> bytes:
    """Read and decompress the body. Raises UnreadableBody, UnsupportedEncoding, SlowBody, Busy."""
    parts, total = [], 0
    async for part in stream_body(receive, encoding, limit):
        parts.append(part)
        total += len(part)
        if isinstance(receive, BodyIntake):
            await receive.hold_unpacked(total, limit)
    if isinstance(receive, BodyIntake):
        receive.end_unpacking(total)
    return b"".join(parts)


def stream_body(receive: Receive, encoding: str | None, limit: int) -> AsyncIterator[bytes]:
    """Yield the decompressed body in chunks of bounded size. Raises what `read_body` raises."""
    name = (encoding or "").strip().lower()
    if name not in ENCODINGS:
        raise UnsupportedEncoding(
            f"Content-Encoding `{name[:50]}` is unknown.", field="Content-Encoding", allowed=["gzip", "identity"]
        )
    return _read(receive, limit)


async def _read(receive: Receive, limit: int) -> AsyncIterator[bytes]:
    head, chunks = b"", _chunks(receive, limit)
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


async def _chunks(receive: Receive, limit: int) -> AsyncIterator[bytes]:
    total = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected("The client went away.")
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
