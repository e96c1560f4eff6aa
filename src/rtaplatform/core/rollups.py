"""What is kept: a rollup is dimensions × measures per time bucket.   Read by worker, planner, and docs.

A value, no behaviour. A field of a bucket is `measure US value US value …` (US = U+001F, which no
dimension's value contains); `measure` alone is the bucket's total, exact also where the cap on values
(caps.py) sends the rest to `OTHER`. Fields of events marked as bots begin with `~`. `!` before a field says
that it lacks something that would have passed 64 bits, `!` alone that the bucket has such fields; `#` before
a kind of seats counts those that are taken.
"""

from __future__ import annotations

from msgspec import Struct

SEPARATOR = "\x1f"
OTHER = "\x1e"  # stands in a field for the values that have no seat in a full bucket
BOT_PREFIX = "~"
SHORT_PREFIX = "!"
SEATS_PREFIX = "#"

SCALE = 10_000  # amounts and quantities are integers in 10⁻⁴ units


class Rollup(Struct, frozen=True):
    name: str
    dimensions: tuple[str, ...]
    measures: tuple[str, ...]


ACTIVITY = Rollup("activity", ("event", "source"), ("count", "units", "revenue", "other_currencies"))
EVENTS = Rollup("events", ("event", "source", "country", "device"), ("count", "units", "revenue", "other_currencies"))
PRODUCTS = Rollup("products", ("product_id",), ("views", "adds", "checkouts", "orders", "units", "revenue"))
# In totals of `products` alone: events with several different products, which sums over products count several times.
SHARED = {"checkouts": "shared_checkouts", "orders": "shared_orders"}
# By stream time, not by the event's: what did not become a number, and what could not be checked.
QUALITY = Rollup("quality", (), ("duplicate", "late", "dead", "unchecked", "unreadable_time", "unreadable_amount"))

# What is known of a bucket's sketches, by their dimension: see store.md.
PERSONS = Rollup("persons", ("dimension",), ("bytes", "left_out", "broken"))

ROLLUPS = (ACTIVITY, EVENTS, PRODUCTS, QUALITY, PERSONS)

# What the catalog says of a product, joined to `product_id` when an answer is read.
PRODUCT_ID = "product_id"
PRODUCT_ATTRIBUTES = ("product_category", "product_brand")

# Distinct persons are HyperLogLog sketches: of all, for minutes, hours and days; by one of these, for hours and days.
PERSON_DIMENSIONS = ("source", "product_id")


def field(measure: str, *values: str) -> str:
    return SEPARATOR.join((measure, *values))
