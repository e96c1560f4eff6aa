"""Request bodies, read as they come and never held beyond the limit, before or after decompression."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from rtaplatform.core.errors import UnreadableBody, UnsupportedEncoding

Receive = Callable[[], Awaitable[Any]]
_GZIP = 31  # zlib's window bits for gzip's format


class Disconnected(UnreadableBody):
    """The client went away; nobody reads the answer."""


async def read_body(receive: Receive, encoding: str | None, limit: int) -> bytes:
    """The body, decompressed; raises UnreadableBody, UnsupportedEncoding."""
    named = (encoding or "").strip().lower()
    if named not in ("", "identity", "gzip", "x-gzip"):
        raise UnsupportedEncoding(
            f"Content-Encoding `{named[:50]}` is unknown.", field="Content-Encoding", allowed=["gzip", "identity"]
        )
    if named in ("", "identity"):
        return b"".join([chunk async for chunk in _chunks(receive, limit)])
    return await _unzip(receive, limit)


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


async def _unzip(receive: Receive, limit: int) -> bytes:
    output = bytearray()
    unzip = zlib.decompressobj(_GZIP)
    try:
        async for chunk in _chunks(receive, limit):
            while chunk:
                if unzip.eof:  # another member follows, as gzip allows
                    unzip = zlib.decompressobj(_GZIP)
                output += unzip.decompress(chunk, limit + 1 - len(output))
                if len(output) > limit:
                    raise UnreadableBody(f"The body has more than {limit} bytes when decompressed.")
                chunk = unzip.unused_data if unzip.eof else unzip.unconsumed_tail
    except zlib.error as error:
        raise UnreadableBody("The body is not gzip.") from error
    if not unzip.eof:
        raise UnreadableBody("The gzipped body is cut off.")
    return bytes(output)
