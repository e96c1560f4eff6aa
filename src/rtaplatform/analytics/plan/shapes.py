"""Query + metric → what to read: which rollup, which fields.   Stage 5 of 6, pure.

A shape takes the smallest rollup that holds the dimensions of filter and breakdown, and reads the total's field, else
named fields where their values are known and few, else whole buckets. A question that no rollup holds is refused with
the nearest.
"""

from __future__ import annotations

import itertools

from msgspec import Struct
from msgspec.structs import replace

from rtaplatform.core.caps import without_seat
from rtaplatform.core.errors import InvalidParameter
from rtaplatform.core.events import SOURCES
from rtaplatform.core.metrics import AdditiveMetric, DailyMetric, DistinctMetric, LiveGauge, MetricPart, MetricSource
from rtaplatform.core.query import Query
from rtaplatform.core.rollups import (
    BOT_PREFIX,
    BY_PRODUCT,
    PAGE,
    PEOPLE,
    PRODUCT_ATTRIBUTES,
    PRODUCT_ID,
    SHARED,
    VISIT_DIMENSIONS,
    make_field,
    name_sketch_dimension,
)
from rtaplatform.core.values.markers import to_stored_value

NAMED_FIELDS_MAX = 256
WITH_VALUES_ONLY = frozenset((*VISIT_DIMENSIONS, PAGE))  # of persons


class SumsPlan(Struct, frozen=True):
    """Add `measure` of a rollup where every dimension has a value that `filters` allow. `fields` None: whole buckets.

    `attributes` are those of products: the last of the dimensions, and in no field of the rollup. `shared_total`: the
    total that tells whether sums over several products count events twice, where the answer has such sums.
    """

    rollup: str
    measure: str
    dimensions: tuple[str, ...]
    filters: tuple[frozenset[str] | None, ...]  # per dimension; None: any value
    fields: tuple[str, ...] | None
    with_bots: bool
    scale: int
    attributes: tuple[str, ...] = ()
    shared_total: str | None = None

    @property
    def is_total(self) -> bool:
        return self.fields is not None and self.measure in self.fields


class PersonsPlan(Struct, frozen=True):
    """Unions of sketches. `values` None: of every value that has one; of products, those that `filters` allow.

    `of`: BUYERS, or "" for all persons.
    """

    dimension: str
    values: tuple[str, ...] | None
    attributes: tuple[str, ...] = ()
    filters: tuple[frozenset[str] | None, ...] = ()  # per attribute; None: any value
    of: str = ""

    @property
    def kept_as(self) -> str:
        """The dimension under which the store has the sketches."""
        return name_sketch_dimension(self.of, self.dimension)


class OnlinePlan(Struct, frozen=True):
    pass


class DailyPlan(Struct, frozen=True):
    """`measure` of `actives` on the last day: of each point, of the period, of the one before."""

    measure: str


PartShape = SumsPlan | PersonsPlan | OnlinePlan | DailyPlan


def plan_shape(query: Query, metric: MetricPart | LiveGauge) -> PartShape:
    """Raises `InvalidParameter` if no rollup holds the dimensions together."""
    match metric:
        case AdditiveMetric():
            return _plan_sums(query, metric)
        case DistinctMetric():
            return replace(_plan_persons(query), of=metric.of)
        case DailyMetric(measure=measure):
            return DailyPlan(measure)
        case LiveGauge():
            return OnlinePlan()


def _plan_sums(query: Query, metric: AdditiveMetric) -> SumsPlan:
    source = _choose_source(query, metric)
    allowed = {name: frozenset(map(to_stored_value, values)) for name, values in query.filters}
    if source.events:
        event_names = frozenset(source.events)
        allowed["event"] = event_names & allowed.get("event", event_names)
    rollup_dimensions, attributes = source.rollup.dimensions, _list_attributes(query)
    dimensions = (*rollup_dimensions, *attributes)
    filters = tuple(allowed.get(name) for name in dimensions)
    is_total = not allowed and not query.breakdown
    shared_total = None if is_total else _find_shared_total(query, source, filters)
    fields = (source.measure,) if is_total else _name_fields(source, filters[: len(rollup_dimensions)])
    if fields is not None and shared_total is not None:
        fields += (shared_total,)
    with_bots = query.bots == "include" and source.rollup not in PEOPLE
    if fields is not None and with_bots:
        fields += tuple(BOT_PREFIX + name for name in fields)
    return SumsPlan(
        source.rollup.name,
        source.measure,
        dimensions,
        filters,
        fields,
        with_bots,
        metric.scale,
        attributes,
        shared_total,
    )


def _find_shared_total(query: Query, source: MetricSource, filters: tuple[frozenset[str] | None, ...]) -> str | None:
    """Where a row adds up several products: an event of two of them counts in both, and once in the row's truth."""
    if source.rollup.name not in BY_PRODUCT or PRODUCT_ID in query.breakdown:
        return None
    products = filters[source.rollup.dimensions.index(PRODUCT_ID)]
    return None if products is not None and len(products) == 1 else SHARED.get(source.measure)


def _list_attributes(query: Query) -> tuple[str, ...]:
    names = {name for name, _ in query.filters} | set(query.breakdown)
    return tuple(name for name in PRODUCT_ATTRIBUTES if name in names)


def _choose_source(query: Query, metric: AdditiveMetric) -> MetricSource:
    dimensions = {name for name, _ in query.filters} | set(query.breakdown)
    for source in metric.sources:
        if dimensions <= set(source.dimensions):
            return source
    rollups = {source.rollup.name: list(source.dimensions) for source in metric.sources}
    nearest = max(metric.sources, key=lambda s: len(dimensions & set(s.dimensions)))
    raise InvalidParameter(
        f"No rollup of {metric.name} holds {', '.join(sorted(dimensions))} together; the nearest is "
        f"{nearest.rollup.name} ({', '.join(nearest.dimensions)}).",
        field="breakdown" if query.breakdown else next(n for n in dimensions if n not in nearest.dimensions),
        allowed=rollups, hint="Leave out what the nearest does not hold, or ask two questions.",
    )  # fmt: skip


def _name_fields(source: MetricSource, filters: tuple[frozenset[str] | None, ...]) -> tuple[str, ...] | None:
    """The fields to read, where all values are known and few; and those that stand for them where they have no seat."""
    rollup = source.rollup
    choices = [
        sorted(values) if values is not None else list(SOURCES) if name == "source" else None
        for name, values in zip(rollup.dimensions, filters, strict=True)
    ]
    known_choices = [c for c in choices if c is not None]
    count = 1
    for choice in known_choices:
        count *= len(choice)
    if len(known_choices) < len(choices) or count > NAMED_FIELDS_MAX:
        return None
    combinations = list(itertools.product(*known_choices))
    instead = [without_seat(rollup.name, values) for values in combinations]
    return tuple(dict.fromkeys(make_field(source.measure, *values) for values in (*combinations, *instead)))


def _plan_persons(query: Query) -> PersonsPlan:
    values_of, attributes = dict(query.filters), _list_attributes(query)
    dimensions = {PRODUCT_ID if name in attributes else name for name in (*values_of, *query.breakdown)}
    if len(dimensions) > 1:
        raise InvalidParameter(
            "Distinct persons are kept by one dimension at a time; a product's attributes go with product_id.",
            field="breakdown" if query.breakdown else sorted(dimensions)[1],
            allowed=sorted(dimensions), hint="Filter or break down by one of them.",
        )  # fmt: skip
    if not dimensions:
        return PersonsPlan("", ("",))
    dimension = dimensions.pop()
    values = tuple(sorted(set(map(to_stored_value, values_of[dimension])))) if dimension in values_of else None
    if values and "" in values and dimension in WITH_VALUES_ONLY:
        raise InvalidParameter(
            f"Distinct persons of events without {dimension} are not kept: nearly everybody has such events.",
            field=dimension, allowed="values but (none)", hint="Ask for events or page_views with (none).",
        )  # fmt: skip
    filters = tuple(frozenset(map(to_stored_value, values_of[n])) if n in values_of else None for n in attributes)
    return PersonsPlan(dimension, values, attributes, filters)
