"""What is kept: a rollup is dimensions × measures per time bucket.   Read by worker, planner, and docs.

A value, no behaviour. A field of a bucket is `measure US value US value …` (US = U+001F, which no
dimension's value contains); `measure` alone is the bucket's total, exact also where the cap on
fields sends the rest to `OTHER`. Fields of events marked as bots begin with `~`.
"""

from __future__ import annotations

from msgspec import Struct

SEPARATOR = "\x1f"
OTHER = "\x1e"  # the only "value" of the field that takes what a full bucket cannot hold
BOT_PREFIX = "~"
FIELDS_PER_BUCKET_MAX = 10_000
SKETCHES_PER_BUCKET_MAX = 1_000

SCALE = 10_000  # amounts and quantities are integers in 10⁻⁴ units


class Rollup(Struct, frozen=True):
    name: str
    dimensions: tuple[str, ...]
    measures: tuple[str, ...]


ACTIVITY = Rollup("activity", ("event", "source"), ("count", "units", "revenue", "other_currencies"))
EVENTS = Rollup("events", ("event", "source", "country", "device"), ("count", "units", "revenue", "other_currencies"))
PRODUCTS = Rollup("products", ("product_id",), ("views", "adds", "checkouts", "orders", "units", "revenue"))
# By record time, not by the event's: what did not become a number, and what could not be checked.
QUALITY = Rollup("quality", (), ("duplicate", "late", "dead", "unchecked", "unreadable_time", "unreadable_amount"))

ROLLUPS = (ACTIVITY, EVENTS, PRODUCTS, QUALITY)

# What the catalog says of a product, joined to `product_id` when an answer is read.
PRODUCT_ID = "product_id"
PRODUCT_ATTRIBUTES = ("product_category", "product_brand")

# Distinct persons are HyperLogLog sketches: of all, for minutes, hours and days; by one of these, for hours and days.
PERSON_DIMENSIONS = ("source", "product_id")


def field(measure: str, *values: str) -> str:
    return SEPARATOR.join((measure, *values))
