"""Query + project + clock → plan: which rollup, which fields, which buckets.   Stage 5 of 6, pure.

The plan takes the smallest rollup that holds the dimensions of filter and breakdown, and reads the total's field,
else named fields where their values are known and few, else whole buckets. A question that no rollup holds is refused
with the nearest. Of a breakdown one row more than its limit is asked for, so that the answer can tell of the rest.
A derived metric has a plan for each of its parts, all for one period and with all rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from rtaplatform.analytics.plan.decay import decay_weights
from rtaplatform.analytics.plan.period import Period, cut_period
from rtaplatform.core.caps import without_seat
from rtaplatform.core.errors import InvalidParameter
from rtaplatform.core.events import SOURCES
from rtaplatform.core.metrics import (
    METRICS,
    AdditiveMetric,
    DerivedMetric,
    DistinctMetric,
    LiveGauge,
    Metric,
    MetricSource,
)
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.query import ALL_ROWS, NOW, Anchor, Query, TimeExpression
from rtaplatform.core.rollups import (
    BOT_PREFIX,
    BY_PRODUCT,
    PRODUCT_ATTRIBUTES,
    PRODUCT_ID,
    SALES,
    SHARED,
    field,
    sketch_dimension,
)
from rtaplatform.core.time.buckets import MINUTE_MS, BucketKind, sketch_retention_ms
from rtaplatform.core.values.markers import stored_value

NAMED_FIELDS_MAX = 256
NAMED_CELLS_MAX = 50_000  # named fields in all buckets of a question; beyond, whole buckets are read in portions
POINTS_PER_ANSWER_MAX = 100_000
ALL_KINDS = (BucketKind.MINUTE, BucketKind.HOUR, BucketKind.DAY)
DIMENSION_KINDS = (BucketKind.HOUR, BucketKind.DAY)


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


class DerivedPlan(Struct, frozen=True):
    """The plans of a derived metric's parts, in their order."""

    metric: DerivedMetric
    parts: tuple[QueryPlan, ...]


PartShape = SumsPlan | PersonsPlan | OnlinePlan


class QueryPlan(Struct, frozen=True):
    query: Query
    project: ProjectSettings
    metric: Metric
    period: Period
    shape: PartShape | DerivedPlan
    weights: tuple[int, ...] = ()  # of the points, if rows are sorted by their weighted sum

    @property
    def parts(self) -> tuple[QueryPlan, ...]:
        """The plans to read: the parts of a derived metric, else the plan itself."""
        return self.shape.parts if isinstance(self.shape, DerivedPlan) else (self,)


Cut = Callable[[Query, ProjectSettings, int, tuple[BucketKind, ...]], Period]


def make_plan(query: Query, project: ProjectSettings, now_ms: int, cut: Cut = cut_period) -> QueryPlan:
    """Raises `InvalidParameter`, which names the field and the allowed values. `now_ms` is a whole minute."""
    metric = METRICS[query.metric]
    parts = _parts_of(metric)
    shapes = [_shape(query, part) for part in parts]
    beside = [_shape(query, part) for name in query.beside for part in _parts_of(METRICS[name])]
    asked = _of_the_moment(query) if isinstance(metric, LiveGauge) else _period_asked(query)
    period = _cut_for([*shapes, *beside], lambda kinds: cut(asked, project, now_ms, kinds), now_ms)
    _require_size(query, period)
    if query.breakdown:
        query = replace(query, limit=query.limit + 1)
    bounded = [_bounded(shape, period) for shape in shapes]
    if not isinstance(metric, DerivedMetric):
        return QueryPlan(query, project, metric, period, bounded[0], _weights(query, period))
    every = replace(query, limit=ALL_ROWS)
    plans = [QueryPlan(every, project, part, period, shape) for part, shape in zip(parts, bounded, strict=True)]
    return QueryPlan(query, project, metric, period, DerivedPlan(metric, tuple(plans)))


def _parts_of(metric: Metric) -> tuple[AdditiveMetric | DistinctMetric | LiveGauge, ...]:
    return metric.parts if isinstance(metric, DerivedMetric) else (metric,)


def _weights(query: Query, period: Period) -> tuple[int, ...]:
    if not query.half_life_ms:
        return ()
    starts = [span.start * MINUTE_MS for span in period.spans]
    return tuple(decay_weights(starts, period.end * MINUTE_MS, query.half_life_ms))


def _cut_for(shapes: Sequence[PartShape], cut: Callable[[tuple[BucketKind, ...]], Period], now_ms: int) -> Period:
    """Cut one period whose buckets exist for all of the shapes."""
    dimensions = [shape.kept_as for shape in shapes if isinstance(shape, PersonsPlan) and shape.kept_as]
    has_sales = any(isinstance(shape, SumsPlan) and shape.rollup == SALES.name for shape in shapes)
    period = cut(DIMENSION_KINDS if dimensions or has_sales else ALL_KINDS)
    kept_ms = min((sketch_retention_ms(BucketKind.HOUR, dimension) for dimension in dimensions), default=0)
    if dimensions and _has_hours_before(period, now_ms - kept_ms):
        period = cut((BucketKind.DAY,))
    return period


def _has_hours_before(period: Period, ms: int) -> bool:
    """Whether the period has hours that begin at `ms` or earlier, which are no longer kept for persons by dimension."""
    tiles = (*period.tiles, *period.whole, *(period.previous or ()))
    return any(kind is BucketKind.HOUR and start * MINUTE_MS <= ms for kind, start in tiles)


def _bounded(shape: PartShape, period: Period) -> PartShape:
    if not isinstance(shape, SumsPlan):
        return shape
    buckets = len(period.tiles) + len(period.previous or ())
    is_few = shape.fields is None or shape.is_total or len(shape.fields) * buckets <= NAMED_CELLS_MAX
    return shape if is_few else replace(shape, fields=None)


def _require_size(query: Query, period: Period) -> None:
    if query.breakdown and query.limit * len(period.spans) > POINTS_PER_ANSWER_MAX:
        raise InvalidParameter(
            f"`limit` series of {len(period.spans)} points are too many.", field="limit",
            allowed=f"at most {POINTS_PER_ANSWER_MAX // len(period.spans)} here", hint="Use a longer interval.",
        )  # fmt: skip


def _of_the_moment(query: Query) -> Query:
    """The query for `online`, which is always about the last 5 minutes."""
    last = TimeExpression(Anchor.NOW, -5 * MINUTE_MS)
    return Query("", last, NOW, timezone=query.timezone)


def _period_asked(query: Query) -> Query:
    """The part of a query that decides its period, so that a common period is cut once."""
    return Query("", query.start, query.end, query.interval, query.timezone, query.week_start, compare=query.compare)


def _shape(query: Query, metric: AdditiveMetric | DistinctMetric | LiveGauge) -> PartShape:
    match metric:
        case AdditiveMetric():
            return _sums(query, metric)
        case DistinctMetric():
            return replace(_persons(query), of=metric.of)
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
    with_bots = query.bots == "include"
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
    asked = {name for name, _ in query.filters} | set(query.breakdown)
    return tuple(name for name in PRODUCT_ATTRIBUTES if name in asked)


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
    known = [c for c in choices if c is not None]
    count = 1
    for choice in known:
        count *= len(choice)
    if len(known) < len(choices) or count > NAMED_FIELDS_MAX:
        return None
    found = list(itertools.product(*known))
    instead = [without_seat(rollup.name, values) for values in found]
    return tuple(dict.fromkeys(field(source.measure, *values) for values in (*found, *instead)))


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
