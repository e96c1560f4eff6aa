"""Find the write key in a body before anything else is read, so that bodies without a key cost little.   Stage 1 of 6.

A JSON body is decoded in one fast pass that skips everything else. If the body is not JSON because one event is broken,
the key is searched as text, so that the batch can still be assigned to its project.
"""

from __future__ import annotations

import re

import msgspec
from msgspec import Raw, Struct

WRITE_KEY_BYTES_MAX = 1_024
_AS_TEXT = re.compile(rb'"(?:writeKey|api_key)"\s*:\s*"([^"\\\x00-\x20]{1,256})"')


class _Keyed(Struct, rename="camel"):
    write_key: Raw = Raw(b"null")
    api_key: Raw = msgspec.field(default=Raw(b"null"), name="api_key")


_KEYED = msgspec.json.Decoder(_Keyed)


def find_write_keys(body: bytes) -> list[str]:
    """The `writeKey` of a body, or PostHog's `api_key`. If the body is not JSON, the first and the last key in it."""
    try:
        keys_of_body = _KEYED.decode(body)
        return _read_key(bytes(keys_of_body.write_key)) or _read_key(bytes(keys_of_body.api_key))
    except (msgspec.DecodeError, RecursionError):
        pass
    keys = [match[1] for match in _find_first_and_last(body)]
    return list(dict.fromkeys(key.decode(errors="replace") for key in keys))


def _read_key(value: bytes) -> list[str]:
    if len(value) > WRITE_KEY_BYTES_MAX:
        return []
    try:
        key = msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return []
    return [key] if isinstance(key, str) and key else []


def _find_first_and_last(body: bytes) -> list[re.Match[bytes]]:
    first, position = _AS_TEXT.search(body), max(body.rfind(b'"writeKey"'), body.rfind(b'"api_key"'))
    last = _AS_TEXT.match(body, position) if position >= 0 else None
    return [match for match in (first, last) if match is not None]
