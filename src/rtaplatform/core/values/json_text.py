"""One JSON value by its text: numbers as they were written, and what stands for an empty object.   Pure.

Read by collector and workers, so that both see the same id, the same dimension and the same amount.
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


def plain_value(raw: Raw | bytes) -> Any:
    """The value, where it is a scalar, numbers as their own text; CONTAINER for a list or object; None: nothing."""
    text = bytes(raw)
    if text in _NOTHING:
        return None
    if text[:1] in b"-0123456789":
        return NumberText(text.decode())
    return CONTAINER if text[:1] in b"[{" else msgspec.json.decode(text)


def dimension_text(raw: Raw | bytes) -> str | None:
    """A dimension's text: numbers as written, booleans as true and false, empty of all else; None: it is not there."""
    value = plain_value(raw)
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str) else ""


def is_nothing(raw: Raw | bytes) -> bool:
    return bytes(raw) in _NOTHING


def is_empty_object(raw: Raw | bytes) -> bool:
    """Whether it stands where an object belongs and means an empty one: an empty list (as PHP writes it), "", false."""
    text = bytes(raw)
    return text in _EMPTY or (text[:1] == b"[" and not text[1:-1].strip())
