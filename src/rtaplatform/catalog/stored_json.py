"""JSON as PostgreSQL gives it back.   Pure.

PostgreSQL keeps numbers as decimals and writes them out: 1e308 has 309 digits. What is exactly a float is one again.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import msgspec

_BITS = 64
_LONG = re.compile(r"\d{20}")


def read_stored_json(text: str | bytes) -> Any:
    said = text if isinstance(text, str) else bytes(text).decode()
    value = msgspec.json.decode(said)
    return _shorten(value) if _LONG.search(said) else value


def _shorten(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shorten(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_shorten(one) for one in value]
    return _as_float(value) if isinstance(value, int) and value.bit_length() > _BITS else value


def _as_float(value: int) -> int | float:
    try:
        short = float(value)
    except OverflowError:
        return value
    return short if Decimal(repr(short)) == value else value
