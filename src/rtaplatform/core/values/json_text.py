"""Read one JSON value from its text: numbers as they were written, and what counts as an empty object.   Pure.

Used by collector and workers, so that both read the same id, dimension and amount.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

CONTAINER = object()
_NOTHING = frozenset((b"", b"null"))
_EMPTY = frozenset((b"[]", b'""', b"false"))


class NumberText(str):
    """A JSON number, as it was written."""

    __slots__ = ()


def read_plain_value(raw: Raw | bytes) -> Any:
    """A scalar value, numbers as their text; CONTAINER for a list or object; None if absent or null."""
    text = bytes(raw)
    if text in _NOTHING:
        return None
    if text[:1] in b"-0123456789":
        return NumberText(text.decode())
    return CONTAINER if text[:1] in b"[{" else msgspec.json.decode(text)


def read_dimension_text(raw: Raw | bytes) -> str | None:
    """A dimension's text: numbers as written, booleans as true and false, else empty. None if absent or null."""
    value = read_plain_value(raw)
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str) else ""


def is_nothing(raw: Raw | bytes) -> bool:
    return bytes(raw) in _NOTHING


def is_empty_object(raw: Raw | bytes) -> bool:
    """Whether the value, in place of an object, means an empty one: an empty list (as PHP writes it), "" or false."""
    text = bytes(raw)
    return text in _EMPTY or (text[:1] == b"[" and not text[1:-1].strip())
