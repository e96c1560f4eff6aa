"""The intervals that a metric's points can have.   Stage 5 of 6, pure; also used by the API's description.

Numbers of persons by day exist for local days of the project's zone only. A question about them is refused in another
zone and with shorter intervals, and it ends with the day in progress: windows of 7 and 30 days reach ahead of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from rtaplatform.analytics.ask.time_expressions import resolve
from rtaplatform.core.declarations import has_minutes
from rtaplatform.core.errors import InvalidParameter
from rtaplatform.core.metrics import (
    INTERVALS,
    AdditiveMetric,
    DailyMetric,
    DerivedMetric,
    DistinctMetric,
    LiveGauge,
    Metric,
    QuantileMetric,
)
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.query import NOW, Query
from rtaplatform.core.rollups import ACTIVES

DAY_INTERVALS = ("day", "week", "month", "none")


def list_intervals(metric: Metric) -> tuple[str, ...]:
    match metric:
        case LiveGauge():
            return ("none",)
        case DailyMetric():
            return DAY_INTERVALS
        case AdditiveMetric(sources=sources):
            smallest = sources[0].rollup
            if smallest == ACTIVES:
                return DAY_INTERVALS
            return INTERVALS if has_minutes(smallest.name) else INTERVALS[1:]
        case DistinctMetric():
            return INTERVALS
        case DerivedMetric() | QuantileMetric():
            by_part = [list_intervals(part) for part in metric.parts]
            return tuple(name for name in INTERVALS if all(name in intervals for intervals in by_part))


def find_daily(metrics: Sequence[Metric]) -> Metric | None:
    """The first that is counted by local day."""
    return next((metric for metric in metrics if list_intervals(metric) == DAY_INTERVALS), None)


def widen_to_days(query: Query, daily: Metric, project: ProjectSettings, now_ms: int) -> Query:
    """The query, which ends now at the latest. Raises `InvalidParameter` for another zone and for short intervals."""
    if query.timezone not in (None, project.zone):
        raise InvalidParameter(
            f"{daily.name} is counted by the days of the project's time zone, {project.zone}. Days of other zones are "
            "not kept.",
            field="timezone", allowed=[project.zone], hint="Leave `timezone` out.",
        )  # fmt: skip
    if query.interval not in DAY_INTERVALS:
        raise InvalidParameter(
            f"{daily.name} is counted by whole days, so it has no points of one {query.interval}.",
            field="interval", allowed=list(DAY_INTERVALS), hint="Use interval=day.",
        )  # fmt: skip
    return replace(query, end=NOW) if resolve(query.end, project.zone, now_ms) > now_ms else query
