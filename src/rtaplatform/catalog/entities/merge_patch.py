"""JSON merge patch (RFC 7396), and an exact comparison of JSON values.   Pure."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec


def merge(target: Any, patch: Any) -> Any:
    """`target` after `patch`: null removes, objects are merged, anything else replaces."""
    if not isinstance(patch, dict):
        return patch
    members = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            members.pop(name, None)
        else:
            members[name] = merge(members.get(name), value)
    return members


def is_same(value: Any, other_value: Any) -> bool:
    """Whether two values are the same in JSON: true is not 1. The order of keys does not count."""
    return _encode(value) == _encode(other_value)


def _encode(value: Any) -> bytes:
    if isinstance(value, Decimal):
        value = value.normalize() + 0
    if isinstance(value, datetime):
        value = value.timestamp()
    return msgspec.json.encode(value, order="sorted")
