"""Files that are sent as they are: plain or compressed, each with its ETag.   Stage 6 of 6.

A file is read once and compressed then, so that a request costs no work.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from typing import NamedTuple

from litestar import Response

from rtaplatform.serve.http.dependencies import AnyRequest

_NO_GZIP = re.compile(r"gzip\s*;\s*q=0(?:\.0*)?\s*(?:,|$)")


class StaticFile(NamedTuple):
    """A file: plain and compressed, each with its ETag."""

    media_type: str
    plain: bytes
    plain_etag: str
    compressed: bytes
    compressed_etag: str


def make_static_file(plain: bytes, media_type: str) -> StaticFile:
    tag = hashlib.sha256(plain).hexdigest()[:32]
    return StaticFile(media_type, plain, f'"{tag}"', gzip.compress(plain, 9, mtime=0), f'"{tag}-gzip"')


def answer_file(request: AnyRequest, file: StaticFile, headers: dict[str, str]) -> Response[bytes]:
    """Respond with the file, compressed if the client accepts it, or with 304 if the client has it."""
    accepted = request.headers.get("accept-encoding", "").lower()
    is_compressed = "gzip" in accepted and not _NO_GZIP.search(accepted)
    body, etag = (file.compressed, file.compressed_etag) if is_compressed else (file.plain, file.plain_etag)
    headers = {"ETag": etag, "Vary": "Accept-Encoding", **headers}
    if _matches(request.headers.get("if-none-match", ""), etag):
        return Response(content=b"", status_code=304, headers=headers, media_type=file.media_type)
    if is_compressed:
        headers["Content-Encoding"] = "gzip"
    return Response(content=body, headers=headers, media_type=file.media_type)


def _matches(condition: str, etag: str) -> bool:
    return condition.strip() == "*" or etag in {tag.strip().removeprefix("W/") for tag in condition.split(",")}
