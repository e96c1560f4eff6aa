"""Retention: of the persons who were first seen in a day or week, how many came back after so many.   Stage 5 of 6.

A cohort has a number for each period that has begun. Those of later periods are unknown, so its list ends before them.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from rtaplatform.analytics.answer.engine import Engine
from rtaplatform.analytics.plan.plan import QueryPlan
from rtaplatform.analytics.plan.tiling import Tile
from rtaplatform.analytics.read.cost import CELLS_MAX, CELLS_PER_READ
from rtaplatform.analytics.read.rows import find_sum_error, list_cell_reads, make_table
from rtaplatform.core.errors import InvalidParameter
from rtaplatform.core.query import NOW, POINTS_MAX, Anchor, Cohort, Query, RetentionTable, TimeExpression
from rtaplatform.core.rollups import RETENTION, SHORT_PREFIX
from rtaplatform.core.time.buckets import DAY_MS, MINUTE_MS, BucketKind
from rtaplatform.core.time.calendar import find_next_start
from rtaplatform.store.port import ReadFields

COHORTS = ("day", "week")
PERIODS_MAX = {"day": 400, "week": 57}  # what is kept: 400 days
PERIODS_DEFAULT = 8
_LETTER = {"day": "d", "week": "w"}
_DAYS = {"day": 1, "week": 7}
_COUNTED_BY = "new_visitors"  # has the same buckets, and ends with the day in progress


class RetentionRequest(Struct, frozen=True):
    """`start` None: so that the newest cohort and those before it are as many as the periods."""

    cohort: str = "day"
    periods: int = PERIODS_DEFAULT
    start: TimeExpression | None = None
    end: TimeExpression = NOW

    @property
    def query(self) -> Query:
        back_ms = (self.periods - 1) * _DAYS[self.cohort] * DAY_MS
        start = self.start or TimeExpression(Anchor.NOW, -back_ms)
        return Query(_COUNTED_BY, start, self.end, interval=self.cohort)

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(f"{_LETTER[self.cohort]}{age}" for age in range(self.periods))


async def count_reads(engine: Engine, project: str, request: RetentionRequest) -> int:
    """What the request costs, in reads. Raises `InvalidParameter`, which names the field and the allowed values."""
    try:
        cost = await engine.check(project, [request.query])
    except InvalidParameter as error:
        if error.field == "interval":  # which is the cohort here
            raise InvalidParameter(
                f"The period has too many cohorts of one {request.cohort}.", field="from",
                allowed=f"at most {POINTS_MAX} cohorts", hint="Use a later `from`, or longer cohorts.",
            ) from None  # fmt: skip
        raise
    return cost.reads + cost.points * request.periods // CELLS_PER_READ


async def read_retention(engine: Engine, project: str, request: RetentionRequest) -> RetentionTable:
    """Raises `InvalidParameter`, which names the field and the allowed values."""
    reading = await engine.read_beside(project, request.query, lambda plan: _list_reads(plan, request))
    table = make_table(reading.reads, reading.answers)
    count = _count_periods(reading.plan, request, reading.now_ms)
    times = [time for time, _ in reading.answer.results[0].points]
    cohorts = []
    for place, (time, bucket) in enumerate(zip(times, _list_buckets(reading.plan), strict=True)):
        cells = table.get(bucket, {})
        counts = [cells.get(name, 0) for name in request.fields[: count - place]]
        cohorts.append(Cohort(time, counts[0], counts))
    is_short = any(name.startswith(SHORT_PREFIX) for cells in table.values() for name in cells)
    meta = replace(reading.answer.meta, exact=not is_short, error=find_sum_error(is_short))
    return RetentionTable(request.cohort, cohorts, meta)


def _list_buckets(plan: QueryPlan) -> list[Tile]:
    return [(BucketKind.DAY, span.start) for span in plan.period.spans]


def _list_reads(plan: QueryPlan, request: RetentionRequest) -> list[ReadFields]:
    cohorts = len(plan.period.spans)
    if cohorts * request.periods > CELLS_MAX:
        raise InvalidParameter(
            f"{cohorts} cohorts of {request.periods} periods are too many at once.", field="periods",
            allowed=f"at most {CELLS_MAX // cohorts} here", hint="Use a later `from`, or fewer periods.",
        )  # fmt: skip
    return list_cell_reads(RETENTION.name, _list_buckets(plan), request.fields)


def _count_periods(plan: QueryPlan, request: RetentionRequest, now_ms: int) -> int:
    """How many days or weeks have begun since the first cohort's, which is one of them."""
    start, project = plan.period.start, plan.project
    count = 0
    while start <= now_ms // MINUTE_MS:
        start = find_next_start(start, request.cohort, project.zone, project.week_start)
        count += 1
    return count
