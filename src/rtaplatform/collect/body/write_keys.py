"""The key in a body, found before anything else is made of it: strangers' bodies cost little.   Stage 1 of 6.

A body that is JSON is skipped through in one pass of C. In one that is not (an event in it cannot be read, and the
others can) a key is looked for as text, so that the batch is still known to be its project's.
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
    """The `writeKey` of a body, or PostHog's `api_key`; of one that is not JSON the first and the last in it."""
    try:
        keyed = _KEYED.decode(body)
        return _read(bytes(keyed.write_key)) or _read(bytes(keyed.api_key))
    except (msgspec.DecodeError, RecursionError):
        pass
    found = [match[1] for match in _first_and_last(body)]
    return list(dict.fromkeys(text.decode(errors="replace") for text in found))


def _read(value: bytes) -> list[str]:
    if len(value) > WRITE_KEY_BYTES_MAX:
        return []
    try:
        key = msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return []
    return [key] if isinstance(key, str) and key else []


def _first_and_last(body: bytes) -> list[re.Match[bytes]]:
    first, at = _AS_TEXT.search(body), max(body.rfind(b'"writeKey"'), body.rfind(b'"api_key"'))
    last = _AS_TEXT.match(body, at) if at >= 0 else None
    return [match for match in (first, last) if match is not None]
