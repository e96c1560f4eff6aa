"""The OpenAPI descriptions of queries, made from the lists that the parser reads.   Stage 6 of 6.

The handlers read raw parameters, so that everything wrong with them gives one kind of problem document. Which
dimensions go together depends on the metric. The schema of a body has one shape for each group of dimensions;
OpenAPI has no way to express this for parameters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rtaplatform.analytics.ask.parse import LIVE_METRICS_MAX
from rtaplatform.analytics.ask.query_fields import BOTS, COMPARISONS, VALUE_BYTES_MAX, VALUES_MAX
from rtaplatform.analytics.ask.time_expressions import PATTERN
from rtaplatform.analytics.plan.dimension_groups import list_dimension_groups
from rtaplatform.core.declarations import METRIC, NAME, PREFIX, TRAIT_METRICS
from rtaplatform.core.metrics import DIMENSIONS, INTERVALS, METRICS
from rtaplatform.core.query import LIMIT_DEFAULT, LIMIT_MAX
from rtaplatform.core.rollups import TRAIT_PREFIX
from rtaplatform.serve.openapi.openapi_pieces import (
    TIME_ZONE,
    WEEKDAY,
    Docs,
    allow_null,
    make_body_schema,
    make_check,
    make_list_parameter,
    make_parameter,
    name_schema,
)

QUERIES_MAX = 20
TIME = "`now`, `-<n>` with m, h, d, w, a date, or ISO 8601; without an offset it is in `timezone`."
EXAMPLE_QUERY = {
    "queries": [{"metric": "orders", "from": "-24h", "interval": "hour", "filters": {"source": ["web"]}, "limit": 10}]
}
_TIME: Docs = {"type": "string", "pattern": PATTERN}
_VALUE: Docs = {"type": "string", "minLength": 1, "maxLength": VALUE_BYTES_MAX}
_VALUES: Docs = {"anyOf": [_VALUE, {"type": "array", "items": _VALUE, "minItems": 1, "maxItems": VALUES_MAX}]}
# Commas separate values. `\,` is a comma in a value; to this schema it looks like two values.
_VALUE_OF_URL: Docs = {**_VALUE, "pattern": "^[^,]+$"}


def make_choice(values: tuple[str, ...]) -> Docs:
    return {"type": "string", "enum": list(values)}


def limit_schema(default: int) -> Docs:
    return {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": default}


_INTERVAL = name_schema("Interval", make_choice(INTERVALS))
_COMPARISON = name_schema("Comparison", make_choice(COMPARISONS))
_BOTS = name_schema("Bots", make_choice(BOTS))
_METRIC_NAME = name_schema("MetricName", make_choice(tuple(METRICS)))
_PROPERTY: Docs = {"type": "string", "pattern": f"^{re.escape(PREFIX)}{NAME}$"}
_TRAIT: Docs = {"type": "string", "pattern": f"^{re.escape(TRAIT_PREFIX)}{NAME}$"}
_DIMENSION = name_schema("Dimension", {"anyOf": [make_choice(DIMENSIONS), _PROPERTY, _TRAIT]})
FROM_AND_TO = (
    make_parameter("from", f"Start of the period, -24h by default: {TIME}", _TIME, example="-24h"),
    make_parameter("to", f"End of the period, now by default: {TIME}", _TIME, example="now"),
)
IN_ZONE = make_parameter("timezone", "IANA name; the project's by default.", TIME_ZONE, example="Europe/Berlin")
COMPARE = make_parameter(
    "compare", "Fills `previous` with the total of the period before, or of the same dates a year before.",
    _COMPARISON, example="previous_period",
)  # fmt: skip


def make_filters(dimensions: Sequence[str]) -> tuple[Docs, ...]:
    return tuple(
        make_list_parameter(
            name, f"Only these values of {name}, by commas (`\\,` is a comma); (none) is no value.",
            _VALUE_OF_URL, items_max=VALUES_MAX, example="(none)",
        )
        for name in dimensions
    )  # fmt: skip


_SHARED = (
    *FROM_AND_TO,
    make_parameter("interval", "Length of a point; none: no points.", _INTERVAL, example="hour"),
    IN_ZONE,
    make_parameter("week_start", "First day of a week; the project's by default.", WEEKDAY, example="monday"),
    make_list_parameter(
        "breakdown",
        "One result per combination of these dimensions, by commas. `property.<name>` is a property that the project "
        "declares; events can also be filtered by it: `property.<name>=a,b`. `user.<trait>` is a declared trait of "
        "users, as it was known when the event was counted.",
        _DIMENSION, items_max=len(DIMENSIONS), example="source",
    ),
    make_parameter("limit", "How many combinations.", limit_schema(LIMIT_DEFAULT), example=LIMIT_DEFAULT),
    COMPARE,
    make_parameter("bots", "include: count events marked as bots.", _BOTS, example="exclude"),
    *make_filters(DIMENSIONS),
)  # fmt: skip
_METRIC = make_parameter("name", "As in GET /v1/metrics.", _METRIC_NAME, "path", example="orders")
_LIVE = (
    make_list_parameter(
        "metrics", f"1 to {LIVE_METRICS_MAX} metrics, by commas.", _METRIC_NAME,
        items_max=min(LIVE_METRICS_MAX, len(METRICS)), example="events", required=True,
    ),
    make_parameter("ticket", "A ticket of POST /v1/live/tickets, instead of the header.", {"type": "string"}),
    make_parameter("last_event_id", "As the header Last-Event-ID, where that cannot be sent.", {"type": "string"}),
    make_parameter(
        "Last-Event-ID", "The last `id` seen: the updates since, or a snapshot.", {"type": "string"}, "header"
    ),
)  # fmt: skip


def _make_query_schema() -> Docs:
    """Describe one query: its fields, and for validators one shape for each group of dimensions that go together."""
    shapes = [
        *(_make_shape(dimensions, metrics) for dimensions, metrics in _group_metrics().items()),
        _make_shape_with(_PROPERTY, [METRIC], ("event",)),
        _make_shape_with(_TRAIT, [METRIC], ("event",)),
        _make_shape_with(_TRAIT, [name for name in TRAIT_METRICS if name != METRIC], ()),
    ]
    fields: Docs = {
        "type": "object",
        "properties": {
            "metric": _METRIC_NAME,
            "from": allow_null(_TIME),
            "to": allow_null(_TIME),
            "interval": allow_null(_INTERVAL),
            "timezone": allow_null(TIME_ZONE),
            "week_start": allow_null(WEEKDAY),
            "limit": allow_null({"type": "integer", "minimum": 1, "maximum": LIMIT_MAX}),
            "compare": allow_null(_COMPARISON),
            "bots": allow_null(_BOTS),
            "breakdown": {
                "anyOf": [{"type": "array", "items": _DIMENSION, "uniqueItems": True}, allow_null(_DIMENSION)]
            },
            "filters": allow_null(name_schema("Filters", _make_filters_with((_PROPERTY, _TRAIT), tuple(DIMENSIONS)))),
        },
        "required": ["metric"],
        "additionalProperties": False,
    }
    return name_schema("Query", {**fields, **make_check({"anyOf": shapes})})


def _group_metrics() -> dict[tuple[str, ...], list[str]]:
    groups: dict[tuple[str, ...], list[str]] = {}
    for metric in METRICS.values():
        for dimensions in list_dimension_groups(metric):
            groups.setdefault(dimensions, []).append(metric.name)
    return groups


def _make_shape(dimensions: tuple[str, ...], metrics: list[str]) -> Docs:
    return {
        "properties": {
            "metric": {"enum": metrics},
            "breakdown": _make_breakdown(dimensions),
            "filters": allow_null(_make_filters_schema(dimensions)),
        }
    }


def _make_filters_schema(dimensions: tuple[str, ...]) -> Docs:
    return {"type": "object", "properties": dict.fromkeys(dimensions, _VALUES), "additionalProperties": False}


def _make_filters_with(declared_schemas: Sequence[Docs], dimensions: tuple[str, ...]) -> Docs:
    return {
        **_make_filters_schema(dimensions),
        "patternProperties": {schema["pattern"]: _VALUES for schema in declared_schemas},
    }


def _make_shape_with(declared_filters: Docs, metrics: list[str], beside: tuple[str, ...]) -> Docs:
    """Metrics by one declared property or trait; events perhaps by their name, too."""
    dimension: Docs = {"anyOf": [declared_filters, make_choice(beside)]} if beside else declared_filters
    list_schema: Docs = {"type": "array", "items": dimension, "uniqueItems": True}
    return {
        "properties": {
            "metric": {"enum": metrics},
            "breakdown": {"anyOf": [list_schema, dimension, {"type": "null"}]},
            "filters": allow_null(_make_filters_with((declared_filters,), beside)),
        }
    }


def _make_breakdown(dimensions: tuple[str, ...]) -> Docs:
    if not dimensions:
        return {"type": ["array", "null"], "maxItems": 0}
    list_schema: Docs = {"type": "array", "items": make_choice(dimensions), "uniqueItems": True}
    return {"anyOf": [list_schema, allow_null(make_choice(dimensions))]}


def _make_event_schema() -> Docs:
    """Describe one event of the stream; its `data` is JSON."""
    return name_schema(
        "LiveEvent",
        {
            "type": "object",
            "properties": {
                "event": {"type": "string", "enum": ["snapshot", "update", "problem"]},
                "id": {"type": "string"},
                "data": {"type": "string", "contentMediaType": "application/json"},
            },
            "required": ["event", "data"],
        },
    )


READ_METRIC: Docs = {"parameters": [_METRIC, *_SHARED]}
READ_QUERIES: Docs = {
    "requestBody": make_body_schema(
        {
            "application/json": name_schema(
                "QueryList",
                {
                    "type": "object",
                    "properties": {
                        "queries": {
                            "type": "array",
                            "items": _make_query_schema(),
                            "minItems": 1,
                            "maxItems": QUERIES_MAX,
                        }
                    },
                    "required": ["queries"],
                    "additionalProperties": False,
                    "example": EXAMPLE_QUERY,
                },
            )
        }
    )
}
STREAM_LIVE: Docs = {
    "parameters": [*_LIVE, *_SHARED],
    "responses": {
        "200": {
            "description": "Events, until the client goes.",
            "content": {"text/event-stream": {"schema": make_check(_make_event_schema())}},
        }
    },
}
