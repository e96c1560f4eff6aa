"""Several metrics of one period and one moment, by name.   Stage 5 of 6.

Metrics are kept in buckets of different sizes. The period is covered by buckets that all of the metrics have, so that
their numbers belong together.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from msgspec import UNSET
from msgspec.structs import replace

from rtaplatform.analytics.answer.engine import Engine
from rtaplatform.analytics.plan.dimension_groups import can_filter
from rtaplatform.core.metrics import METRICS
from rtaplatform.core.query import Answer, Meta, MetricTotal, MetricTotals, Query
from rtaplatform.core.rollups import SESSIONS

# The funnel of a product, in order.
PRODUCT_METRICS = (
    "product_views", "adds_to_cart", "checkouts", "orders", "units", "revenue", "refunds", "net_revenue",
    "visitors", "buyers", "view_to_cart", "cart_to_order", "view_to_order",
)  # fmt: skip

ENGAGEMENT_METRICS = (
    "visitors", "new_visitors", "active_users", "weekly_active_users", "monthly_active_users", "stickiness", "online",
    "sessions", "sessions_per_visitor", "events_per_session", "bounce_rate", "session_duration",
    "session_duration_median", "session_duration_p95", "conversion_rate", "cart_abandonment_rate", "buyers",
)  # fmt: skip
ENGAGEMENT_DIMENSIONS = SESSIONS.dimensions


def list_total_queries(query: Query, names: Sequence[str]) -> list[Query]:
    """One query for each of these metrics that can have the filters of `query`, all for one period."""
    metrics = _list_answered(tuple(names), tuple(name for name, _ in query.filters))
    return [replace(query, metric=name, period_metrics=tuple(names)) for name in metrics]


@lru_cache(maxsize=256)
def _list_answered(names: tuple[str, ...], filters: tuple[str, ...]) -> tuple[str, ...]:
    """List the metrics that can have all these filters at once."""
    return tuple(name for name in names if can_filter(METRICS[name], filters))


async def read_totals(engine: Engine, project: str, query: Query, names: Sequence[str]) -> MetricTotals:
    """Totals of these metrics, for the filters and the period of `query`.

    The total of a metric that cannot have these filters is null. The first metric that can has a period.
    """
    answers = await engine.answer(project, list_total_queries(query, names))
    first, totals = answers[0], {answer.metric: _make_total(answer) for answer in answers}
    unknown_names = [name for name in names if name not in totals]
    totals |= {name: MetricTotal(METRICS[name].unit, None, None, None) for name in unknown_names}
    meta = _merge_meta(answers)
    if unknown_names:
        reason = (
            f"{', '.join(unknown_names)}: null, since they are not kept by {', '.join(n for n, _ in query.filters)}."
        )
        meta = replace(meta, reasons=[*(meta.reasons or ()), reason])
    return MetricTotals(
        first.start, first.end, first.timezone,
        {name: totals[name] for name in names},
        meta,
        first.previous_from, first.previous_to,
    )  # fmt: skip


def _make_total(answer: Answer) -> MetricTotal:
    row = answer.results[0]
    return MetricTotal(answer.unit, row.total, row.previous, answer.meta.error, answer.currency)


def _merge_meta(answers: Sequence[Answer]) -> Meta:
    """The common meta: as exact as the least exact answer. All answers have the same period and snapshot."""
    metas = [answer.meta for answer in answers]
    errors = [meta.error for meta in metas if meta.error is not None]
    foreign = [meta.other_currencies for meta in metas if meta.other_currencies is not UNSET]
    return replace(
        metas[0],
        exact=all(meta.exact for meta in metas),
        error=max(errors) if len(errors) == len(metas) else None,
        other_currencies=foreign[0] if foreign else UNSET,
    )
