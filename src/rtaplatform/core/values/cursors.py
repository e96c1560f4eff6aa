"""Cursors of lists: the place of a page's last row, valid for the list that gave it and no other.   Pure.

A cursor carries a checksum of what it pages: the list, its project, its sort and its filters. The checksum finds
mistakes of callers. It is no protection, and needs none: a list shows rows of its own project, whatever the cursor is.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from rtaplatform.core.errors import InvalidParameter

T = TypeVar("T")


def pack_position(position: Any, bounds: Sequence[Any]) -> str:
    """The cursor of a position in the list that `bounds` describe."""
    packed_bytes = msgspec.msgpack.encode([_compute_checksum(bounds), position])
    return base64.urlsafe_b64encode(packed_bytes).decode().rstrip("=")


def open_cursor(cursor: str, bounds: Sequence[Any], type: type[T]) -> T:
    """The position in a cursor. Raises InvalidParameter, also for the cursor of another list."""
    try:
        text = cursor.encode("ascii")
        packed_bytes = base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        checksum, position = msgspec.msgpack.decode(packed_bytes, type=tuple[int, type])  # type: ignore[valid-type]
    except (binascii.Error, msgspec.DecodeError, OverflowError, UnicodeError):
        raise make_refusal() from None
    if checksum != _compute_checksum(bounds):
        raise make_refusal()
    return position


def make_refusal() -> InvalidParameter:
    return InvalidParameter(
        "The cursor is not of this list: it holds for one list of one project, with one sort and the same filters.",
        field="cursor",
        allowed="`next_cursor` of the page before",
        hint="Begin without a cursor, or send the other parameters as for the page that gave it.",
    )


def _compute_checksum(bounds: Sequence[Any]) -> int:
    return zlib.crc32(msgspec.json.encode(bounds))
