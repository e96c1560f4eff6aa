"""The OpenAPI descriptions of queries, made from the lists that the parser reads.   Stage 6 of 6.

The handlers read raw parameters, so that everything wrong with them gives one kind of problem document. Which
dimensions go together depends on the metric. The schema of a body has one shape for each group of dimensions;
OpenAPI has no way to express this for parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

from rtaplatform.analytics.ask.parse import LIVE_METRICS_MAX
from rtaplatform.analytics.ask.query_fields import BOTS, COMPARISONS, VALUE_BYTES_MAX, VALUES_MAX
from rtaplatform.analytics.ask.time_expressions import PATTERN
from rtaplatform.analytics.plan.dimension_groups import groups_of
from rtaplatform.core.metrics import DIMENSIONS, INTERVALS, METRICS
from rtaplatform.core.query import LIMIT_DEFAULT, LIMIT_MAX
from rtaplatform.core.time.calendar import WEEKDAYS
from rtaplatform.serve.openapi.openapi_pieces import TIME_ZONE, Docs, body_schema, comma_separated, nullable, parameter

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


def one_of(values: tuple[str, ...]) -> Docs:
    return {"type": "string", "enum": list(values)}


def limit_schema(default: int) -> Docs:
    return {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": default}


FROM_AND_TO = (
    parameter("from", f"Start of the period, -24h by default: {TIME}", _TIME, example="-24h"),
    parameter("to", f"End of the period, now by default: {TIME}", _TIME, example="now"),
)
IN_ZONE = parameter("timezone", "IANA name; the project's by default.", TIME_ZONE, example="Europe/Berlin")
COMPARE = parameter(
    "compare", "Fills `previous` with the total of the period before, or of the same dates a year before.",
    one_of(COMPARISONS), example="previous_period",
)  # fmt: skip


def filters_of(dimensions: Sequence[str]) -> tuple[Docs, ...]:
    return tuple(
        comma_separated(
            name, f"Only these values of {name}, by commas (`\\,` is a comma); (none) is no value.",
            _VALUE_OF_URL, items_max=VALUES_MAX, example="(none)",
        )
        for name in dimensions
    )  # fmt: skip


_SHARED = (
    *FROM_AND_TO,
    parameter("interval", "Length of a point; none: no points.", one_of(INTERVALS), example="hour"),
    IN_ZONE,
    parameter("week_start", "First day of a week; the project's by default.", one_of(WEEKDAYS), example="monday"),
    comma_separated(
        "breakdown", "One result per combination of these dimensions, by commas.",
        one_of(DIMENSIONS), items_max=len(DIMENSIONS), example="source",
    ),
    parameter("limit", "How many combinations.", limit_schema(LIMIT_DEFAULT), example=LIMIT_DEFAULT),
    COMPARE,
    parameter("bots", "include: count events marked as bots.", one_of(BOTS), example="exclude"),
    *filters_of(DIMENSIONS),
)  # fmt: skip
_METRIC = parameter("name", "As in GET /v1/metrics.", one_of(tuple(METRICS)), "path", example="orders")
_LIVE = (
    comma_separated(
        "metrics", f"1 to {LIVE_METRICS_MAX} metrics, by commas.", one_of(tuple(METRICS)),
        items_max=min(LIVE_METRICS_MAX, len(METRICS)), example="events", required=True,
    ),
    parameter("ticket", "A ticket of POST /v1/live/tickets, instead of the header.", {"type": "string"}),
    parameter("last_event_id", "As the header Last-Event-ID, where that cannot be sent.", {"type": "string"}),
    parameter("Last-Event-ID", "The last `id` seen: the updates since, or a snapshot.", {"type": "string"}, "header"),
)  # fmt: skip


def _query() -> Docs:
    """Describe one query: the common fields, and one shape for each group of dimensions that go together."""
    shapes = [_shape(dimensions, metrics) for dimensions, metrics in _groups().items()]
    return {
        "type": "object",
        "properties": {
            "metric": one_of(tuple(METRICS)),
            "from": nullable(_TIME),
            "to": nullable(_TIME),
            "interval": nullable(one_of(INTERVALS)),
            "timezone": {"anyOf": [TIME_ZONE, {"type": "null"}]},
            "week_start": nullable(one_of(WEEKDAYS)),
            "limit": nullable(limit_schema(LIMIT_DEFAULT)),
            "compare": nullable(one_of(COMPARISONS)),
            "bots": nullable(one_of(BOTS)),
            "breakdown": {},
            "filters": {},
        },
        "required": ["metric"],
        "additionalProperties": False,
        "anyOf": shapes,
    }


def _groups() -> dict[tuple[str, ...], list[str]]:
    groups: dict[tuple[str, ...], list[str]] = {}
    for metric in METRICS.values():
        for dimensions in groups_of(metric):
            groups.setdefault(dimensions, []).append(metric.name)
    return groups


def _shape(dimensions: tuple[str, ...], metrics: list[str]) -> Docs:
    filters = {"type": ["object", "null"], "properties": dict.fromkeys(dimensions, _VALUES)}
    return {
        "properties": {
            "metric": {"enum": metrics},
            "breakdown": _breakdown(dimensions),
            "filters": {**filters, "additionalProperties": False},
        }
    }


def _breakdown(dimensions: tuple[str, ...]) -> Docs:
    if not dimensions:
        return {"type": ["array", "null"], "maxItems": 0}
    listed: Docs = {"type": "array", "items": one_of(dimensions), "uniqueItems": True}
    return {"anyOf": [listed, nullable(one_of(dimensions))]}


def _event() -> Docs:
    """Describe one event of the stream; its `data` is JSON."""
    return {
        "type": "object",
        "properties": {
            "event": {"type": "string", "enum": ["snapshot", "update", "error"]},
            "id": {"type": "string"},
            "data": {"type": "string", "contentMediaType": "application/json"},
        },
        "required": ["event", "data"],
    }


READ_METRIC: Docs = {"parameters": [_METRIC, *_SHARED]}
READ_QUERIES: Docs = {
    "requestBody": body_schema(
        {
            "application/json": {
                "type": "object",
                "properties": {"queries": {"type": "array", "items": _query(), "minItems": 1, "maxItems": QUERIES_MAX}},
                "required": ["queries"],
                "additionalProperties": False,
                "example": EXAMPLE_QUERY,
            }
        }
    )
}
STREAM_LIVE: Docs = {
    "parameters": [*_LIVE, *_SHARED],
    "responses": {
        "200": {"description": "Events, until the client goes.", "content": {"text/event-stream": {"schema": _event()}}}
    },
}
