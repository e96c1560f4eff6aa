"""The oracle's reading of a value: from the bytes of a record to plain data, or a reason for a dead letter (rule 1).

Numbers keep their text: amounts are computed from it, and dimensions show it.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

_NESTING_MAX = 32
_KEYS_MAX = 1_000
_COLLECTED_KEYS_MAX = 1_016
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class OracleNumber(NamedTuple):
    """A JSON number as it was written."""

    text: str

    @property
    def is_whole(self) -> bool:
        """Return whether it is written as an integer."""
        return self.text.lstrip("-").isdigit()


class UnreadableRecord(Exception):
    """The record cannot be counted. `reason` is the one in the rules."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def read_record(value: bytes | None, *, collected: bool) -> dict[str, Any]:
    """Return the object in a record. A collected record may be larger, by what the collector adds."""
    if collected:
        return read_object(value, bytes_max=40_960, keys_max=_COLLECTED_KEYS_MAX)
    return read_object(value, bytes_max=32_768)


def is_empty(value: Any) -> bool:
    """Return whether a value stands for an empty object: an empty list, an empty text, or false."""
    return value is False or value in ("", [])


def read_object(value: bytes | None, *, bytes_max: int, keys_max: int = _KEYS_MAX) -> dict[str, Any]:
    """Return the object in these bytes. Raises UnreadableRecord with the first reason that applies."""
    if value is not None and len(value) > bytes_max:
        raise UnreadableRecord("too_large")
    if not value:
        raise UnreadableRecord("empty")
    text = _decode(value)
    depth, keys = _measure(text)
    if depth > _NESTING_MAX:
        raise UnreadableRecord("too_deep")
    if keys > keys_max:
        raise UnreadableRecord("too_many_keys")
    data = _parse(text)
    if not isinstance(data, dict):
        raise UnreadableRecord("not_an_object")
    return data


def _decode(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise UnreadableRecord("not_utf8") from None


def _parse(text: str) -> Any:
    try:
        data = _DECODER.decode(text)
        # An escape of half a surrogate pair is not text.
        if "\\u" in text and _LONE_SURROGATE.search(json.dumps(data, ensure_ascii=False)):
            raise UnreadableRecord("not_json")
    except ValueError:
        raise UnreadableRecord("not_json") from None
    return data


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_float=OracleNumber, parse_int=OracleNumber, parse_constant=_refuse_constant)


# A string up to its closing quote, or up to the end of the text if it has none.
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_SIGN = re.compile(r"[\[\]{}:]")


def _measure(text: str) -> tuple[int, int]:
    """Return how deep brackets nest, and the most colons within one pair. The text need not be JSON."""
    depth = keys = 0
    open_pairs: list[int] = []
    for sign in _SIGN.findall(_STRING.sub("", text)):
        if sign in "[{":
            open_pairs.append(0)
            depth = max(depth, len(open_pairs))
        elif sign in "]}":
            del open_pairs[-1:]
        elif open_pairs:
            open_pairs[-1] += 1
            keys = max(keys, open_pairs[-1])
    return depth, keys
