"""What OpenAPI says of the query's parameters, made from the lists that the parser reads.   Stage 6 of 6.

The handlers read the raw parameters, since everything wrong with them is one kind of problem document.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from litestar.openapi.spec import (
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    Parameter,
    RequestBody,
    Schema,
)

from rtaplatform.analytics.calendar import WEEKDAYS
from rtaplatform.analytics.fields import BOTS, COMPARISONS
from rtaplatform.analytics.popular import METRIC_OF
from rtaplatform.core.metrics import DIMENSIONS, INTERVALS
from rtaplatform.core.query import LIMIT_DEFAULT, LIMIT_MAX

TIME = "`now`, `-<n>` with m, h, d, w, a date, or ISO 8601; without an offset it is in `timezone`."
EXAMPLE_QUERY = {
    "queries": [{"metric": "orders", "from": "-24h", "interval": "hour", "filters": {"source": ["web"]}, "limit": 10}]
}


def _parameter(name: str, description: str, example: Any, schema: Schema | None = None) -> Parameter:
    kind = schema or Schema(type=OpenAPIType.STRING)
    return Parameter(name=name, param_in="query", required=False, description=description, example=example, schema=kind)


def _one_of(values: tuple[str, ...]) -> Schema:
    return Schema(type=OpenAPIType.STRING, enum=list(values))


_LIMIT = Schema(type=OpenAPIType.INTEGER, minimum=1, maximum=LIMIT_MAX, default=LIMIT_DEFAULT)

QUERY_PARAMETERS = (
    _parameter("from", f"Start of the period, -24h by default: {TIME}", "-24h"),
    _parameter("to", f"End of the period, now by default: {TIME}", "now"),
    _parameter("interval", "Length of a point; none: no points.", "hour", _one_of(INTERVALS)),
    _parameter("timezone", "IANA name; the project's by default.", "Europe/Berlin"),
    _parameter("week_start", "First day of a week; the project's by default.", "monday", _one_of(WEEKDAYS)),
    _parameter("breakdown", "One result per combination of these dimensions, by commas.", "source"),
    _parameter("limit", "How many combinations.", LIMIT_DEFAULT, _LIMIT),
    _parameter("compare", "Fills `previous`.", "previous_period", _one_of(COMPARISONS)),
    _parameter("bots", "include: count events marked as bots.", "exclude", _one_of(BOTS)),
    *(_parameter(name, f"Only these values of {name}, by commas; (none) is no value.", None) for name in DIMENSIONS),
)
LIVE_PARAMETERS = (
    _parameter("metrics", "1 to 20 metrics, by commas.", "events,online"),
    _parameter("ticket", "A ticket of POST /v1/live/tickets, instead of the header.", None),
    *QUERY_PARAMETERS,
)
POPULAR_PARAMETERS = (
    _parameter("by", "What makes a product popular.", "views", _one_of(tuple(METRIC_OF))),
    _parameter("window", "How far back: a number with m, h, d or w.", "24h"),
    _parameter("limit", "How many products, 20 by default.", 20, _LIMIT),
    _parameter("category", "Only products of this category of the catalog.", None),
)


@dataclass
class QueryOperation(Operation):
    def __post_init__(self) -> None:
        self.parameters = [*(self.parameters or ()), *QUERY_PARAMETERS]


@dataclass
class LiveOperation(Operation):
    def __post_init__(self) -> None:
        self.parameters = [*(self.parameters or ()), *LIVE_PARAMETERS]


@dataclass
class PopularOperation(Operation):
    def __post_init__(self) -> None:
        self.parameters = [*(self.parameters or ()), *POPULAR_PARAMETERS]


@dataclass
class QueriesOperation(Operation):
    def __post_init__(self) -> None:
        media = OpenAPIMediaType(schema=Schema(type=OpenAPIType.OBJECT, required=["queries"]), example=EXAMPLE_QUERY)
        self.request_body = RequestBody(content={"application/json": media}, required=True)
