"""Read bytes as strict JSON, but repair half surrogate pairs.   Pure.

Half of a surrogate pair (a text cut inside an emoji) is not valid Unicode, but browsers send it. One such event must
not cost its batch, so the half becomes U+FFFD, as a browser would show it. Callers must bound the size: a text is read
up to three times.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, TypeVar

import msgspec

from rtaplatform.core.events import NESTING_MAX, Reason
from rtaplatform.core.time.timestamps import read_number_ms, read_time_ms

T = TypeVar("T")
_ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_RAW = msgspec.json.Decoder(msgspec.Raw)
# As many whole characters and pairs as there are, then half a pair: one call for each half, not for each escape.
_HALF = re.compile(
    rb"((?:[^\\]++|\\[^u]|\\u(?:[^dD]|[dD][0-7])|\\u[dD][89abAB]..\\u[dD][c-fC-F])*+)"
    rb"(?:(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\|\Z)",
    re.DOTALL,
)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class UnreadableJson(Exception):
    """The text is not acceptable JSON. `reason` is a `core.events.Reason`."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


def trim_white_space(body: bytes) -> bytes:
    """The body without a leading byte order mark, and without trailing blanks and NULs."""
    return body.removeprefix(_BYTE_ORDER_MARK).rstrip(b" \t\r\n\x00")


def decode(raw: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode; raises UnreadableJson (not_utf8, not_json, too_deep)."""
    try:
        return _decode(raw, decoder)
    except msgspec.DecodeError as error:
        if isinstance(error, msgspec.ValidationError) or b"\\u" not in bytes(raw):
            raise UnreadableJson(Reason.NOT_JSON, _explain(error, bytes(raw))) from error
    try:
        return _decode(repair(bytes(raw)), decoder)
    except msgspec.DecodeError as error:
        raise UnreadableJson(Reason.NOT_JSON, str(error)) from error


class JsonReading(msgspec.Struct):
    """A repaired JSON text and its value."""

    text: bytes
    value: Any


def read_json(raw: bytes) -> JsonReading:
    """Read the value. Numbers beyond a float's range become infinite: they are valid JSON, and are stored as written.

    Raises UnreadableJson (not_utf8, not_json, too_deep).
    """
    try:
        return JsonReading(raw, _read_value(raw))
    except msgspec.DecodeError as error:
        if b"\\u" not in raw:
            raise UnreadableJson(Reason.NOT_JSON, _explain(error, raw)) from error
    text = repair(raw)
    try:
        return JsonReading(text, _read_value(text))
    except msgspec.DecodeError as error:
        raise UnreadableJson(Reason.NOT_JSON, str(error)) from error


def _explain(error: msgspec.DecodeError, text: bytes) -> str:
    return str(error) if text.strip() else "It is empty."


def _read_value(text: bytes) -> Any:
    try:
        return _decode(text, _ANY)
    except msgspec.ValidationError:
        _decode(text, _RAW)  # checks all else strictly: the standard library accepts more than JSON
    try:
        return json.loads(text, parse_int=_read_integer)
    except UnicodeDecodeError as error:
        raise _make_utf8_error() from error


def repair(text: bytes) -> bytes:
    """The JSON text with U+FFFD for each half of a surrogate pair."""
    return _HALF.sub(_replace_half, text)


def _replace_half(match: re.Match[bytes]) -> bytes:
    return match[0] if match[2] is None else match[1] + b"\\ufffd"


def _read_integer(text: str) -> int | float:
    return int(text) if len(text) < 400 else math.inf


def _decode(raw: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[T]) -> T:
    try:
        return decoder.decode(raw)
    except UnicodeDecodeError as error:
        raise _make_utf8_error() from error
    except RecursionError as error:
        raise UnreadableJson(Reason.TOO_DEEP, f"Nested deeper than {NESTING_MAX}.") from error


def _make_utf8_error() -> UnreadableJson:
    return UnreadableJson(Reason.NOT_UTF8, "The text is not UTF-8.")


def read_client_time(value: Any) -> int | None:
    """Milliseconds since 1970; None if there is no readable time."""
    if isinstance(value, str):
        return read_time_ms(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return read_number_ms(repr(value))
    return None
