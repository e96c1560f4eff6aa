"""Sum equal events to the fields of their rollups.   Stage 3 of 6.   Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rtaplatform.core.declarations import (
    make_trait_and_event_rollup,
    make_trait_rollup,
    make_value_and_event_rollup,
    make_value_rollup,
)
from rtaplatform.core.rollups import (
    ACQUISITION,
    BOT_PREFIX,
    EVENTS,
    PAGES,
    REGIONS,
    SALES,
    SEPARATOR,
    SHARED,
    TECHNOLOGY,
    make_field,
)
from rtaplatform.process.decode.commerce import NOTHING, EventCommerce
from rtaplatform.process.decode.context import EventVisit
from rtaplatform.process.decode.declared import DeclaredValues
from rtaplatform.process.decode.fast import EventDimensions
from rtaplatform.store.port import CellsKey

EventCounts = Mapping[tuple[EventDimensions, EventCommerce], int]


def _sum_by_dimensions(counts: EventCounts) -> dict[EventDimensions, list[int]]:
    """In the order of the rollup's measures."""
    sums: dict[EventDimensions, list[int]] = {}
    for (dimensions, commerce), n in counts.items():
        measures = sums.get(dimensions)
        if measures is None:
            measures = sums[dimensions] = [0] * len(EVENTS.measures)
        measures[0] += n
        if commerce is not NOTHING:
            measures[1] += commerce.orders * n
            measures[2] += commerce.units * n
            measures[3] += commerce.revenue * n
            measures[4] += commerce.refunds * n
            measures[5] += commerce.other_currencies * n
    return sums


def sum_activity_and_events(counts: EventCounts) -> tuple[dict[str, int], dict[str, int]]:
    """The fields of the rollups `activity` and `events`: each measure's total, and its sums by dimensions."""
    sums, totals = _sum_by_dimensions(counts), dict[str, int]()
    activity: dict[str, int] = {}
    events: dict[str, int] = {}
    for measure, dimensions, n in _iterate_measures(sums):
        totals[measure] = totals.get(measure, 0) + n
        activity_field, events_field = measure + dimensions.activity, measure + dimensions.events
        activity[activity_field] = activity.get(activity_field, 0) + n
        events[events_field] = events.get(events_field, 0) + n
    return totals | activity, totals | events


def _iterate_measures(sums: Mapping[EventDimensions, Sequence[int]]) -> Iterator[tuple[str, EventDimensions, int]]:
    for dimensions, values in sums.items():
        names = BOT_MEASURES if dimensions.is_bot else EVENTS.measures
        for name, n in zip(names, values, strict=True):
            if n:
                yield name, dimensions, n


BOT_MEASURES = tuple(BOT_PREFIX + measure for measure in EVENTS.measures)


def sum_products_and_sales(counts: EventCounts) -> tuple[dict[str, int], dict[str, int]]:
    """The fields of the rollups `products` and `sales`: each measure's total, and its sums by their dimensions."""
    products: dict[str, int] = {}
    sales: dict[str, int] = {}
    for (dimensions, commerce), n in counts.items():
        bots = BOT_PREFIX if dimensions.is_bot else ""
        for measure, product_field, increment in commerce.fields:
            total_field, product_field, addition = bots + measure, bots + product_field, increment * n
            products[total_field] = products.get(total_field, 0) + addition
            products[product_field] = products.get(product_field, 0) + addition
            if measure in SALES_MEASURES:
                sales_field = product_field + dimensions.sales
                sales[total_field] = sales.get(total_field, 0) + addition
                sales[sales_field] = sales.get(sales_field, 0) + addition
        if commerce.shared_field:
            shared_field = bots + commerce.shared_field
            products[shared_field] = products.get(shared_field, 0) + n
            if commerce.shared_field in SALES_SHARED:
                sales[shared_field] = sales.get(shared_field, 0) + n
    return products, sales


SALES_MEASURES = frozenset(SALES.measures)
SALES_SHARED = frozenset(SHARED[measure] for measure in SALES.measures if measure in SHARED)


def sum_visits_and_pages(
    visits: Mapping[tuple[EventDimensions, EventVisit], int], pages: Mapping[tuple[EventDimensions, str], int]
) -> dict[str, dict[str, int]]:
    """The fields of the rollups of visits, by rollup. Without events, a rollup is not there."""
    sums: dict[str, dict[str, int]] = {}
    for (dimensions, visit), n in visits.items():
        bots = BOT_PREFIX if dimensions.is_bot else ""
        for rollup, suffix in (
            (ACQUISITION.name, visit.acquisition),
            (TECHNOLOGY.name, visit.technology + dimensions.device),
            (REGIONS.name, SEPARATOR + dimensions.country + visit.places),
        ):
            _add_field(sums.setdefault(rollup, {}), bots + "count", suffix, n)
            if dimensions.is_page_view:
                _add_field(sums[rollup], bots + "page_views", suffix, n)
    for (dimensions, page), n in pages.items():
        bots = BOT_PREFIX if dimensions.is_bot else ""
        _add_field(sums.setdefault(PAGES.name, {}), bots + "page_views", make_field("", page, dimensions.source), n)
    return sums


def sum_declared_properties(
    declared_counts: Mapping[tuple[EventDimensions, DeclaredValues], int],
) -> dict[str, dict[str, int]]:
    """The fields of the rollups of declared properties, by rollup."""
    sums: dict[str, dict[str, int]] = {}
    for (dimensions, values), n in declared_counts.items():
        measure = BOT_PREFIX + "count" if dimensions.is_bot else "count"
        for name, value in values:
            for rollup, of_field in (
                (make_value_rollup(name), (value,)),
                (make_value_and_event_rollup(name), (value, dimensions.name)),
            ):
                _add_field(sums.setdefault(rollup.name, {}), measure, make_field("", *of_field), n)
    return sums


def sum_declared_traits(
    counts: Mapping[tuple[EventDimensions, EventCommerce, DeclaredValues], int],
) -> dict[str, dict[str, int]]:
    """The fields of the rollups of declared traits, by rollup."""
    sums: dict[str, dict[str, int]] = {}
    for (dimensions, commerce, values), n in counts.items():
        bots = BOT_PREFIX if dimensions.is_bot else ""
        measures = [("count", n)]
        if dimensions.is_page_view:
            measures.append(("page_views", n))
        if commerce is not NOTHING:
            measures += [(name, k * n) for name in EVENTS.measures[1:] if (k := getattr(commerce, name))]
        for name, value in values:
            fields = sums.setdefault(make_trait_rollup(name).name, {})
            for measure, addition in measures:
                _add_field(fields, bots + measure, make_field("", value), addition)
            by_event = sums.setdefault(make_trait_and_event_rollup(name).name, {})
            _add_field(by_event, bots + "count", make_field("", value, dimensions.name), n)
    return sums


def _add_field(fields: dict[str, int], measure: str, suffix: str, n: int) -> None:
    """Add to the total of a measure and to one of its values."""
    name = measure + suffix
    fields[measure] = fields.get(measure, 0) + n
    fields[name] = fields.get(name, 0) + n


def merge_fields(cells: dict[CellsKey, dict[str, int]], key: CellsKey, fields: Mapping[str, int]) -> None:
    bucket = cells.get(key)
    if bucket is None:
        cells[key] = dict(fields)
        return
    for name, n in fields.items():
        bucket[name] = bucket.get(name, 0) + n
