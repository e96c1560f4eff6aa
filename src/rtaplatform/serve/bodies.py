"""Request bodies, read as they come and never held beyond the limit, before or after decompression."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from rtaplatform.core.errors import UnreadableBody, UnsupportedEncoding

Receive = Callable[[], Awaitable[Any]]
_GZIP = 31  # zlib's window bits for gzip's format
_PART_BYTES_MAX = 1 << 20


class Disconnected(UnreadableBody):
    """The client went away; nobody reads the answer."""


async def read_body(receive: Receive, encoding: str | None, limit: int) -> bytes:
    """The body, decompressed; raises UnreadableBody, UnsupportedEncoding."""
    return b"".join([chunk async for chunk in stream_body(receive, encoding, limit)])


def stream_body(receive: Receive, encoding: str | None, limit: int) -> AsyncIterator[bytes]:
    """The body as it comes, in chunks of bounded size, decompressed; raises UnreadableBody, UnsupportedEncoding."""
    named = (encoding or "").strip().lower()
    if named not in ("", "identity", "gzip", "x-gzip"):
        raise UnsupportedEncoding(
            f"Content-Encoding `{named[:50]}` is unknown.", field="Content-Encoding", allowed=["gzip", "identity"]
        )
    return _chunks(receive, limit) if named in ("", "identity") else _unzip(receive, limit)


async def _chunks(receive: Receive, limit: int) -> AsyncIterator[bytes]:
    total = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected("The client went away.")
        chunk = message.get("body", b"")
        total += len(chunk)
        if total > limit:
            raise UnreadableBody(f"The body has more than {limit} bytes.")
        yield chunk
        if not message.get("more_body", False):
            return


async def _unzip(receive: Receive, limit: int) -> AsyncIterator[bytes]:
    total, unzip = 0, zlib.decompressobj(_GZIP)
    try:
        async for chunk in _chunks(receive, limit):
            while chunk:
                if unzip.eof:  # another member follows, as gzip allows
                    unzip = zlib.decompressobj(_GZIP)
                part = unzip.decompress(chunk, min(limit + 1 - total, _PART_BYTES_MAX))
                total += len(part)
                if total > limit:
                    raise UnreadableBody(f"The body has more than {limit} bytes when decompressed.")
                yield part
                chunk = unzip.unused_data if unzip.eof else unzip.unconsumed_tail
    except zlib.error as error:
        raise UnreadableBody("The body is not gzip.") from error
    if not unzip.eof:
        raise UnreadableBody("The gzipped body is cut off.")
