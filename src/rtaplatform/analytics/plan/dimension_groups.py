"""Which dimensions go together in a question of a metric.   Stage 5 of 6, pure; read by the API's description."""

from __future__ import annotations

from rtaplatform.core.metrics import (
    AdditiveMetric,
    DerivedMetric,
    DistinctMetric,
    LiveGauge,
    Metric,
    joined_dimensions,
)
from rtaplatform.core.rollups import PERSON_DIMENSIONS


def groups_of(metric: Metric) -> list[tuple[str, ...]]:
    """The dimensions that go together in a question of this metric."""
    match metric:
        case DerivedMetric():
            return _shared_groups(metric)
        case AdditiveMetric():
            held = [source.dimensions for source in metric.sources]
            return [one for one in held if not any(set(one) < set(other) for other in held)]
        case DistinctMetric():
            return [joined_dimensions((name,)) for name in PERSON_DIMENSIONS]
        case LiveGauge():
            return [()]


def _shared_groups(metric: DerivedMetric) -> list[tuple[str, ...]]:
    found = [metric.dimensions]
    for part in metric.parts:
        held = [(group, other) for group in found for other in groups_of(part)]
        found = list(dict.fromkeys(tuple(d for d in group if d in other) for group, other in held))
    return [one for one in found if not any(set(one) < set(other) for other in found)]
