"""Which dimensions a question of a metric can combine.   Stage 5 of 6, pure; also used by the API's description."""

from __future__ import annotations

from collections.abc import Sequence

from rtaplatform.core.metrics import (
    LENGTH,
    AdditiveMetric,
    DailyMetric,
    DerivedMetric,
    DistinctMetric,
    LiveGauge,
    Metric,
    QuantileMetric,
    with_product_attributes,
)
from rtaplatform.core.rollups import PRODUCT_ATTRIBUTES


def list_dimension_groups(metric: Metric) -> list[tuple[str, ...]]:
    """The largest sets of dimensions that a question of this metric can combine."""
    match metric:
        case DerivedMetric():
            return _list_shared_groups(metric)
        case AdditiveMetric():
            return _drop_subsets([source.dimensions for source in metric.sources])
        case DistinctMetric():
            return [with_product_attributes((name,)) for name in metric.dimensions if name not in PRODUCT_ATTRIBUTES]
        case QuantileMetric(counts=counts):
            return _drop_subsets([tuple(d for d in group if d != LENGTH) for group in list_dimension_groups(counts)])
        case LiveGauge() | DailyMetric():
            return [()]


def can_filter(metric: Metric, names: Sequence[str]) -> bool:
    """Whether questions of this metric can have filters of all these dimensions at once."""
    return any(set(names) <= set(group) for group in list_dimension_groups(metric))


def _list_shared_groups(metric: DerivedMetric) -> list[tuple[str, ...]]:
    groups = [metric.dimensions]
    for part in metric.parts:
        pairs = [(group, part_group) for group in groups for part_group in list_dimension_groups(part)]
        groups = list(dict.fromkeys(tuple(d for d in group if d in part_group) for group, part_group in pairs))
    return _drop_subsets(groups)


def _drop_subsets(groups: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    return [group for group in groups if not any(set(group) < set(other) for other in groups)]
