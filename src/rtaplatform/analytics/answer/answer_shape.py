"""Rows → the API's answer, with its freshness, completeness and exactness.   Stage 5 of 6, pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import UNSET

from rtaplatform.analytics.answer.question_job import (
    QUALITY_MEASURES,
    QuestionJob,
    build_shown_rows,
    list_currency_reads,
    list_quality_reads,
)
from rtaplatform.analytics.ask.time_expressions import format_instant, format_minute
from rtaplatform.analytics.freshness.tracker import Freshness
from rtaplatform.analytics.plan.declared_dimensions import list_dimensions
from rtaplatform.analytics.plan.plan import QueryPlan
from rtaplatform.analytics.plan.shapes import OnlinePlan
from rtaplatform.analytics.plan.tiling import Tile
from rtaplatform.analytics.read.rows import ShownRow, ShownRows, make_table
from rtaplatform.core.declarations import AT_APPLY, list_traits
from rtaplatform.core.query import Answer, Meta, Result
from rtaplatform.core.values.markers import to_shown_value
from rtaplatform.store.port import Read, Snapshot

INCOMPLETE = "The totals are behind the log, or a part of them stands still: /health/ready tells which."


def build_answers(
    jobs: Sequence[QuestionJob], answers: Mapping[Read, Any], snapshot: Snapshot, fresh: Freshness, now_ms: int
) -> list[Answer]:
    """Build the answers of one moment. Questions of one period share the counts of its quality."""
    quality: dict[tuple[Tile, ...], dict[str, int]] = {}
    new_answers = []
    for job in jobs:
        tiles = job.plan.period.whole
        if tiles not in quality:
            quality[tiles] = _sum_quality(job.plan, answers)
        new_answers.append(_build_answer(job, answers, snapshot, fresh, now_ms, quality[tiles]))
    return new_answers


def _build_answer(
    job: QuestionJob, answers: Mapping[Read, Any], snapshot: Snapshot, fresh: Freshness, now_ms: int,
    quality: Mapping[str, int],
) -> Answer:  # fmt: skip
    plan = job.plan
    query, period = plan.query, plan.period
    rows = build_shown_rows(job, answers, now_ms)
    before = None if isinstance(plan.shape, OnlinePlan) else period.before
    return Answer(
        metric=query.metric,
        unit=plan.metric.unit,
        start=format_minute(period.start, period.zone),
        end=format_minute(period.end, period.zone),
        interval="none" if isinstance(plan.shape, OnlinePlan) else query.interval,
        timezone=period.zone,
        results=_list_results(plan, rows),
        meta=_make_meta(plan, answers, rows, fresh, quality),
        currency=snapshot.project.currency if plan.metric.unit == "money" else UNSET,
        previous_from=UNSET if before is None else format_minute(before[0], period.zone),
        previous_to=UNSET if before is None else format_minute(before[1], period.zone),
    )


def find_row_limit(plan: QueryPlan) -> int:
    """The requested limit. The plan's limit is one more, to tell whether there are further rows."""
    return plan.query.limit - 1 if plan.query.breakdown else 1


def _list_results(plan: QueryPlan, rows: ShownRows) -> list[Result]:
    times: list[str] = []
    if plan.query.interval != "none" and not isinstance(plan.shape, OnlinePlan):
        times = [format_minute(span.start, plan.period.zone) for span in plan.period.spans]
    return [_make_result(plan, row, times) for row in rows.rows[: find_row_limit(plan)]]


def _make_result(plan: QueryPlan, row: ShownRow, times: list[str]) -> Result:
    return Result(
        dict(zip(plan.query.breakdown, map(to_shown_value, row.key), strict=True)),
        row.total,
        row.previous,
        list(zip(times, row.points, strict=False)),
    )


def _sum_quality(plan: QueryPlan, answers: Mapping[Read, Any]) -> dict[str, int]:
    """Sum the counts of `meta` over the period."""
    buckets = make_table(list_quality_reads(plan), answers).values()
    return {name: sum(cells.get(measure, 0) for cells in buckets) for name, measure in QUALITY_MEASURES.items()}


def _make_meta(
    plan: QueryPlan, answers: Mapping[Read, Any], rows: ShownRows, fresh: Freshness, quality: Mapping[str, int]
) -> Meta:
    currencies = make_table(list_currency_reads(plan), answers).values()
    return Meta(
        as_of=None if fresh.as_of_ms is None else format_instant(fresh.as_of_ms),
        lag_ms=fresh.lag_ms,
        complete=fresh.is_complete and plan.period.is_kept,
        exact=rows.error == 0,
        error=rows.error,
        **quality,
        other_currencies=sum(c.get("other_currencies", 0) for c in currencies)
        if plan.metric.unit == "money"
        else UNSET,
        more_rows=len(rows.rows) > find_row_limit(plan) if plan.query.breakdown else UNSET,
        traits=AT_APPLY if list_traits(list_dimensions(plan.query)) else UNSET,
        reasons=_list_reasons(plan, fresh) or UNSET,
    )


def _list_reasons(plan: QueryPlan, fresh: Freshness) -> list[str]:
    return [*plan.period.reasons, *([] if fresh.is_complete else [INCOMPLETE])]
