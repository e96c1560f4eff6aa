"""Derived metrics: a quotient or a difference of rows that were read at one moment.   Stage 5 of 6, pure.

A row is there where any part has it; what a part does not have is 0. A quotient over 0 is null, and comes last.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from itertools import repeat

from rtaplatform.analytics.plan.plan import DerivedPlan, QueryPlan, SumsPlan
from rtaplatform.analytics.read.rows import AnswerRow, AnswerRows, Key, ShownRow, ShownRows, divided
from rtaplatform.core.metrics import Combination, MetricPart
from rtaplatform.core.query import Number

Signs = list[tuple[int, int]]  # the place of a part, and 1 or -1


class Formula:
    """How a derived metric comes of its parts' numbers, as they are stored."""

    def __init__(self, shape: DerivedPlan) -> None:
        metric = shape.metric
        places: dict[MetricPart, int] = {part: at for at, part in enumerate(metric.parts)}
        scales = [part.shape.scale if isinstance(part.shape, SumsPlan) else 1 for part in shape.parts]
        self._upper, self._upper_scale = _signs(metric.upper, places), scales[places[metric.upper.parts[0]]]
        self._lower = None if metric.lower is None else _signs(metric.lower, places)
        self._lower_scale = 1 if metric.lower is None else scales[places[metric.lower.parts[0]]]

    def value(self, numbers: Sequence[int]) -> Number | None:
        """Of one number of each part."""
        upper = sum(sign * numbers[at] for at, sign in self._upper)
        if self._lower is None:
            return divided(upper, self._upper_scale)
        lower = sum(sign * numbers[at] for at, sign in self._lower)
        # Whole numbers are divided once, so nothing is rounded twice.
        return divided(upper * self._lower_scale, lower * self._upper_scale) if lower else None


def derived_rows(plan: QueryPlan, shape: DerivedPlan, found: Sequence[AnswerRows]) -> ShownRows:
    """The rows with the greatest values, of the rows of each part."""
    formula = Formula(shape)
    by_part = [{row.key: row for row in rows.rows} for rows in found]
    keys: Iterable[Key] = dict.fromkeys(key for rows in by_part for key in rows) if plan.query.breakdown else [()]
    totals = {key: formula.value([rows[key].total if key in rows else 0 for rows in by_part]) for key in keys}
    first = heapq.nsmallest(plan.query.limit, totals, key=lambda key: (*_order(totals[key]), key))
    rows = [_row(formula, key, totals[key], [rows.get(key) for rows in by_part], plan) for key in first]
    return ShownRows(rows, _error([rows.error for rows in found], is_quotient=shape.metric.lower is not None))


def _row(
    formula: Formula, key: Key, total: Number | None, parts: Sequence[AnswerRow | None], plan: QueryPlan
) -> ShownRow:
    is_compared = plan.period.previous is not None
    points = zip(*(repeat(0, len(plan.period.spans)) if row is None else row.points for row in parts), strict=False)
    return ShownRow(
        key,
        total,
        formula.value([0 if row is None else row.previous or 0 for row in parts]) if is_compared else None,
        [formula.value(numbers) for numbers in points] if plan.query.interval != "none" else [],
    )


def _signs(combination: Combination, places: dict[MetricPart, int]) -> Signs:
    return [(places[p], 1) for p in combination.plus] + [(places[p], -1) for p in combination.minus]


def _order(total: Number | None) -> tuple[bool, Number]:
    return total is None, 0 if total is None else -total


def _error(errors: Sequence[float | None], *, is_quotient: bool) -> float | None:
    """The relative standard error. Of a difference of estimates nobody can tell it: it may be nearly 0."""
    known = [error for error in errors if error is not None]
    if len(known) < len(errors) or (any(known) and not is_quotient):
        return None
    return math.hypot(*known) if any(known) else 0
