"""What a request costs, before anything is read.   Stage 5 of 6, pure.

All queries of a request are answered in one piece, so they share one budget: of points, which are held, encoded and
sent, and of counters and sketches, which the store reads in one transaction while nobody else is served. A large
request counts as several reads of its key.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from rtaplatform.analytics.plan.plan import OnlinePlan, PersonsPlan, QueryPlan, SumsPlan
from rtaplatform.analytics.read.distinct import Group
from rtaplatform.core.errors import InvalidParameter
from rtaplatform.core.rollups import QUALITY

POINTS_MAX = 100_000
CELLS_MAX = 200_000
SKETCHES_MAX = 50_000
# What counts as one read: some 2 ms of a core of the API, or of the store, as a small question takes.
POINTS_PER_READ = 1_000
CELLS_PER_READ = 2_000
SKETCHES_PER_READ = 500
UNION_SKETCHES = 12  # to unite two sketches or more takes as long as so many more


class RequestCost(Struct, frozen=True):
    """`points` of all rows, or their totals; `cells`: counters read at one moment; `sketches` united."""

    points: int = 0
    cells: int = 0
    sketches: int = 0

    def __add__(self, other: RequestCost) -> RequestCost:
        return RequestCost(self.points + other.points, self.cells + other.cells, self.sketches + other.sketches)

    @property
    def reads(self) -> int:
        return 1 + self.points // POINTS_PER_READ + self.cells // CELLS_PER_READ + self.sketches // SKETCHES_PER_READ


def cost_of(plans: Sequence[QueryPlan]) -> RequestCost:
    """At most, as far as is known before the values of a breakdown are."""
    return sum(map(_cost, plans), RequestCost())


def require_affordable(plans: Sequence[QueryPlan]) -> RequestCost:
    """What the queries cost; raises `InvalidParameter` where they are too large for one request together."""
    cost = cost_of(plans)
    if cost.points > POINTS_MAX:
        raise _too_large(f"{cost.points} points", f"{POINTS_MAX} points")
    if cost.cells > CELLS_MAX:
        raise _too_large(f"{cost.cells} counters", f"{CELLS_MAX} counters")
    return cost


def require_few_sketches(groups: Sequence[tuple[QueryPlan, Sequence[Group]]]) -> None:
    """The same for sketches, once the values are known."""
    sketches = sum(_sketches(plan, [len(values) for _, values in found]) for plan, found in groups)
    if sketches > SKETCHES_MAX:
        plan = groups[0][0]
        raise InvalidParameter(
            "This would unite too many sketches of persons at once.",
            field="breakdown" if plan.query.breakdown else "interval", allowed=f"{SKETCHES_MAX} sketches",
            hint="Use a shorter period, a longer interval, a smaller `limit` or fewer products.",
        )  # fmt: skip


def _too_large(said: str, allowed: str) -> InvalidParameter:
    return InvalidParameter(
        f"The request asks for {said} at once.", field="queries", allowed=f"at most {allowed} in one request",
        hint="Ask for fewer metrics at once, longer intervals, shorter periods or a smaller `limit`.",
    )  # fmt: skip


def _cost(plan: QueryPlan) -> RequestCost:
    rows = plan.query.limit - 1 if plan.query.breakdown else 1
    quality = len(QUALITY.measures) * len(plan.period.whole)
    points = 1 if isinstance(plan.shape, OnlinePlan) else rows * len(plan.period.spans)
    return sum((_cost_of_part(part, rows) for part in plan.parts), RequestCost(points, quality))


def _cost_of_part(plan: QueryPlan, rows: int) -> RequestCost:
    buckets = len(plan.period.tiles) + len(plan.period.previous or ())
    match plan.shape:
        case SumsPlan(fields=fields):
            return RequestCost(cells=buckets * (2 if fields is None else len(fields)))
        case PersonsPlan(values=values):
            return RequestCost(sketches=_sketches(plan, [1] * rows if values is None else [len(values)]))
    return RequestCost()


def _sketches(plan: QueryPlan, values: Sequence[int]) -> int:
    """Of rows with so many values each."""
    period = plan.period
    unions = [period.whole, *((s.tiles for s in period.spans) if plan.query.interval != "none" else ())]
    if period.previous is not None:
        unions.append(period.previous)
    weights = [(len(tiles), UNION_SKETCHES) for tiles in unions]
    return sum(tiles * n + (union if tiles * n > 1 else 0) for n in values for tiles, union in weights)
