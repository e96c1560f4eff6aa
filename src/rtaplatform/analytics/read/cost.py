"""What a request costs, before anything is read.   Stage 5 of 6, pure.

All queries of a request are answered together, so they share one budget. It limits points, which the API holds,
encodes and sends, and counters and sketches, which the store reads in one transaction that blocks other clients. A
large request counts as several reads against its key's rate limit.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from rtaplatform.analytics.plan.plan import QueryPlan
from rtaplatform.analytics.plan.shapes import DailyPlan, OnlinePlan, PersonsPlan, SumsPlan
from rtaplatform.analytics.read.distinct import Group
from rtaplatform.core.errors import InvalidParameter
from rtaplatform.core.rollups import QUALITY

POINTS_MAX = 100_000
CELLS_MAX = 200_000
SKETCHES_MAX = 50_000
# One read takes some 2 ms of a core in the API or in the store, as a small question does.
POINTS_PER_READ = 1_000
CELLS_PER_READ = 2_000
SKETCHES_PER_READ = 500
UNION_SKETCHES = 12  # the fixed cost of a union of two or more sketches, in sketches


class RequestCost(Struct, frozen=True):
    """`points` of all rows, `cells` (counters) read from the store, and `sketches` united by it."""

    points: int = 0
    cells: int = 0
    sketches: int = 0

    def __add__(self, other: RequestCost) -> RequestCost:
        return RequestCost(self.points + other.points, self.cells + other.cells, self.sketches + other.sketches)

    @property
    def reads(self) -> int:
        return 1 + self.points // POINTS_PER_READ + self.cells // CELLS_PER_READ + self.sketches // SKETCHES_PER_READ


def estimate_cost(plans: Sequence[QueryPlan]) -> RequestCost:
    """An upper bound, as far as it can be known before the values of a breakdown."""
    return sum(map(_estimate_plan_cost, plans), RequestCost())


def require_affordable(plans: Sequence[QueryPlan]) -> RequestCost:
    """The cost of the queries; raises `InvalidParameter` if together they are too large for one request."""
    cost = estimate_cost(plans)
    if cost.points > POINTS_MAX:
        raise _make_too_large_error(f"{cost.points} points", f"{POINTS_MAX} points")
    if cost.cells > CELLS_MAX:
        raise _make_too_large_error(f"{cost.cells} counters", f"{CELLS_MAX} counters")
    return cost


def require_few_sketches(groups: Sequence[tuple[QueryPlan, Sequence[Group]]]) -> None:
    """Raise `InvalidParameter` if the groups unite too many sketches; called once the values are known."""
    sketches = sum(_count_sketches(plan, [len(values) for _, values in rows]) for plan, rows in groups)
    if sketches > SKETCHES_MAX:
        plan = groups[0][0]
        raise InvalidParameter(
            "This would unite too many sketches of persons at once.",
            field="breakdown" if plan.query.breakdown else "interval", allowed=f"{SKETCHES_MAX} sketches",
            hint="Use a shorter period, a longer interval, a smaller `limit` or fewer products.",
        )  # fmt: skip


def _make_too_large_error(size: str, allowed: str) -> InvalidParameter:
    return InvalidParameter(
        f"The request asks for {size} at once.", field="queries", allowed=f"at most {allowed} in one request",
        hint="Ask for fewer metrics at once, longer intervals, shorter periods or a smaller `limit`.",
    )  # fmt: skip


def _estimate_plan_cost(plan: QueryPlan) -> RequestCost:
    rows = plan.query.limit - 1 if plan.query.breakdown else 1
    quality = len(QUALITY.measures) * len(plan.period.whole)
    points = 1 if isinstance(plan.shape, OnlinePlan) else rows * len(plan.period.spans)
    return sum((_estimate_part_cost(part, rows) for part in plan.parts), RequestCost(points, quality))


def _estimate_part_cost(plan: QueryPlan, rows: int) -> RequestCost:
    buckets = len(plan.period.tiles) + len(plan.period.previous or ())
    match plan.shape:
        case SumsPlan(fields=fields):
            return RequestCost(cells=buckets * (2 if fields is None else len(fields)))
        case DailyPlan():
            return RequestCost(cells=len(plan.period.spans) + 1)
        case PersonsPlan(values=values):
            return RequestCost(sketches=_count_sketches(plan, [1] * rows if values is None else [len(values)]))
    return RequestCost()


def _count_sketches(plan: QueryPlan, value_counts: Sequence[int]) -> int:
    """Count the sketches united for rows with these numbers of values."""
    period = plan.period
    unions = [period.whole, *((s.tiles for s in period.spans) if plan.query.interval != "none" else ())]
    if period.previous is not None:
        unions.append(period.previous)
    weights = [(len(tiles), UNION_SKETCHES) for tiles in unions]
    return sum(tiles * n + (union if tiles * n > 1 else 0) for n in value_counts for tiles, union in weights)
