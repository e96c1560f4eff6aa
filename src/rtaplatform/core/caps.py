"""How many values a bucket holds, and where the others are counted.   Pure.   Read by the store, the planner and docs.

A value of a rollup is one combination of its dimensions. It has a seat in a bucket, with all its measures, or it has
none, with none of them. Who comes first has one, up to the cap. Some values are *bounded*: the sources, the names of
commerce events and of call types, and the product that an event does not name. A combination of bounded values alone
always has a seat. Where there is none left, every value that is not bounded is replaced by OTHER, and what is bounded
stays: so a flood of event names leaves orders, page views and the numbers by source as they are.

There are three kinds of seats, each up to the cap: of combinations with a bounded name, of the others, and of both
once more for events that are marked as bots. None can take another's.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from rtaplatform.core.events import CALL_NAMES, COMMERCE_EVENTS
from rtaplatform.core.rollups import ACTIVITY, EVENTS, OTHER, PRODUCTS
from rtaplatform.core.time.buckets import BucketKind

ANY = True
NAMES: frozenset[str] = frozenset(COMMERCE_EVENTS) | frozenset(CALL_NAMES.values())
NO_PRODUCT = ""

# By rollup and dimension: the values that are bounded, or ANY of them.
BOUNDED: Mapping[str, tuple[frozenset[str] | bool, ...]] = {
    ACTIVITY.name: (NAMES, ANY),
    EVENTS.name: (NAMES, ANY, False, False),
    PRODUCTS.name: (frozenset({NO_PRODUCT}),),
}
# A value that has a seat has this measure's field, with 0 where nothing was added to it.
ANCHORS: Mapping[str, str] = {ACTIVITY.name: "count", EVENTS.name: "count", PRODUCTS.name: "views"}


class Caps(Struct, frozen=True):
    """Seats of each kind in a bucket, and the bytes of sketches that end the admission of products to it."""

    products: int = 100_000
    products_of_minute: int = 20_000
    combinations: int = 10_000
    sketch_bytes: int = 32 * 2**20

    def seats(self, rollup: str, kind: BucketKind) -> int:
        if rollup != PRODUCTS.name:
            return self.combinations
        return self.products_of_minute if kind is BucketKind.MINUTE else self.products


CAPS = Caps()


def is_bounded(rollup: str, at: int, value: str) -> bool:
    """Whether a value of the dimension at that place always stays what it is."""
    bounded = BOUNDED[rollup][at]
    return bounded if isinstance(bounded, bool) else value in bounded


def without_seat(rollup: str, values: tuple[str, ...]) -> tuple[str, ...]:
    """What stands for a combination that has no seat; itself where it always has one."""
    return tuple(value if is_bounded(rollup, at, value) else OTHER for at, value in enumerate(values))


def seats_of(rollup: str, values: tuple[str, ...]) -> str:
    """The kind of seats that a combination takes, bots apart."""
    return "named" if is_bounded(rollup, 0, values[0]) else "open"
