"""One question: its plan, its reads, and the rows of its answer.   Stage 5 of 6, pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from rtaplatform.analytics.cache.product_totals import ProductTotals
from rtaplatform.analytics.cache.united_sketches import UnitedSketches, list_union_tiles
from rtaplatform.analytics.cache.value_totals import ValueTotals
from rtaplatform.analytics.cache.window_cache import SumsCache
from rtaplatform.analytics.plan.plan import DerivedPlan, QueryPlan
from rtaplatform.analytics.plan.shapes import DailyPlan, OnlinePlan, PersonsPlan, SumsPlan
from rtaplatform.analytics.plan.tiling import Tile
from rtaplatform.analytics.read.additive import build_sum_rows, list_sum_reads
from rtaplatform.analytics.read.daily import build_daily_rows, list_daily_reads
from rtaplatform.analytics.read.derived import build_derived_rows
from rtaplatform.analytics.read.distinct import (
    Group,
    build_person_rows,
    find_persons_error,
    list_person_reads,
    list_sketch_gap_reads,
)
from rtaplatform.analytics.read.product_attributes import ProductTable
from rtaplatform.analytics.read.quantiles import build_quantile_rows
from rtaplatform.analytics.read.rows import AnswerRow, AnswerRows, ShownRows, list_cell_reads, scale_rows
from rtaplatform.core.metrics import ONLINE_WINDOW_MS, QuantileMetric
from rtaplatform.core.rollups import ACTIVITY, QUALITY
from rtaplatform.store.port import Read, ReadFields, ReadOnline, Snapshot

CLOCKS_APART_MS = 30_000  # a visitor whose clock is ahead by no more (so it is not corrected) counts as online
UNITED_BYTES = 2_048  # of registers, which are united within a microsecond
# Counts in an answer's `meta`, and the measure of the rollup `quality` of each.
QUALITY_MEASURES = {
    "late": "late",
    "duplicates": "duplicate",
    "dead": "dead",
    "unreadable_times": "unreadable_time",
    "unreadable_amounts": "unreadable_amount",
    "repeated_orders": "repeated_order",
}


class QuestionJob(Struct, frozen=True):
    """A plan with the groups of persons to count, its window cache, and the catalog's products.

    The job of a derived metric has the jobs of its parts, and reads nothing itself.
    """

    plan: QueryPlan
    groups: tuple[Group, ...] = ()
    window: SumsCache | UnitedSketches | None = None
    products: ProductTable | None = None
    parts: tuple[QuestionJob, ...] = ()

    @property
    def reading_jobs(self) -> tuple[QuestionJob, ...]:
        """The jobs that read numbers: the parts if there are any, else the job itself."""
        return self.parts or (self,)

    @property
    def work_per_field(self) -> int:
        return 1 if self.window is None else self.window.work_per_field

    @property
    def extra_work(self) -> int:
        """The work of joining the window's products or uniting its sketches, in numbers (see side_thread.py)."""
        match self.window, self.plan.shape:
            case UnitedSketches() as window, _:
                return window.size // UNITED_BYTES
            case ProductTotals() as window, SumsPlan() as shape:
                return window.count_joins(self.plan, shape, self.products)
            case ValueTotals() as window, _ if self.plan.weights:
                return window.row_count
        return 0


def list_reads(jobs: Sequence[QuestionJob], now_ms: int) -> list[Read]:
    """List what the questions of one moment read. Quality depends on `period.whole` alone: it is read once for each."""
    periods = {job.plan.period.whole: job.plan for job in jobs}
    quality = [read for plan in periods.values() for read in list_quality_reads(plan)]
    numbers = [read for job in jobs for part in job.reading_jobs for read in _list_number_reads(part, now_ms)]
    return [*quality, *(read for job in jobs for read in list_currency_reads(job.plan)), *numbers]


def _list_number_reads(job: QuestionJob, now_ms: int) -> list[Read]:
    plan, shape = job.plan, job.plan.shape
    match shape:
        case SumsPlan() if job.window is not None:
            return list(job.window.list_reads(list_tiles(plan)))
        case PersonsPlan() if job.window is not None:
            return [*list_sketch_gap_reads(plan, shape), *job.window.list_reads(list_union_tiles(plan))]
        case SumsPlan():
            return list(list_sum_reads(plan, shape))
        case PersonsPlan():
            return list_person_reads(plan, shape, job.groups)
        case DailyPlan():
            return list(list_daily_reads(plan, shape))
        case OnlinePlan():
            return [_make_online_read(now_ms)]
        case DerivedPlan():
            return []


def update_windows(job: QuestionJob, answers: Mapping[Read, Any], snapshot: Snapshot) -> bool:
    """Update the job's windows to the snapshot; False if changed buckets must be read first."""
    is_updated = [_update_window(part, answers, snapshot) for part in job.reading_jobs]
    return all(is_updated)


def _update_window(job: QuestionJob, answers: Mapping[Read, Any], snapshot: Snapshot) -> bool:
    if job.window is None:
        return True
    if isinstance(job.window, UnitedSketches):  # its other buckets were dropped before its portions were read
        return job.window.update(snapshot, list_union_tiles(job.plan), answers)
    tiles, period = list_tiles(job.plan), job.plan.period
    job.window.drop_others(tiles, period.tiles[-1] if period.tiles else None)
    return job.window.update(snapshot, tiles, answers)


def build_shown_rows(job: QuestionJob, answers: Mapping[Read, Any], now_ms: int) -> ShownRows:
    """The rows of the answer; a breakdown has one row more than its limit, if there are as many."""
    plan, shape = job.plan, job.plan.shape
    if isinstance(shape, DerivedPlan):
        rows = [_build_stored_rows(part, answers, now_ms) for part in job.parts]
        if isinstance(shape.metric, QuantileMetric):
            return build_quantile_rows(plan, shape.metric, rows[0])
        return build_derived_rows(plan, shape.metric, shape.parts, rows)
    scale = shape.scale if isinstance(shape, SumsPlan) else 1
    return scale_rows(_build_stored_rows(job, answers, now_ms), scale)


def _build_stored_rows(job: QuestionJob, answers: Mapping[Read, Any], now_ms: int) -> AnswerRows:
    plan, shape = job.plan, job.plan.shape
    match shape:
        case SumsPlan() if isinstance(job.window, SumsCache):
            return job.window.build_rows(plan, shape, job.products)
        case SumsPlan():
            return build_sum_rows(plan, shape, answers, job.products)
        case PersonsPlan() if isinstance(job.window, UnitedSketches):
            return AnswerRows(job.window.build_rows(plan, shape), find_persons_error(plan, shape, answers))
        case PersonsPlan():
            return build_person_rows(plan, shape, job.groups, answers)
        case DailyPlan():
            return build_daily_rows(plan, shape, answers)
        case OnlinePlan():
            return AnswerRows([AnswerRow((), int(answers[_make_online_read(now_ms)]), None, [])], error=0)
        case DerivedPlan():
            raise AssertionError("a part of a derived metric is not derived")


def list_tiles(plan: QueryPlan) -> tuple[Tile, ...]:
    """List all buckets of the question."""
    return (*plan.period.tiles, *(plan.period.previous or ()))


def list_quality_reads(plan: QueryPlan) -> list[ReadFields]:
    return list_cell_reads(QUALITY.name, plan.period.whole, tuple(QUALITY_MEASURES.values()))


def list_currency_reads(plan: QueryPlan) -> list[ReadFields]:
    if plan.metric.unit != "money":
        return []
    return list_cell_reads(ACTIVITY.name, plan.period.whole, ("other_currencies",))


def _make_online_read(now_ms: int) -> ReadOnline:
    return ReadOnline(now_ms - ONLINE_WINDOW_MS, now_ms + CLOCKS_APART_MS)
