"""Metrics that each day has of its own: the last day of each point, and of the period.   Stage 5 of 6, pure."""

from __future__ import annotations

from collections.abc import Sequence

from rtaplatform.analytics.plan.plan import QueryPlan
from rtaplatform.analytics.plan.shapes import DailyPlan
from rtaplatform.analytics.plan.tiling import Tile
from rtaplatform.analytics.read.rows import AnswerRow, AnswerRows, Answers, find_sum_error, list_cell_reads, make_table
from rtaplatform.core.rollups import ACTIVES, SHORT_PREFIX
from rtaplatform.store.port import ReadFields


def list_daily_reads(plan: QueryPlan, shape: DailyPlan) -> list[ReadFields]:
    period = plan.period
    last_days = [span.tiles[-1] for span in period.spans] + list((period.previous or ())[-1:])
    return list_cell_reads(ACTIVES.name, last_days, (shape.measure,))


def build_daily_rows(plan: QueryPlan, shape: DailyPlan, answers: Answers) -> AnswerRows:
    table = make_table(list_daily_reads(plan, shape), answers)

    def read_number(tiles: Sequence[Tile]) -> int:
        return table.get(tiles[-1], {}).get(shape.measure, 0)

    points = [read_number(span.tiles) for span in plan.period.spans]
    previous = None if plan.period.previous is None else read_number(plan.period.previous)
    is_short = any(SHORT_PREFIX + shape.measure in cells for cells in table.values())
    return AnswerRows([AnswerRow((), points[-1], previous, points)], find_sum_error(is_short))
