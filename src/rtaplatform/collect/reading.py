"""Bytes → JSON, strictly, without losing what can be saved.   Pure.

Half of a surrogate pair (a text cut inside an emoji) is not Unicode; browsers send it all the same, and
one such event must not lose its batch: it becomes U+FFFD, as a browser would show it.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, TypeVar

import msgspec

from rtaplatform.core.events import KEYS_MAX, NESTING_MAX, Reason
from rtaplatform.core.times import read_time_ms

T = TypeVar("T")
_ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_RAW = msgspec.json.Decoder(msgspec.Raw)
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_BRACKET_OR_COLON = re.compile(rb"[\[\]{}:]")
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)


class Unreadable(Exception):
    """Not JSON that we take: `reason` is a `core.events.Reason`."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


def decode(raw: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode; raises Unreadable (not_utf8, not_json, too_deep)."""
    try:
        return _decode(raw, decoder)
    except msgspec.DecodeError as error:
        if isinstance(error, msgspec.ValidationError) or b"\\u" not in bytes(raw):
            raise Unreadable(Reason.NOT_JSON, str(error)) from error
    try:
        return _decode(_ESCAPE.sub(_mend, bytes(raw)), decoder)
    except msgspec.DecodeError as error:
        raise Unreadable(Reason.NOT_JSON, str(error)) from error


def decode_to_look_at(raw: bytes | msgspec.Raw) -> Any:
    """The value, where numbers beyond a float's range are infinite: it is JSON all the same, and passes as written."""
    try:
        return decode(raw, _ANY)
    except Unreadable as error:
        if not isinstance(error.__cause__, msgspec.ValidationError):
            raise
    whole = decode(raw, _RAW)  # strict of the rest, and mended; the standard library takes more than JSON
    return json.loads(bytes(whole), parse_int=_read_integer)


def _read_integer(text: str) -> int | float:
    return int(text) if len(text) < 400 else math.inf


def _decode(raw: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[T]) -> T:
    try:
        return decoder.decode(raw)
    except UnicodeDecodeError as error:
        raise Unreadable(Reason.NOT_UTF8, "The text is not UTF-8.") from error
    except RecursionError as error:
        raise Unreadable(Reason.TOO_DEEP, f"Nested deeper than {NESTING_MAX}.") from error


def _mend(match: re.Match[bytes]) -> bytes:
    return match[0] if match[1] is None else b"\\ufffd"


def read_client_time(value: Any) -> int | None:
    """Milliseconds since 1970; None where there is no time, or none that can be read."""
    return read_time_ms(value) if isinstance(value, str) else None


def check_shape(raw: bytes) -> None:
    """Raise Unreadable where nesting or the number of an object's keys is over the limit, JSON or not."""
    # Counting brackets and colons is a bound, in one pass of C: only what could be over it is looked at closely.
    if raw.count(b"{") + raw.count(b"[") <= NESTING_MAX and raw.count(b":") <= KEYS_MAX:
        return
    keys, most = [0], 0
    for token in _BRACKET_OR_COLON.findall(_STRING.sub(b"", raw)):
        if token == b":":
            keys[-1] += 1
            most = max(most, keys[-1] if len(keys) > 1 else 0)
        elif token in b"[{":
            keys.append(0)
            if len(keys) - 1 > NESTING_MAX:
                raise Unreadable(Reason.TOO_DEEP, f"Nested deeper than {NESTING_MAX}.")
        elif len(keys) > 1:
            keys.pop()
    if most > KEYS_MAX:
        raise Unreadable(Reason.TOO_MANY_KEYS, f"An object has more than {KEYS_MAX} keys.")
