"""How many values a bucket holds, and where the others are counted.   Pure.   Read by the store, the planner and docs.

A combination of a rollup's dimensions has a seat in a bucket, with all its measures, or it has none. Seats are given in
order of arrival, up to the cap. Some values are *bounded*: the sources, the names of commerce events and of call types,
the empty product id, and what is empty of a visit or of a declared dimension. A combination of bounded values only
always has a seat. In a combination without a seat, every value that is not bounded is replaced by OTHER. So a flood of
event names leaves orders, page views and the numbers by source as they are.

There are separate seats for combinations with a bounded name and for the others, and both again for events that are
marked as bots. Each kind has its own cap.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from msgspec import Struct

from rtaplatform.core.declarations import VALUES_MAX, has_events, is_declared
from rtaplatform.core.events import CALL_NAMES, COMMERCE_EVENTS
from rtaplatform.core.rollups import (
    ACQUISITION,
    ACTIVITY,
    EVENTS,
    ORIGINS,
    OTHER,
    PAGES,
    PRODUCTS,
    REGIONS,
    SALES,
    SESSION_LENGTHS,
    SESSION_PAGES,
    SESSIONS,
    TECHNOLOGY,
    has_many_values,
)
from rtaplatform.core.time.buckets import BucketKind

ANY = True
NAMES: frozenset[str] = frozenset(COMMERCE_EVENTS) | frozenset(CALL_NAMES.values())
NO_PRODUCT = ""
EMPTY = frozenset(("",))

# By rollup and dimension: the bounded values, or ANY if all values are bounded.
BOUNDED: Mapping[str, tuple[frozenset[str] | bool, ...]] = {
    ACTIVITY.name: (NAMES, ANY),
    EVENTS.name: (NAMES, ANY, False, False),
    PRODUCTS.name: (frozenset({NO_PRODUCT}),),
    SALES.name: (frozenset({NO_PRODUCT}), False, ANY),
    PAGES.name: (EMPTY, ANY),
    ACQUISITION.name: (EMPTY,) * len(ACQUISITION.dimensions),
    TECHNOLOGY.name: (EMPTY,) * len(TECHNOLOGY.dimensions),
    REGIONS.name: (EMPTY,) * len(REGIONS.dimensions),
    SESSIONS.name: (ANY, False, False),
    SESSION_LENGTHS.name: (ANY, ANY, False, False),
    ORIGINS.name: (EMPTY,) * len(ORIGINS.dimensions),
    SESSION_PAGES.name: (EMPTY, ANY),
}
# A combination with a seat has the field of this measure, with 0 if nothing was added to it.
ANCHORS: Mapping[str, str] = {
    ACTIVITY.name: "count",
    EVENTS.name: "count",
    PRODUCTS.name: "views",
    SALES.name: "views",
    PAGES.name: "page_views",
    ACQUISITION.name: "count",
    TECHNOLOGY.name: "count",
    REGIONS.name: "count",
    SESSIONS.name: "sessions",
    SESSION_LENGTHS.name: "sessions",
    ORIGINS.name: "sessions",
    SESSION_PAGES.name: "entries",
}
_OF_DECLARED = (EMPTY, NAMES)  # the value of a property or trait, and the event's name


@lru_cache(maxsize=1_024)
def list_bounded_values(rollup: str) -> tuple[frozenset[str] | bool, ...]:
    """For each dimension of a rollup its bounded values, or ANY; empty if the rollup has no cap."""
    if is_declared(rollup):
        return _OF_DECLARED if has_events(rollup) else _OF_DECLARED[:1]
    return BOUNDED.get(rollup, ())


def find_anchor(rollup: str) -> str:
    return ANCHORS.get(rollup, "count")


class Caps(Struct, frozen=True):
    """Seats of each kind in a bucket.

    `product_sketch_bytes`: from this size on, a bucket gets no sketches of new products, and of new pages likewise;
    `place_sketch_bytes`: the same for every other dimension. Each dimension may have so much. A sketch takes at most
    12.5 KB, so that every country has one.
    """

    products: int = 100_000
    products_of_minute: int = 20_000
    combinations: int = 10_000
    sales: int = 50_000
    property_values: int = VALUES_MAX
    product_sketch_bytes: int = 32 * 2**20
    place_sketch_bytes: int = 4 * 2**20

    def count_seats(self, rollup: str, kind: BucketKind) -> int:
        if is_declared(rollup) and not has_events(rollup):
            return self.property_values
        if rollup != PRODUCTS.name:
            return self.sales if rollup == SALES.name else self.combinations
        return self.products_of_minute if kind is BucketKind.MINUTE else self.products

    def choose_sketch_bytes(self, dimension: str) -> int:
        """`dimension`: the name under which the sketches are kept."""
        return self.product_sketch_bytes if has_many_values(dimension) else self.place_sketch_bytes


CAPS = Caps()


def is_bounded(rollup: str, index: int, value: str) -> bool:
    """Whether a value of the rollup's dimension at this index is never replaced by OTHER."""
    bounded_values = list_bounded_values(rollup)[index]
    return bounded_values if isinstance(bounded_values, bool) else value in bounded_values


def without_seat(rollup: str, values: tuple[str, ...]) -> tuple[str, ...]:
    """The combination under which one without a seat is counted; the same one if it always has a seat."""
    return tuple(value if is_bounded(rollup, index, value) else OTHER for index, value in enumerate(values))


def find_seat_kind(rollup: str, values: tuple[str, ...]) -> str:
    """The kind of seats that a combination takes, apart from bots."""
    return "named" if is_bounded(rollup, 0, values[0]) else "open"
