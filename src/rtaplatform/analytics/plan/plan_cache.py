"""Caches the plans of the current minute.   Stage 5 of 6, pure.

Keeps plans, and the periods that they share: metrics of one request usually have the same period. Entries are valid for
the minute for which they were made; when the minute changes, all are dropped. The number of plans and the buckets of
all periods are bounded; the oldest entry is dropped first.
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
        """Raises `InvalidParameter`, which names the field and the allowed values."""
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
        """The number of buckets of all cached periods."""
        return sum(map(_count_buckets, self._periods.values()))

    def _cut(self, query: Query, project: ProjectSettings, now_ms: int, kinds: tuple[BucketKind, ...]) -> Period:
        key = (query, project, kinds)
        if key not in self._periods:
            self._periods[key] = cut_period(query, project, now_ms, kinds)
            while len(self._periods) > 1 and self.buckets > self._buckets_max:
                self._drop_period(next(iter(self._periods)))
        return self._periods[key]

    def _drop_period(self, key: Any) -> None:
        """Drop a period and the plans that use it."""
        period = self._periods.pop(key)
        for name in [name for name, plan in self._plans.items() if plan.period is period]:
            del self._plans[name]


def _count_buckets(period: Period) -> int:
    return len(period.spans) + len(period.tiles) + len(period.previous or ())
