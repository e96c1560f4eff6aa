"""The metrics of a project, with the dimensions that it declares.   Stage 5 of 6, pure; the list of metrics uses it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from msgspec.structs import replace

from rtaplatform.core.declarations import (
    METRIC,
    PREFIX,
    TRAIT_METRICS,
    list_properties,
    list_traits,
    make_trait_and_event_rollup,
    make_trait_rollup,
    make_value_and_event_rollup,
    make_value_rollup,
)
from rtaplatform.core.errors import InvalidParameter
from rtaplatform.core.metrics import (
    METRICS,
    AdditiveMetric,
    Combination,
    DerivedMetric,
    DistinctMetric,
    Metric,
    MetricPart,
    MetricSource,
)
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.query import Query
from rtaplatform.core.rollups import TRAIT_PREFIX


def resolve_metric(name: str, project: ProjectSettings) -> Metric:
    if name == METRIC or (name in TRAIT_METRICS and project.user_traits):
        return _with_declarations(name, project.event_properties, project.user_traits)
    return METRICS[name]


@lru_cache(maxsize=1_024)
def _with_declarations(name: str, properties: tuple[str, ...], traits: tuple[str, ...]) -> Metric:
    metric = METRICS[name]
    if isinstance(metric, DerivedMetric):
        upper, lower = metric.upper, metric.lower
        return replace(
            metric, upper=_with_traits_in_parts(upper, traits), lower=lower and _with_traits_in_parts(lower, traits)
        )
    assert isinstance(metric, AdditiveMetric | DistinctMetric)
    if name != METRIC or isinstance(metric, DistinctMetric):
        return _with_traits(metric, traits)
    rollups = [rollup for name in properties for rollup in (make_value_rollup(name), make_value_and_event_rollup(name))]
    rollups += [rollup for name in traits for rollup in (make_trait_rollup(name), make_trait_and_event_rollup(name))]
    return replace(metric, sources=(*metric.sources, *(MetricSource(rollup, "count") for rollup in rollups)))


def _with_traits_in_parts(combination: Combination, traits: tuple[str, ...]) -> Combination:
    plus, minus = (tuple([_with_traits(part, traits) for part in p]) for p in (combination.plus, combination.minus))
    return Combination(plus, minus)


def _with_traits(metric: MetricPart, traits: tuple[str, ...]) -> MetricPart:
    """The rollup of a trait has the measures of `activity`, and page views."""
    if isinstance(metric, AdditiveMetric):
        measure = "page_views" if metric.name == "page_views" else metric.sources[0].measure
        return replace(
            metric, sources=(*metric.sources, *(MetricSource(make_trait_rollup(trait), measure) for trait in traits))
        )
    assert isinstance(metric, DistinctMetric)
    return replace(metric, dimensions=(*metric.dimensions, *(TRAIT_PREFIX + trait for trait in traits)))


def needs_declaration(queries: Iterable[Query], project: ProjectSettings) -> bool:
    """Whether a query names a property or a user trait that the project does not declare."""
    return any(properties or traits for properties, traits in (_list_undeclared(query, project) for query in queries))


def _list_undeclared(query: Query, project: ProjectSettings) -> tuple[list[str], list[str]]:
    """The properties and the traits, in order of their names."""
    dimensions = list_dimensions(query)
    return (
        sorted(list_properties(dimensions) - {*project.event_properties}),
        sorted(list_traits(dimensions) - {*project.user_traits}),
    )


def require_declared(query: Query, project: ProjectSettings) -> None:
    """Raises `InvalidParameter` for a property or a user trait that the project does not declare."""
    properties, traits = _list_undeclared(query, project)
    for kind, prefix, names, declared_names, setting in (
        ("property", PREFIX, properties, project.event_properties, "event_properties"),
        ("user trait", TRAIT_PREFIX, traits, project.user_traits, "user_traits"),
    ):
        for name in names:
            raise InvalidParameter(
                f"The project declares no {kind} {name!r}.",
                field="breakdown" if prefix + name in query.breakdown else prefix + name,
                allowed=[prefix + declared_name for declared_name in declared_names],
                hint=f'Declare it first: PATCH /v1/projects/{{id}} with {{"{setting}": […]}}. '
                "Events count from then on.",
            )


def list_dimensions(query: Query) -> tuple[str, ...]:
    """Those of breakdown and filters."""
    return (*query.breakdown, *(name for name, _ in query.filters))
