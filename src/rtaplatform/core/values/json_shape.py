"""How large, deep and wide the JSON of an event may be.   Pure; used by collector and workers.

The limits apply to the bytes, before they are decoded: a text over a limit is refused whether or not it is JSON
(docs/reference/rules.md, 1).
"""

from __future__ import annotations

import re

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from rtaplatform.core.events import (
    COLLECTED_BYTES_MAX,
    COLLECTED_KEYS_MAX,
    EVENT_BYTES_MAX,
    KEYS_MAX,
    NESTING_MAX,
    Reason,
)

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
# Outside of strings only brackets and colons are kept, and both kinds of brackets are treated alike.
_KEPT = b"[]{}:"
_ALIKE = bytes.maketrans(b"{}", b"[]")
_DROPPED = bytes(byte for byte in range(256) if byte not in _KEPT)
_OPEN, _CLOSE, _COLON = b"[]:"

SignFlags = NDArray[np.bool_]
Depths = NDArray[np.int64]


class JsonLimits(Struct, frozen=True):
    bytes_max: int
    keys_max: int  # of one object


class JsonFlaw(Struct, frozen=True):
    """The first limit that is exceeded, and a sentence about it."""

    reason: Reason
    detail: str


AS_SENT = JsonLimits(EVENT_BYTES_MAX, KEYS_MAX)
AS_COLLECTED = JsonLimits(COLLECTED_BYTES_MAX, COLLECTED_KEYS_MAX)  # with the fields that the collector adds


def find_flaw(value: bytes, limits: JsonLimits) -> JsonFlaw | None:
    """The first of too_large, not_utf8, too_deep and too_many_keys that applies to the text; None if none does."""
    if len(value) > limits.bytes_max:
        return JsonFlaw(Reason.TOO_LARGE, f"{len(value)} bytes; at most {limits.bytes_max}.")
    if not value.isascii():
        try:
            value.decode()
        except UnicodeDecodeError as error:
            return JsonFlaw(Reason.NOT_UTF8, f"Byte {error.start} is not UTF-8.")
    return find_excess(value, limits.keys_max)


def find_excess(value: bytes, keys_max: int) -> JsonFlaw | None:
    """The same for too_deep and too_many_keys only."""
    # Counting brackets and colons is fast and gives an upper bound; only a text that may exceed a limit is scanned.
    if value.count(b"{") + value.count(b"[") <= NESTING_MAX and value.count(b":") <= keys_max:
        return None
    signs = np.frombuffer(_STRING.sub(b"", value).translate(_ALIKE, _DROPPED), dtype=np.uint8)
    opens = signs == _OPEN
    depths = _compute_depths(opens, signs == _CLOSE)
    deepest = int(depths.max(initial=0))
    if deepest > NESTING_MAX:
        return JsonFlaw(Reason.TOO_DEEP, f"Nested deeper than {NESTING_MAX}.")
    if _count_most_keys(opens, signs == _COLON, depths, deepest) > keys_max:
        return JsonFlaw(Reason.TOO_MANY_KEYS, f"An object has more than {keys_max} keys.")
    return None


def _compute_depths(opens: SignFlags, closes: SignFlags) -> Depths:
    """How many brackets are open after each sign; a closing bracket without an opening one is ignored."""
    sums = np.cumsum(opens.astype(np.int64) - closes)
    return sums - np.minimum(np.minimum.accumulate(sums), 0)


def _count_most_keys(opens: SignFlags, colons: SignFlags, depths: Depths, deepest: int) -> int:
    """The most colons directly in one pair of brackets. A colon belongs to the last bracket opened to its depth."""
    most = 0
    for depth in range(1, deepest + 1):
        is_at_depth = depths == depth
        brackets = np.searchsorted(np.flatnonzero(is_at_depth & opens), np.flatnonzero(is_at_depth & colons))
        most = max(most, int(np.bincount(brackets).max(initial=0)))
    return most
