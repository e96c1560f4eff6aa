"""Query + project + clock → plan: which rollup, which fields, which buckets.   Stage 5 of 6, pure.

shapes.py says which fields of which rollup are read, period.py in which buckets. Of a breakdown one row more than its
limit is asked for, so that the answer can tell of the rest. A derived metric has a plan for each of its parts, all for
one period and with all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from rtaplatform.analytics.plan.decay import compute_weights
from rtaplatform.analytics.plan.declared_dimensions import require_declared, resolve_metric
from rtaplatform.analytics.plan.dimension_groups import can_filter
from rtaplatform.analytics.plan.metric_intervals import find_daily, widen_to_days
from rtaplatform.analytics.plan.period import Period, cut_period
from rtaplatform.analytics.plan.shapes import PartShape, PersonsPlan, SumsPlan, plan_shape
from rtaplatform.core.declarations import has_minutes
from rtaplatform.core.errors import InvalidParameter
from rtaplatform.core.metrics import (
    COUNTS_BY_LENGTH,
    LENGTH,
    METRICS,
    DerivedMetric,
    LiveGauge,
    Metric,
    MetricPart,
    QuantileMetric,
)
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.query import ALL_ROWS, NOW, Anchor, Query, TimeExpression
from rtaplatform.core.time.buckets import MINUTE_MS, BucketKind, find_sketch_retention_ms

NAMED_CELLS_MAX = 50_000  # named fields in all buckets of a question; beyond, whole buckets are read in portions
POINTS_PER_ANSWER_MAX = 100_000
ALL_KINDS = (BucketKind.MINUTE, BucketKind.HOUR, BucketKind.DAY)
DIMENSION_KINDS = (BucketKind.HOUR, BucketKind.DAY)
DAY_KINDS = (BucketKind.DAY,)


class DerivedPlan(Struct, frozen=True):
    """The plans of a derived metric's parts, in their order."""

    metric: DerivedMetric | QuantileMetric
    parts: tuple[QueryPlan, ...]


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
    require_declared(query, project)
    # The list of metrics leaves out what only length_histogram.py asks for.
    metric = resolve_metric(query.metric, project) if query.metric in METRICS else COUNTS_BY_LENGTH
    shapes = _make_shapes(query, metric)
    together = [resolve_metric(name, project) for name in query.period_metrics]
    other_shapes = [
        shape for other in together for shape in _make_shapes(_drop_impossible_filters(query, other), other)
    ]
    period_query = _ask_last_minutes(query) if isinstance(metric, LiveGauge) else _keep_period(query)
    if (daily := find_daily([metric, *together])) is not None:
        period_query = widen_to_days(period_query, daily, project, now_ms)
    kinds_max = ALL_KINDS if daily is None else DAY_KINDS
    period = _cut_for(
        [*shapes, *other_shapes], kinds_max, lambda kinds: cut(period_query, project, now_ms, kinds), now_ms
    )
    _require_size(query, period)
    if query.breakdown:
        query = replace(query, limit=query.limit + 1)
    bounded_fields = [_bound_fields(shape, period) for shape in shapes]
    if not isinstance(metric, DerivedMetric | QuantileMetric):
        return QueryPlan(query, project, metric, period, bounded_fields[0], _weigh_points(query, period))
    parts, part_query = metric.parts, _ask_for_parts(replace(query, limit=ALL_ROWS), metric)
    plans = [
        QueryPlan(part_query, project, part, period, shape) for part, shape in zip(parts, bounded_fields, strict=True)
    ]
    return QueryPlan(query, project, metric, period, DerivedPlan(metric, tuple(plans)))


def _make_shapes(query: Query, metric: Metric) -> list[PartShape]:
    parts: tuple[MetricPart | LiveGauge, ...]
    parts = metric.parts if isinstance(metric, DerivedMetric | QuantileMetric) else (metric,)
    return [plan_shape(_ask_for_parts(query, metric), part) for part in parts]


def _ask_for_parts(query: Query, metric: Metric) -> Query:
    """What is asked of a metric's parts: of a quantile, the counts of each length."""
    return replace(query, breakdown=(*query.breakdown, LENGTH)) if isinstance(metric, QuantileMetric) else query


def _drop_impossible_filters(query: Query, metric: Metric) -> Query:
    return query if can_filter(metric, [name for name, _ in query.filters]) else replace(query, filters=())


def _weigh_points(query: Query, period: Period) -> tuple[int, ...]:
    if not query.half_life_ms:
        return ()
    starts = [span.start * MINUTE_MS for span in period.spans]
    return tuple(compute_weights(starts, period.end * MINUTE_MS, query.half_life_ms))


def _cut_for(
    shapes: Sequence[PartShape],
    kinds_max: tuple[BucketKind, ...],
    cut: Callable[[tuple[BucketKind, ...]], Period],
    now_ms: int,
) -> Period:
    """Cut one period whose buckets exist for all of the shapes, and are of these kinds."""
    dimensions = [shape.kept_as for shape in shapes if isinstance(shape, PersonsPlan) and shape.kept_as]
    has_no_minutes = any(isinstance(shape, SumsPlan) and not has_minutes(shape.rollup) for shape in shapes)
    kinds = DIMENSION_KINDS if dimensions or has_no_minutes else ALL_KINDS
    period = cut(tuple(kind for kind in kinds if kind in kinds_max))
    kept_ms = min((find_sketch_retention_ms(BucketKind.HOUR, dimension) for dimension in dimensions), default=0)
    if dimensions and _has_hours_before(period, now_ms - kept_ms):
        period = cut(DAY_KINDS)
    return period


def _has_hours_before(period: Period, ms: int) -> bool:
    """Whether the period has hours that begin at `ms` or earlier, which are no longer kept for persons by dimension."""
    tiles = (*period.tiles, *period.whole, *(period.previous or ()))
    return any(kind is BucketKind.HOUR and start * MINUTE_MS <= ms for kind, start in tiles)


def _bound_fields(shape: PartShape, period: Period) -> PartShape:
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


def _ask_last_minutes(query: Query) -> Query:
    """The query for `online`, which is always about the last 5 minutes."""
    last = TimeExpression(Anchor.NOW, -5 * MINUTE_MS)
    return Query("", last, NOW, timezone=query.timezone)


def _keep_period(query: Query) -> Query:
    """The part of a query that decides its period, so that a common period is cut once."""
    return Query("", query.start, query.end, query.interval, query.timezone, query.week_start, compare=query.compare)
