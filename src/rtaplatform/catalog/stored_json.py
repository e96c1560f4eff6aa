"""Decode JSON as PostgreSQL returns it.   Pure.

PostgreSQL stores numbers as decimals and writes out every digit: 1e308 has 309. A number that equals a float is turned
back into that float.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import msgspec

_BITS = 64
_LONG = re.compile(r"\d{20}")


def read_stored_json(text: str | bytes) -> Any:
    json_text = text if isinstance(text, str) else bytes(text).decode()
    value = msgspec.json.decode(json_text)
    return _shorten(value) if _LONG.search(json_text) else value


def _shorten(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shorten(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shorten(item) for item in value]
    return _as_float(value) if isinstance(value, int) and value.bit_length() > _BITS else value


def _as_float(value: int) -> int | float:
    try:
        short = float(value)
    except OverflowError:
        return value
    return short if Decimal(repr(short)) == value else value
