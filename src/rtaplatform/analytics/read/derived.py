"""Derived metrics: a quotient or a difference of rows that were read at one moment.   Stage 5 of 6, pure.

The answer has each row that any part has; a part without the row counts as 0. A quotient over 0 is null and comes last.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from itertools import repeat

from rtaplatform.analytics.plan.plan import QueryPlan
from rtaplatform.analytics.plan.shapes import SumsPlan
from rtaplatform.analytics.read.rows import AnswerRow, AnswerRows, RowKey, ShownRow, ShownRows, divide
from rtaplatform.core.metrics import Combination, DerivedMetric, MetricPart
from rtaplatform.core.query import Number

Signs = list[tuple[int, int]]  # the index of a part, and 1 or -1


class Formula:
    """Computes a derived metric from the stored numbers of its parts."""

    def __init__(self, metric: DerivedMetric, parts: Sequence[QueryPlan]) -> None:
        index_of: dict[MetricPart, int] = {part: index for index, part in enumerate(metric.parts)}
        scales = [part.shape.scale if isinstance(part.shape, SumsPlan) else 1 for part in parts]
        self._upper, self._upper_scale = _list_signs(metric.upper, index_of), scales[index_of[metric.upper.parts[0]]]
        self._lower = None if metric.lower is None else _list_signs(metric.lower, index_of)
        self._lower_scale = 1 if metric.lower is None else scales[index_of[metric.lower.parts[0]]]

    def compute(self, numbers: Sequence[int]) -> Number | None:
        """The value for one number of each part."""
        upper = sum(sign * numbers[index] for index, sign in self._upper)
        if self._lower is None:
            return divide(upper, self._upper_scale)
        lower = sum(sign * numbers[index] for index, sign in self._lower)
        # Integers are divided once, so nothing is rounded twice.
        return divide(upper * self._lower_scale, lower * self._upper_scale) if lower else None


def build_derived_rows(
    plan: QueryPlan, metric: DerivedMetric, part_plans: Sequence[QueryPlan], parts: Sequence[AnswerRows]
) -> ShownRows:
    """The rows with the greatest values, from the rows of each part."""
    formula = Formula(metric, part_plans)
    by_part = [{row.key: row for row in rows.rows} for rows in parts]
    keys: Iterable[RowKey] = dict.fromkeys(key for rows in by_part for key in rows) if plan.query.breakdown else [()]
    totals = {key: formula.compute([rows[key].total if key in rows else 0 for rows in by_part]) for key in keys}
    first = heapq.nsmallest(plan.query.limit, totals, key=lambda key: (*_make_sort_key(totals[key]), key))
    rows = [_make_row(formula, key, totals[key], [rows.get(key) for rows in by_part], plan) for key in first]
    return ShownRows(rows, _combine_errors([rows.error for rows in parts], is_quotient=metric.lower is not None))


def _make_row(
    formula: Formula, key: RowKey, total: Number | None, parts: Sequence[AnswerRow | None], plan: QueryPlan
) -> ShownRow:
    is_compared = plan.period.previous is not None
    points = zip(*(repeat(0, len(plan.period.spans)) if row is None else row.points for row in parts), strict=False)
    return ShownRow(
        key,
        total,
        formula.compute([0 if row is None else row.previous or 0 for row in parts]) if is_compared else None,
        [formula.compute(numbers) for numbers in points] if plan.query.interval != "none" else [],
    )


def _list_signs(combination: Combination, index_of: dict[MetricPart, int]) -> Signs:
    return [(index_of[p], 1) for p in combination.plus] + [(index_of[p], -1) for p in combination.minus]


def _make_sort_key(total: Number | None) -> tuple[bool, Number]:
    return total is None, 0 if total is None else -total


def _combine_errors(errors: Sequence[float | None], *, is_quotient: bool) -> float | None:
    """The relative standard error. That of a difference of estimates is unknown: the difference may be nearly 0."""
    known_errors = [error for error in errors if error is not None]
    if len(known_errors) < len(errors) or (any(known_errors) and not is_quotient):
        return None
    return math.hypot(*known_errors) if any(known_errors) else 0
