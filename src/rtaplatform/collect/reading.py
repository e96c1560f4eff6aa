"""Bytes → JSON, strictly, without losing what can be saved.   Pure.

Half of a surrogate pair (a text cut inside an emoji) is not Unicode; browsers send it all the same, and
one such event must not lose its batch: it becomes U+FFFD, as a browser would show it.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from rtaplatform.core.events import KEYS_MAX, NESTING_MAX, Reason
from rtaplatform.core.times import read_time_ms

T = TypeVar("T")
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


def check_shape(raw: bytes, value: Any) -> None:
    """Raise Unreadable where nesting or the number of keys is over the limit."""
    # Counting brackets and colons is a bound, in one pass of C: only what could be over it is walked.
    if raw.count(b"{") + raw.count(b"[") > NESTING_MAX or raw.count(b":") > KEYS_MAX:
        _walk(value, 1)


def _walk(value: Any, depth: int) -> None:
    if not isinstance(value, dict | list):
        return
    if depth > NESTING_MAX:
        raise Unreadable(Reason.TOO_DEEP, f"Nested deeper than {NESTING_MAX}.")
    if isinstance(value, dict) and len(value) > KEYS_MAX:
        raise Unreadable(Reason.TOO_MANY_KEYS, f"An object has more than {KEYS_MAX} keys.")
    for inner in value.values() if isinstance(value, dict) else value:
        _walk(inner, depth + 1)
