"""Which texts may be ids of persons, messages, products and orders.   Pure; used by collector, workers and catalog.

The limit is the same everywhere, so that an id accepted in one place can be found in every other. Control characters
in a product's id are read as blanks, as in every dimension's value, so the catalog accepts no id that has one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import xxhash

ID_BYTES_MAX = 256  # of UTF-8
# Prefixes of persons: a user, or an anonymous id without a user.
USER, ANONYMOUS = b"u:", b"a:"
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def is_too_long(text: str) -> bool:
    """Whether the text has more bytes than an id may have."""
    # A character has at most four bytes: most ids need no second look.
    return len(text) * 4 > ID_BYTES_MAX and len(text.encode(errors="surrogatepass")) > ID_BYTES_MAX


def has_control(text: str) -> bool:
    """Whether the text has control characters: such an id would be shown as another one."""
    return not text.isprintable() and CONTROL.search(text) is not None


def hash_persons(user_id: str | None, anonymous_ids: Iterable[str]) -> list[bytes]:
    """The person of each of these ids, as workers write it (docs/reference/store.md)."""
    names = [USER + user_id.encode()] if user_id else []
    names += [ANONYMOUS + anonymous_id.encode() for anonymous_id in anonymous_ids]
    return [xxhash.xxh3_64_digest(name) for name in names]
