"""The id that an order is known by, so that it counts once.   Stage 3 of 6.   Pure.

Text that stands for a lost value is no id: a shop that sends `undefined` as the id of every order has many orders.
"""

from __future__ import annotations

import xxhash
from msgspec import Raw

from rtaplatform.core.values.dimensions import as_dimension
from rtaplatform.core.values.json_text import read_dimension_text

NO_ORDER = b""
# In any case; so is whatever has no digit but 0 and no letter.
PLACEHOLDERS = frozenset(
    ("undefined", "null", "none", "nil", "nan", "n/a", "-1", "true", "false", "unknown", "[object object]")
)


def read_order_id(raw: Raw) -> bytes:
    """A digest of `order_id` as a dimension's value, without blanks around it; NO_ORDER where it names none."""
    if not len(raw):
        return NO_ORDER
    text = as_dimension(read_dimension_text(raw)).strip()
    if not text.strip("0-.") or text.lower() in PLACEHOLDERS:
        return NO_ORDER
    return xxhash.xxh3_64_digest(text.encode())
