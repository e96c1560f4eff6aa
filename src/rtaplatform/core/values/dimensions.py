"""Text as a dimension's value.   Pure; used by collector and workers."""

from __future__ import annotations

from functools import lru_cache

from rtaplatform.core.events import DIMENSION_BYTES_MAX
from rtaplatform.core.values.ids import CONTROL

CACHED_CHARACTERS_MAX = 64  # longer texts are rare, and could fill a cache


def as_dimension(value: str | None) -> str:
    """The text as a dimension's value: control characters become blanks, and it is cut to 256 bytes."""
    if not value:
        return ""
    return _clean_cached_dimension(value) if len(value) <= CACHED_CHARACTERS_MAX else _clean_dimension(value)


def _clean_dimension(value: str) -> str:
    if not value.isprintable():
        value = CONTROL.sub(" ", value)
    if len(value) * 4 > DIMENSION_BYTES_MAX and len(value.encode()) > DIMENSION_BYTES_MAX:
        value = value.encode()[:DIMENSION_BYTES_MAX].decode(errors="ignore")
    return value


_clean_cached_dimension = lru_cache(maxsize=65_536)(_clean_dimension)
