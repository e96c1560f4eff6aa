"""The oracle's reading of a value: the bytes of a record to plain data, or the reason why not (rule 1).

Numbers keep their text, since amounts are made from it and dimensions show it.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

_NESTING_MAX = 32
_KEYS_MAX = 1_000
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class Number(NamedTuple):
    """A JSON number as it was written."""

    text: str

    @property
    def whole(self) -> bool:
        """Tell whether it is written as an integer."""
        return self.text.lstrip("-").isdigit()


class Unreadable(Exception):
    """The record is dead before its fields are looked at. `reason` as in the rules."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def read_object(value: bytes | None, *, bytes_max: int) -> dict[str, Any]:
    """Return the object in these bytes. Raises Unreadable with the first reason that applies."""
    if value is not None and len(value) > bytes_max:
        raise Unreadable("too_large")
    if not value:
        raise Unreadable("empty")
    found = _parse(_text(value))
    if not isinstance(found, dict):
        raise Unreadable("not_an_object")
    depth, keys = _measure(found)
    if depth > _NESTING_MAX:
        raise Unreadable("too_deep")
    if keys > _KEYS_MAX:
        raise Unreadable("too_many_keys")
    return found


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Unreadable("not_utf8") from None


def _parse(text: str) -> Any:
    try:
        with _deep_stack():
            found = _DECODER.decode(text)
            # An escape of half a surrogate pair is not text.
            if "\\u" in text and _LONE_SURROGATE.search(json.dumps(found, ensure_ascii=False)):
                raise Unreadable("not_json")
    except ValueError:
        raise Unreadable("not_json") from None
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_float=Number, parse_int=Number, parse_constant=_no_constant)


@contextmanager
def _deep_stack() -> Iterator[None]:
    """Nesting is judged by its depth, not by where Python's stack ends: a record has at most 40,960 brackets."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, 100_000))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def _measure(root: Any) -> tuple[int, int]:
    """Return the depth of nesting and the largest number of keys of an object."""
    depth = keys = 0
    level = [root]
    while level:
        depth += 1
        keys = max([keys, *(len(item) for item in level if isinstance(item, dict))])
        level = [inner for item in level for inner in _children(item) if _is_container(inner)]
    return depth, keys


def _children(item: Any) -> Any:
    return item.values() if isinstance(item, dict) else item


def _is_container(item: Any) -> bool:
    return isinstance(item, dict | list)
