"""Ids of people, messages, products and orders: what may be one.   Pure; read by collector, workers and catalog.

One limit everywhere, so that an id that is taken in one place can be found in every other. Control characters of an
id of a product are read as blanks, as in every dimension's value: the catalog has no id that holds one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import xxhash

ID_BYTES_MAX = 256  # of UTF-8
# The name spaces of persons: a user, or an anonymous id without one.
USER, ANONYMOUS = b"u:", b"a:"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def is_too_long(text: str) -> bool:
    """Whether the text has more bytes than an id may have."""
    # A character has at most four bytes: most ids need no second look.
    return len(text) * 4 > ID_BYTES_MAX and len(text.encode(errors="surrogatepass")) > ID_BYTES_MAX


def has_control(text: str) -> bool:
    """Whether control characters are in it: such an id would be shown as another."""
    return not text.isprintable() and _CONTROL.search(text) is not None


def persons_of(user_id: str | None, anonymous_ids: Iterable[str]) -> list[bytes]:
    """The person under each of these ids, as the workers write it (docs/reference/store.md)."""
    names = [USER + user_id.encode()] if user_id else []
    names += [ANONYMOUS + one.encode() for one in anonymous_ids]
    return [xxhash.xxh3_64_digest(name) for name in names]
