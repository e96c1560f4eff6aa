"""The platform's own records in `rta.control`, as they are written and read.   Pure.

The format is in docs/reference/control.md.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

ERASE = "erase"


class ErasureRecord(Struct, rename="camel"):
    """A person was erased. `user_id` is empty if only anonymous ids were named."""

    type: str = ""
    receipt_id: str = ""
    project_id: str = ""
    user_id: str = ""
    anonymous_ids: list[str] = []
    at: str = ""


_decode = msgspec.json.Decoder(ErasureRecord).decode


def encode_erasure(record: ErasureRecord) -> bytes:
    return msgspec.json.encode(record)


def read_erasure(value: bytes | None) -> ErasureRecord | None:
    """Read an erasure; None for other records, which a later version may write."""
    try:
        record = _decode(value or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return record if record.type == ERASE else None
