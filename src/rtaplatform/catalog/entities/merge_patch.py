"""JSON merge patch (RFC 7396), and whether two values are the same to the letter.   Pure."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec


def merge(target: Any, patch: Any) -> Any:
    """`target` as `patch` changes it: null takes away, objects are merged, anything else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged


def is_same(one: Any, other: Any) -> bool:
    """As JSON tells values apart: true is not 1. The order of keys does not count."""
    return _written(one) == _written(other)


def _written(value: Any) -> bytes:
    if isinstance(value, Decimal):
        value = value.normalize() + 0
    if isinstance(value, datetime):
        value = value.timestamp()
    return msgspec.json.encode(value, order="sorted")
