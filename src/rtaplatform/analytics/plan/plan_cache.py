"""The plans of the questions that were asked for last.   Stage 5 of 6, pure.

A plan holds for a whole minute, and the next minute's takes its place: what no question can use any more is not kept.
Metrics that are asked together share their period. Bounded in number and size.
"""

from __future__ import annotations

from typing import Any

from rtaplatform.analytics.plan.period import Period, cut_period
from rtaplatform.analytics.plan.plan import QueryPlan, make_plan
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.query import Query
from rtaplatform.core.time.buckets import MINUTE_MS, BucketKind

PLANS_MAX = 512
BUCKETS_MAX = 100_000  # of all periods together: some 20 MB


class PlanCache:
    def __init__(self, *, plans_max: int = PLANS_MAX, buckets_max: int = BUCKETS_MAX) -> None:
        self._plans_max, self._buckets_max = plans_max, buckets_max
        self._plans: dict[Any, QueryPlan] = {}
        self._periods: dict[Any, Period] = {}
        self._minute = -1

    def plan(self, query: Query, project: ProjectSettings, now_ms: int) -> QueryPlan:
        """Raises `InvalidParameter`, with the field and what would be right."""
        minute = now_ms // MINUTE_MS
        if minute != self._minute:
            self._minute = minute
            self._plans.clear()
            self._periods.clear()
        key = (query, project)
        if key not in self._plans:
            self._plans[key] = make_plan(query, project, minute * MINUTE_MS, self._cut)
            while len(self._plans) > self._plans_max:
                del self._plans[next(iter(self._plans))]
        return self._plans[key]

    @property
    def buckets(self) -> int:
        """Of all periods that are kept."""
        return sum(map(_size, self._periods.values()))

    def _cut(self, query: Query, project: ProjectSettings, now_ms: int, kinds: tuple[BucketKind, ...]) -> Period:
        key = (query, project, kinds)
        if key not in self._periods:
            self._periods[key] = cut_period(query, project, now_ms, kinds)
            while len(self._periods) > 1 and self.buckets > self._buckets_max:
                self._drop(next(iter(self._periods)))
        return self._periods[key]

    def _drop(self, key: Any) -> None:
        """With the plans that hold it."""
        period = self._periods.pop(key)
        for name in [name for name, plan in self._plans.items() if plan.period is period]:
            del self._plans[name]


def _size(period: Period) -> int:
    return len(period.spans) + len(period.tiles) + len(period.previous or ())
