"""Parse parameters into queries.   Stage 5 of 6: [analytics] → serve. Pure; GET, POST and live share it.

Every mistake is an `InvalidParameter` that names the field, the allowed values and the remedy. An unknown metric in a
path is a `NotFound`. The planner refuses what depends on the clock or on the project's time zone.

A list in a URL is one parameter with commas, or the same parameter several times. In the first form `\\,` is a comma
inside a value. In the second form each value is taken as it is.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rtaplatform.analytics.ask.query_fields import READERS
from rtaplatform.core.declarations import is_property, is_trait
from rtaplatform.core.errors import InvalidParameter, NotFound
from rtaplatform.core.metrics import DIMENSIONS, METRICS, Metric
from rtaplatform.core.query import Query

PARAMETERS = ("from", "to", "interval", "timezone", "week_start", "breakdown", "limit", "compare", "bots")
LISTS = ("breakdown", "metrics")  # the parameters, besides dimensions, that take several values
LIVE_METRICS_MAX = 20
# A value of a list in a URL: no commas, except after a backslash.
_VALUE = re.compile(r"(?:\\,|[^,])*")


def parse_parameters(metric: str, pairs: Iterable[tuple[str, str]], *, besides: Sequence[str] = ()) -> Query:
    """Parse one query from a URL's parameters. `besides` names parameters that do not belong to the query."""
    return _build_query(_find_metric_of_path(metric), _read_url_fields(pairs, besides))


def parse_live(pairs: Iterable[tuple[str, str]], *, besides: Sequence[str] = ()) -> tuple[Query, ...]:
    """Parse one query per metric of `metrics=a,b`; the other parameters are shared."""
    parameters = list(pairs)
    fields = _read_url_fields(parameters, (*besides, "metrics"))
    texts = [value for name, value in parameters if name == "metrics"]
    names = _read_list("metrics", texts) if texts else []
    if not 1 <= len(names) <= LIVE_METRICS_MAX or len(set(names)) < len(names):
        raise InvalidParameter(
            f"Name 1 to {LIVE_METRICS_MAX} different metrics.", field="metrics", allowed=list(METRICS),
            hint="For example metrics=events,online.",
        )  # fmt: skip
    return tuple(_build_query(find_metric(name, "metrics"), fields) for name in names)


def parse_object(raw_query: object) -> Query:
    """Parse one query of `POST /v1/query`."""
    if not isinstance(raw_query, dict):
        raise InvalidParameter("A query is an object.", hint='For example {"metric": "orders", "from": "-1h"}.')
    unknown = next((name for name in raw_query if name not in (*PARAMETERS, "metric", "filters")), None)
    if unknown is not None:
        raise InvalidParameter.unknown(unknown, ("metric", "filters", *PARAMETERS))
    if not isinstance(raw_query.get("metric"), str):
        raise InvalidParameter("`metric` is missing.", field="metric", allowed=list(METRICS))
    fields = {name: value for name, value in raw_query.items() if name != "metric" and value is not None}
    return _build_query(find_metric(raw_query["metric"]), fields)


def name_field_in_object(raw_query: object, field: str | None) -> str | None:
    """Where the field of an error stands in such a query: a dimension is one of its `filters`."""
    filters = raw_query.get("filters") if isinstance(raw_query, dict) else None
    return f"filters.{field}" if isinstance(filters, dict) and field in filters else field


def find_metric(name: str, field: str = "metric") -> Metric:
    """Find the metric that a parameter or a body names. Raises InvalidParameter."""
    if name in METRICS:
        return METRICS[name]
    raise InvalidParameter(**_describe_unknown_metric(name), field=field)


def _find_metric_of_path(name: str) -> Metric:
    if name in METRICS:
        return METRICS[name]
    raise NotFound(**_describe_unknown_metric(name), field="metric")


def _describe_unknown_metric(name: str) -> dict[str, Any]:
    near = difflib.get_close_matches(name[:100], METRICS, n=1)
    hint = f"Did you mean {near[0]}? " if near else ""
    return {
        "detail": f"There is no metric {name[:100]!r}.",
        "allowed": list(METRICS),
        "hint": f"{hint}GET /v1/metrics lists them.",
    }


# Raw fields → typed fields -----------------------------------------------------------------------------------------


def _read_url_fields(pairs: Iterable[tuple[str, str]], besides: Sequence[str]) -> dict[str, Any]:
    texts: dict[str, list[str]] = {}
    for name, text in pairs:
        if name in besides:
            continue
        if name not in PARAMETERS and not _is_dimension(name):
            raise InvalidParameter.unknown(name, (*PARAMETERS, *besides, *DIMENSIONS))
        if name in texts and not _is_list(name):
            raise InvalidParameter(f"`{name}` is given twice.", field=name, allowed="one value", hint="Give it once.")
        texts.setdefault(name, []).append(text)
    filters = {name: _read_list(name, values) for name, values in texts.items() if _is_dimension(name)}
    fields = {name: _read_field(name, values) for name, values in texts.items() if not _is_dimension(name)}
    return {**fields, "filters": filters} if filters else fields


def _is_dimension(name: str) -> bool:
    """Whether a parameter is a filter. Whether a project declares it is not known here."""
    return name in DIMENSIONS or is_property(name) or is_trait(name)


def _is_list(name: str) -> bool:
    return name in LISTS or _is_dimension(name)


def _read_field(name: str, texts: list[str]) -> Any:
    if _is_list(name):
        return _read_list(name, texts)
    text = texts[0]
    if name == "limit":
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else text
    return text.replace(" ", "+") if name == "timezone" else text


def _build_query(metric: Metric, fields: Mapping[str, Any]) -> Query:
    members: dict[str, Any] = {
        "start" if n == "from" else "end" if n == "to" else n: READERS[n](metric, v) for n, v in fields.items()
    }
    return Query(metric=metric.name, **members)


def _read_list(name: str, texts: list[str]) -> list[str]:
    """Read the values of a parameter that occurs once or several times."""
    values = texts if len(texts) > 1 else split_values(texts[0])
    if not _is_dimension(name):  # spaces around names of metrics and dimensions are ignored
        values = [value.strip() for value in values]
    if not all(values):
        raise InvalidParameter(
            f"`{name}` has an empty value.", field=name, allowed="values that are not empty",
            hint="Separate values by commas; (none) asks for what has no value.",
        )  # fmt: skip
    return values


def split_values(text: str) -> list[str]:
    """Split at commas. A comma after a backslash belongs to the value."""
    values, start = [], 0
    while True:
        value = _VALUE.match(text, start)
        assert value is not None
        values.append(value[0].replace("\\,", ","))
        if value.end() == len(text):
            return values
        start = value.end() + 1
