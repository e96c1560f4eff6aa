"""The language that a visitor prefers, from the header Accept-Language.   Pure."""

from __future__ import annotations

import re
from functools import lru_cache

HEADER_CHARACTERS_MAX = 200
_TAG = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3}")


def read_preferred(header: str) -> str:
    """The tag with the greatest weight, of several the first; empty if there is none. As in BCP 47: `de-CH`."""
    return _read_preferred(header[:HEADER_CHARACTERS_MAX])


@lru_cache(maxsize=4_096)
def _read_preferred(header: str) -> str:
    best, best_weight = "", 0.0
    for part in header.split(","):
        tag, _, parameters = part.strip().partition(";")
        weight = _read_weight(parameters)
        if weight > best_weight and _TAG.fullmatch(tag):
            best, best_weight = tag, weight
    return best


def _read_weight(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name != "q":
        return 1.0
    try:
        return min(max(float(value), 0.0), 1.0)
    except ValueError:
        return 0.0
