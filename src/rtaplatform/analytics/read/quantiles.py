"""Quantiles of lengths, from counts in log buckets.   Stage 5 of 6, pure.

The quantile of n lengths is the one at place ⌈n · share⌉, the shortest first. Its bucket is exact, so the answer is off
by the width of the bucket only.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping

from rtaplatform.analytics.plan.plan import QueryPlan
from rtaplatform.analytics.read.rows import AnswerRow, AnswerRows, RowKey, ShownRow, ShownRows
from rtaplatform.core.metrics import QuantileMetric
from rtaplatform.core.time.session_lengths import LENGTH_ERROR, compute_middle_ms

LengthCounts = Mapping[int, int]  # bucket → lengths in it


def compute_quantile(counts: LengthCounts, share_percent: int) -> float | None:
    """In seconds; None if there are no lengths."""
    place = -(-sum(counts.values()) * share_percent // 100)
    for index in sorted(counts):
        place -= counts[index]
        if counts[index] and place <= 0:
            return compute_middle_ms(index) / 1_000
    return None


def build_quantile_rows(plan: QueryPlan, metric: QuantileMetric, counts: AnswerRows) -> ShownRows:
    """The rows with the greatest quantiles. `counts`: a row for each length, which is the last value of its key."""
    by_key: dict[RowKey, list[AnswerRow]] = defaultdict(list) if plan.query.breakdown else {(): []}
    for row in counts.rows:
        by_key[row.key[:-1]].append(row)
    totals = {
        key: compute_quantile(_count_by_length(rows, (row.total for row in rows)), metric.share_percent)
        for key, rows in by_key.items()
    }
    first = heapq.nsmallest(plan.query.limit, totals, key=lambda key: (totals[key] is None, -(totals[key] or 0), key))
    shown_rows = [_make_row(plan, metric, key, totals[key], by_key[key]) for key in first]
    return ShownRows(shown_rows, None if counts.error is None else LENGTH_ERROR)


def _make_row(
    plan: QueryPlan, metric: QuantileMetric, key: RowKey, total: float | None, rows: list[AnswerRow]
) -> ShownRow:
    is_compared = plan.period.previous is not None
    previous = compute_quantile(_count_by_length(rows, (row.previous or 0 for row in rows)), metric.share_percent)
    points: list[float | None] = []
    if plan.query.interval != "none":
        points = [None] * len(plan.period.spans)
        for place, numbers in enumerate(zip(*(row.points for row in rows), strict=True)):
            points[place] = compute_quantile(_count_by_length(rows, numbers), metric.share_percent)
    return ShownRow(key, total, previous if is_compared else None, points)


def _count_by_length(rows: list[AnswerRow], numbers: Iterable[int]) -> LengthCounts:
    return {int(row.key[-1]): number for row, number in zip(rows, numbers, strict=True)}
