"""The events of a minute, counted together, and the sketches of their persons.   Stage 3 of 6.   Pure.

Many events of a minute are alike in one respect, and few in all of them. So each respect is counted by itself: what
happened, where the visit came from, which page was seen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain
from typing import TypeVar

from msgspec import Struct

from rtaplatform.core.rollups import BUYERS
from rtaplatform.core.time.buckets import BucketKind
from rtaplatform.process.decode.commerce import NOTHING, EventCommerce
from rtaplatform.process.decode.context import EventVisit
from rtaplatform.process.decode.declared import DeclaredValues
from rtaplatform.process.decode.fast import DecodedEvent, EventDimensions
from rtaplatform.process.fold.known_orders import CountedOrders, CountsKey
from rtaplatform.process.fold.person_state import PersonNames
from rtaplatform.process.fold.persons_by_place import (
    SketchName,
    group_by_page,
    group_by_place,
    group_by_product,
    group_by_trait_value,
    group_by_visit,
)
from rtaplatform.process.fold.retention_levels import HOUR_WITHOUT_SHORT_SKETCHES

Name = TypeVar("Name", EventDimensions, EventVisit, str, DeclaredValues)
TraitEvent = tuple[DecodedEvent, EventCommerce, DeclaredValues]  # and the declared traits by which it counts
TraitCounts = dict[tuple[EventDimensions, EventCommerce, DeclaredValues], int]


class MinuteTally(Struct):
    """The events of one project, minute and level of retention, before they are spread over rollups and buckets.

    `counts`: how many events are equal; equal events share these two objects. `visits`, `pages` and `declared` count
    likewise: `pages` page views only, `declared` events of projects that declare properties. Orders, and `buyers`, the
    persons with an order, come last, by `settle`; so do `by_traits` and `persons_by_traits`, of projects that declare
    traits. Bots are in no set of persons. An event has all places in its dimensions, so it is added to one set for
    them; and to one for all that its visit is known by.
    """

    counts: dict[tuple[EventDimensions, EventCommerce], int]
    visits: dict[tuple[EventDimensions, EventVisit], int]
    pages: dict[tuple[EventDimensions, str], int]
    declared: dict[tuple[EventDimensions, DeclaredValues], int]
    persons: dict[EventDimensions, set[bytes]]
    persons_by_visit: dict[EventVisit, set[bytes]]
    persons_by_page: dict[str, set[bytes]]
    persons_by_product: dict[str, set[bytes]]
    buyers: dict[EventDimensions, set[bytes]]
    buyers_by_product: dict[str, set[bytes]]
    by_traits: TraitCounts = {}
    persons_by_traits: dict[DeclaredValues, set[bytes]] = {}

    def settle(
        self, orders: CountedOrders, ids: Mapping[bytes, bytes], traits: Iterable[TraitEvent] = ()
    ) -> MinuteTally:
        """The same with orders and their buyers, and with persons under the ids under which they are counted.

        `traits`: the events of a project that declares traits.
        """
        by_traits, persons_by_traits = _count_by_traits(traits)
        return MinuteTally(
            _add_counts(self.counts, orders.counts),
            self.visits,
            self.pages,
            self.declared,
            _rename_persons(self.persons, ids),
            _rename_persons(self.persons_by_visit, ids),
            _rename_persons(self.persons_by_page, ids),
            _rename_persons(self.persons_by_product, ids),
            _rename_persons(orders.buyers, ids),
            _rename_persons(orders.buyers_by_product, ids),
            by_traits,
            _rename_persons(persons_by_traits, ids),
        )


def list_trait_events(
    events: Iterable[tuple[DecodedEvent, EventCommerce]],
    names: PersonNames,
    repeated_orders: Collection[int],
    unknown: DeclaredValues,
) -> list[TraitEvent]:
    """The events by the traits of their persons. A repeated order adds no amounts, and a bot's traits are unknown."""
    return [
        (event, NOTHING if id(event) in repeated_orders else commerce, names.traits.get(id(event), unknown))
        for event, commerce in events
    ]


def _count_by_traits(events: Iterable[TraitEvent]) -> tuple[TraitCounts, dict[DeclaredValues, set[bytes]]]:
    counts: TraitCounts = {}
    persons: dict[DeclaredValues, set[bytes]] = {}
    for event, commerce, values in events:
        key = (event.dimensions, commerce, values)
        counts[key] = counts.get(key, 0) + 1
        if not event.dimensions.is_bot:
            persons.setdefault(values, set()).add(event.person)
    return counts, persons


def _add_counts(counts: dict[CountsKey, int], more: Mapping[CountsKey, int]) -> dict[CountsKey, int]:
    return {**counts, **{key: n + counts.get(key, 0) for key, n in more.items()}} if more else counts


def _rename_persons(sets: dict[Name, set[bytes]], ids: Mapping[bytes, bytes]) -> dict[Name, set[bytes]]:
    if not ids:
        return sets
    return {
        name: persons if ids.keys().isdisjoint(persons) else {ids.get(person, person) for person in persons}
        for name, persons in sets.items()
    }


def make_tally() -> MinuteTally:
    return MinuteTally({}, {}, {}, {}, {}, {}, {}, {}, {}, {})


def add_visitor(event: DecodedEvent, commerce: EventCommerce, tally: MinuteTally) -> None:
    """Add the event's person to the sets of its minute."""
    person, dimensions, visit = event.person, event.dimensions, event.visit
    persons = tally.persons.get(dimensions)
    if persons is None:
        persons = tally.persons[dimensions] = set()
    persons.add(person)
    persons = tally.persons_by_visit.get(visit)
    if persons is None:
        persons = tally.persons_by_visit[visit] = set()
    persons.add(person)
    if dimensions.is_page_view:
        persons = tally.persons_by_page.get(event.page)
        if persons is None:
            persons = tally.persons_by_page[event.page] = set()
        persons.add(person)
    for product in commerce.person_products:
        persons = tally.persons_by_product.get(product)
        if persons is None:
            persons = tally.persons_by_product[product] = set()
        persons.add(person)


def list_sketches(
    tally: MinuteTally, buckets: list[tuple[BucketKind, int]], level: int
) -> Iterator[tuple[BucketKind, int, SketchName, set[bytes]]]:
    """All persons by minute, hour and day; those of a place, page or product, and buyers, by hour and day only."""
    all_persons = set[bytes]().union(*tally.persons.values())
    lasting = group_by_place("", tally.persons)
    if tally.buyers:
        lasting[(BUYERS, "")] = set[bytes]().union(*tally.buyers.values())
        lasting |= group_by_place(BUYERS, tally.buyers)
    short = group_by_product("", tally.persons_by_product) | group_by_product(BUYERS, tally.buyers_by_product)
    short |= group_by_page(tally.persons_by_page) | group_by_visit(tally.persons_by_visit)
    if tally.persons_by_traits:
        short |= group_by_trait_value(tally.persons_by_traits)
    for kind, start in buckets:
        yield kind, start, ("", ""), all_persons
        if kind is BucketKind.MINUTE:
            continue
        has_short = kind is BucketKind.DAY or level > HOUR_WITHOUT_SHORT_SKETCHES
        for name, persons in chain(lasting.items(), short.items() if has_short else ()):
            yield kind, start, name, persons
