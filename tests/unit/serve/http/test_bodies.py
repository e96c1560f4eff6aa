"""Bodies: gzip is told by its first bytes, and what comes after it is padding or an error."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from rtaplatform.core.errors import UnreadableBody, UnsupportedEncoding
from rtaplatform.serve.http.bodies import read_body

PLAIN = b'{"a": 1}'
LIMIT = 1_000


async def read(*chunks: bytes, encoding: str | None = None) -> bytes:
    messages = [
        {"type": "http.request", "body": chunk, "more_body": at < len(chunks) - 1} for at, chunk in enumerate(chunks)
    ]

    async def receive() -> Any:
        return messages.pop(0)

    return await read_body(receive, encoding, LIMIT)


@pytest.mark.parametrize("encoding", [None, "", "identity", "gzip", "x-gzip", "GZIP"])
@pytest.mark.parametrize("padding", [b"", b"\n", b"\r\n", b"\0\0\0"])
async def test_first_bytes_tell_whether_it_is_gzip(encoding: str | None, padding: bytes) -> None:
    packed = gzip.compress(PLAIN, mtime=0) + padding
    assert await read(packed, encoding=encoding) == PLAIN
    assert await read(*(packed[at : at + 1] for at in range(len(packed))), encoding=encoding) == PLAIN
    assert await read(PLAIN, encoding=encoding) == PLAIN
    assert await read(b"", encoding=encoding) == b""
    assert await read(b"{", encoding=encoding) == b"{"


async def test_members_follow_each_other() -> None:
    assert await read(gzip.compress(b"a", mtime=0) + b"\n" + gzip.compress(b"b")) == b"ab"


@pytest.mark.parametrize(
    "body", [gzip.compress(PLAIN, mtime=0)[:-3], gzip.compress(PLAIN, mtime=0) + b"x", b"\x1f\x8bno"]
)
async def test_errors_of_gzip_name_the_header(body: bytes) -> None:
    with pytest.raises(UnreadableBody, match="gzip") as refused:
        await read(body, encoding="gzip")
    assert refused.value.field == "Content-Encoding"


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "deflate"])
async def test_other_encodings_are_refused(encoding: str) -> None:
    with pytest.raises(UnsupportedEncoding):
        await read(PLAIN, encoding=encoding)


async def test_a_body_is_bounded_before_and_after_decompression() -> None:
    with pytest.raises(UnreadableBody, match="more than 1000 bytes"):
        await read(b"x" * 600, b"x" * 600)
    with pytest.raises(UnreadableBody, match="when decompressed"):
        await read(gzip.compress(b"x" * 100_000))
