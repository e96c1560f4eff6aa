"""Several metrics of one period and one moment, by name.   Stage 5 of 6.

Metrics are kept in buckets of different sizes. The period is covered by buckets that all of the metrics have, so that
their numbers belong together.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET
from msgspec.structs import replace

from rtaplatform.analytics.answer.engine import Engine
from rtaplatform.core.query import Answer, Meta, MetricTotal, MetricTotals, Query

# The funnel of a product, in order.
PRODUCT_METRICS = (
    "product_views", "adds_to_cart", "checkouts", "orders", "units", "revenue", "refunds", "net_revenue",
    "visitors", "buyers", "view_to_cart", "cart_to_order", "view_to_order",
)  # fmt: skip


async def read_totals(engine: Engine, project: str, query: Query, names: Sequence[str]) -> MetricTotals:
    """Totals of these metrics, for the filters and the period of `query`."""
    answers = await engine.answer(project, [replace(query, metric=name, beside=tuple(names)) for name in names])
    first = answers[0]
    return MetricTotals(
        first.start, first.end, first.timezone,
        {answer.metric: _total(answer) for answer in answers},
        _merge_meta(answers),
        first.previous_from, first.previous_to,
    )  # fmt: skip


def _total(answer: Answer) -> MetricTotal:
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
