"""The rollups: dimensions × measures that are kept for each time bucket.   Read by worker, planner, and docs.

A field of a bucket is named `measure US value US value …` (US = U+001F, which no dimension's value contains). The field
`measure` alone is the bucket's total, which is exact even if the cap on values (caps.py) sends some to `OTHER`. Fields
of events marked as bots begin with `~`. The field `!` and a name says that this field lacks amounts that would have
exceeded 64 bits; `!` alone says that the bucket has such fields. The field `#` and a kind of seats counts the seats
taken. `#changes` counts the calls that changed a bucket whose numbers may fall.
"""

from __future__ import annotations

from msgspec import Struct

SEPARATOR = "\x1f"
OTHER = "\x1e"  # stands in a field for the values that have no seat in a full bucket
BOT_PREFIX = "~"
SHORT_PREFIX = "!"
SEATS_PREFIX = "#"
CHANGES = "#changes"  # how often depends on the batches, so no digest has it

SCALE = 10_000  # amounts and quantities are integers in 10⁻⁴ units


class Rollup(Struct, frozen=True):
    name: str
    dimensions: tuple[str, ...]
    measures: tuple[str, ...]


_OF_EVENTS = ("count", "orders", "units", "revenue", "refunds", "other_currencies")
ACTIVITY = Rollup("activity", ("event", "source"), _OF_EVENTS)
EVENTS = Rollup("events", ("event", "source", "country", "device"), _OF_EVENTS)
PRODUCTS = Rollup(
    "products",
    ("product_id",),
    ("views", "adds", "checkouts", "orders", "units", "revenue", "refunds", "refunded_units"),
)
# What sells where: kept by hour and day only.
SALES = Rollup("sales", ("product_id", "country", "source"), ("views", "adds", "orders", "units", "revenue"))
BY_PRODUCT = frozenset((PRODUCTS.name, SALES.name))
# Where events come from, and with what: kept by hour and day only.
PAGE = "page"
PAGES = Rollup("pages", (PAGE, "source"), ("page_views",))
ACQUISITION = Rollup(
    "acquisition", ("utm_source", "utm_medium", "utm_campaign", "referrer", "channel"), ("count", "page_views")
)
TECHNOLOGY = Rollup("technology", ("os", "browser", "device"), ("count", "page_views"))
REGIONS = Rollup("regions", ("country", "region", "language"), ("count", "page_views"))
VISITS = (PAGES, ACQUISITION, TECHNOLOGY, REGIONS)
# Totals of these two only: events with several different products, which a sum over products counts several times.
SHARED = {name: f"shared_{name}" for name in ("views", "adds", "checkouts", "orders")}
# In totals of `products` only, too: refunds with lines. Amounts may fall, so sums alone do not tell whether one came.
REFUND_EVENTS = "refund_events"
# By stream time, not by the event's time: records that did not count, and parts of events that could not be read.
QUALITY = Rollup(
    "quality", (), ("duplicate", "late", "dead", "unchecked", "unreadable_time", "unreadable_amount", "repeated_order")
)

# Facts about a bucket's sketches, by their dimension: see docs/reference/store.md.
PERSONS = Rollup("persons", ("dimension",), ("bytes", "left_out", "broken"))

# Sums over persons. `d0` of `retention` is how many were first seen on that day, `d<n>` how many of these were active n
# days later; `w0` and `w<n>` are the same by weeks, in the bucket of the week's first day.
ACTIVES = Rollup("actives", (), ("dau", "wau", "mau", "new"))
RETENTION = Rollup("retention", (), ("d<days>", "w<weeks>"))
SESSIONS = Rollup(
    "sessions",
    ("source", "country", "device"),
    ("sessions", "events", "duration_ms", "bounces", "with_order", "with_add", "with_add_and_order"),
)
# Sessions by their length (time/session_lengths.py), by hour and day only; of all, and by the same dimensions.
LENGTHS = Rollup("lengths", ("length",), ("sessions",))
SESSION_LENGTHS = Rollup("session_lengths", ("length", *SESSIONS.dimensions), ("sessions",))
# Sessions by the campaign, referrer and channel of their first event, and the orders that fell into them.
ORIGINS = Rollup(
    "origins", ACQUISITION.dimensions, (*SESSIONS.measures, "orders", "units", "revenue", "other_currencies")
)
SESSION_PAGES = Rollup("session_pages", (PAGE, "source"), ("entries", "exits"))
PEOPLE = (ACTIVES, RETENTION, SESSIONS, LENGTHS, SESSION_LENGTHS, ORIGINS, SESSION_PAGES)
# A late event may begin a session earlier, and a link make one of two. Their buckets have `CHANGES`.
FALLING = frozenset((SESSIONS.name, LENGTHS.name, SESSION_LENGTHS.name, ORIGINS.name, SESSION_PAGES.name))

ROLLUPS = (ACTIVITY, EVENTS, PRODUCTS, SALES, *VISITS, QUALITY, PERSONS, *PEOPLE)
WITHOUT_MINUTES = frozenset(
    rollup.name for rollup in (SALES, *VISITS, LENGTHS, SESSION_LENGTHS, ORIGINS, SESSION_PAGES)
)

# Attributes of a product in the catalog, joined to `product_id` when an answer is made.
PRODUCT_ID = "product_id"
PRODUCT_ATTRIBUTES = ("product_category", "product_brand")

# Distinct persons are HyperLogLog sketches: of all, for minutes, hours and days; by one of these, for hours and days.
PLACE_DIMENSIONS = ("source", "country", "device")
VISIT_DIMENSIONS = (*ACQUISITION.dimensions, "os", "browser", "region", "language")
PERSON_DIMENSIONS = (*PLACE_DIMENSIONS, *VISIT_DIMENSIONS, PAGE, PRODUCT_ID)
# By declared user trait, too: `user.<trait>` (core/declarations.py).
TRAIT_PREFIX = "user."
# Those of persons with an order have names of their own: `buyers`, `buyers_source`, `buyers_product_id` …; no minutes.
BUYER_DIMENSIONS = (*PLACE_DIMENSIONS, PRODUCT_ID)
BUYERS = "buyers"


def name_sketch_dimension(of: str, dimension: str) -> str:
    """The name under which sketches are kept. `of`: BUYERS, or "" for all visitors. `dimension` "": all values."""
    return f"{of}_{dimension}" if of and dimension else of or dimension


def has_many_values(kept_as: str) -> bool:
    """Whether the sketches kept under this name are those of products or pages, of which there may be very many."""
    return kept_as in (PRODUCT_ID, PAGE, name_sketch_dimension(BUYERS, PRODUCT_ID))


def is_short_lived(kept_as: str) -> bool:
    """Whether the sketches of hours kept under this name go sooner than other buckets of hours."""
    return has_many_values(kept_as) or kept_as in VISIT_DIMENSIONS or kept_as.startswith(TRAIT_PREFIX)


def make_field(measure: str, *values: str) -> str:
    return SEPARATOR.join((measure, *values))
