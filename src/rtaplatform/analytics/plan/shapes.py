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
    PEOPLE,
    PRODUCT_ATTRIBUTES,
    PRODUCT_ID,
    SHARED,
    field,
    sketch_dimension,
)
from rtaplatform.core.values.markers import stored_value

NAMED_FIELDS_MAX = 256


class SumsPlan(Struct, frozen=True):
    """Add `measure` of a rollup where every dimension has one of its `wanted` values. `fields` None: whole buckets.

    `joined` are attributes of products: the last of the dimensions, and in no field of the rollup. `shared`: the total
    that tells whether sums over several products count events twice, where the answer has such sums.
    """

    rollup: str
    measure: str
    dimensions: tuple[str, ...]
    wanted: tuple[frozenset[str] | None, ...]  # per dimension; None: any value
    fields: tuple[str, ...] | None
    with_bots: bool
    scale: int
    joined: tuple[str, ...] = ()
    shared: str | None = None

    @property
    def is_total(self) -> bool:
        return self.fields is not None and self.measure in self.fields


class PersonsPlan(Struct, frozen=True):
    """Unions of sketches. `values` None: of every value that has one; of products, those with the attributes wanted.

    `of`: BUYERS, or "" for all persons.
    """

    dimension: str
    values: tuple[str, ...] | None
    joined: tuple[str, ...] = ()
    wanted: tuple[frozenset[str] | None, ...] = ()  # per attribute; None: any value
    of: str = ""

    @property
    def kept_as(self) -> str:
        """The dimension under which the store has the sketches."""
        return sketch_dimension(self.of, self.dimension)


class OnlinePlan(Struct, frozen=True):
    pass


class DailyPlan(Struct, frozen=True):
    """`measure` of `actives` on the last day: of each point, of the period, of the one before."""

    measure: str


PartShape = SumsPlan | PersonsPlan | OnlinePlan | DailyPlan


def shape_of(query: Query, metric: MetricPart | LiveGauge) -> PartShape:
    """Raises `InvalidParameter` if no rollup holds the dimensions together."""
    match metric:
        case AdditiveMetric():
            return _sums(query, metric)
        case DistinctMetric():
            return replace(_persons(query), of=metric.of)
        case DailyMetric(measure=measure):
            return DailyPlan(measure)
        case LiveGauge():
            return OnlinePlan()


def _sums(query: Query, metric: AdditiveMetric) -> SumsPlan:
    source = _smallest(query, metric)
    filters = {name: frozenset(map(stored_value, values)) for name, values in query.filters}
    if source.events:
        named = frozenset(source.events)
        filters["event"] = named & filters.get("event", named)
    kept, joined = source.rollup.dimensions, _joined(query)
    dimensions = (*kept, *joined)
    wanted = tuple(filters.get(name) for name in dimensions)
    is_total = not filters and not query.breakdown
    shared = None if is_total else _shared(query, source, wanted)
    fields = (source.measure,) if is_total else _named(source, wanted[: len(kept)])
    if fields is not None and shared is not None:
        fields += (shared,)
    with_bots = query.bots == "include" and source.rollup not in PEOPLE
    if fields is not None and with_bots:
        fields += tuple(BOT_PREFIX + name for name in fields)
    return SumsPlan(
        source.rollup.name, source.measure, dimensions, wanted, fields, with_bots, metric.scale, joined, shared
    )


def _shared(query: Query, source: MetricSource, wanted: tuple[frozenset[str] | None, ...]) -> str | None:
    """Where a row adds up several products: an event of two of them counts in both, and once in the row's truth."""
    if source.rollup.name not in BY_PRODUCT or PRODUCT_ID in query.breakdown:
        return None
    products = wanted[source.rollup.dimensions.index(PRODUCT_ID)]
    return None if products is not None and len(products) == 1 else SHARED.get(source.measure)


def _joined(query: Query) -> tuple[str, ...]:
    names = {name for name, _ in query.filters} | set(query.breakdown)
    return tuple(name for name in PRODUCT_ATTRIBUTES if name in names)


def _smallest(query: Query, metric: AdditiveMetric) -> MetricSource:
    needed = {name for name, _ in query.filters} | set(query.breakdown)
    for source in metric.sources:
        if needed <= set(source.dimensions):
            return source
    rollups = {source.rollup.name: list(source.dimensions) for source in metric.sources}
    nearest = max(metric.sources, key=lambda s: len(needed & set(s.dimensions)))
    raise InvalidParameter(
        f"No rollup of {metric.name} holds {', '.join(sorted(needed))} together; the nearest is "
        f"{nearest.rollup.name} ({', '.join(nearest.dimensions)}).",
        field="breakdown" if query.breakdown else next(n for n in needed if n not in nearest.dimensions),
        allowed=rollups, hint="Leave out what the nearest does not hold, or ask two questions.",
    )  # fmt: skip


def _named(source: MetricSource, wanted: tuple[frozenset[str] | None, ...]) -> tuple[str, ...] | None:
    """The fields to read, where all values are known and few; and those that stand for them where they have no seat."""
    rollup = source.rollup
    choices = [
        sorted(values) if values is not None else list(SOURCES) if name == "source" else None
        for name, values in zip(rollup.dimensions, wanted, strict=True)
    ]
    known_choices = [c for c in choices if c is not None]
    count = 1
    for choice in known_choices:
        count *= len(choice)
    if len(known_choices) < len(choices) or count > NAMED_FIELDS_MAX:
        return None
    combinations = list(itertools.product(*known_choices))
    instead = [without_seat(rollup.name, values) for values in combinations]
    return tuple(dict.fromkeys(field(source.measure, *values) for values in (*combinations, *instead)))


def _persons(query: Query) -> PersonsPlan:
    filters, joined = dict(query.filters), _joined(query)
    named = {PRODUCT_ID if name in joined else name for name in (*filters, *query.breakdown)}
    if len(named) > 1:
        raise InvalidParameter(
            "Distinct persons are kept by one dimension at a time; a product's attributes go with product_id.",
            field="breakdown" if query.breakdown else sorted(named)[1],
            allowed=sorted(named), hint="Filter or break down by one of them.",
        )  # fmt: skip
    if not named:
        return PersonsPlan("", ("",))
    dimension = named.pop()
    values = tuple(sorted(set(map(stored_value, filters[dimension])))) if dimension in filters else None
    wanted = tuple(frozenset(map(stored_value, filters[n])) if n in filters else None for n in joined)
    return PersonsPlan(dimension, values, joined, wanted)
