"""The platform's own records in `rta.control`: one shape for who writes and who reads them.   Pure.

docs/reference/control.md has the format.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

ERASE = "erase"


class ErasureRecord(Struct, rename="camel"):
    """A person was erased. `user_id` is empty where only anonymous ids were named."""

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
    """None where it is no erasure: only we write there, and a later version may write other records."""
    try:
        record = _decode(value or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return record if record.type == ERASE else None
