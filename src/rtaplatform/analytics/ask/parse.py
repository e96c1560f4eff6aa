"""Parameters → queries.   Stage 5 of 6: [analytics] → serve. Pure; GET, POST and live share it.

Everything wrong is an `InvalidParameter` that names the field, what is allowed and the remedy. An unknown metric is
an `NotFound` where it is a path. What depends on the clock or on the project's zone is the planner's to refuse.

A list in a URL is one parameter with commas, or the parameter several times. Split at commas, `\\,` is a comma of a
value; given several times, each value is taken as it is.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rtaplatform.analytics.ask.query_fields import READERS
from rtaplatform.core.errors import InvalidParameter, NotFound
from rtaplatform.core.metrics import DIMENSIONS, METRICS, Metric
from rtaplatform.core.query import Query

PARAMETERS = ("from", "to", "interval", "timezone", "week_start", "breakdown", "limit", "compare", "bots")
LISTS = ("breakdown", "metrics", *DIMENSIONS)  # the parameters that take several values
LIVE_METRICS_MAX = 20
# A value of a list in a URL: anything but commas, and commas behind a backslash.
_VALUE = re.compile(r"(?:\\,|[^,])*")


def parse_parameters(metric: str, pairs: Iterable[tuple[str, str]], *, besides: Sequence[str] = ()) -> Query:
    """One query from a URL's parameters. `besides` names those that are not the query's."""
    return _build(_metric_of_path(metric), _fields_of_url(pairs, besides))


def parse_live(pairs: Iterable[tuple[str, str]], *, besides: Sequence[str] = ()) -> tuple[Query, ...]:
    """`metrics=a,b` and the parameters that all of them share."""
    given = list(pairs)
    fields = _fields_of_url(given, (*besides, "metrics"))
    texts = [value for name, value in given if name == "metrics"]
    names = _read_list("metrics", texts) if texts else []
    if not 1 <= len(names) <= LIVE_METRICS_MAX or len(set(names)) < len(names):
        raise InvalidParameter(
            f"Name 1 to {LIVE_METRICS_MAX} different metrics.", field="metrics", allowed=list(METRICS),
            hint="For example metrics=events,online.",
        )  # fmt: skip
    return tuple(_build(find_metric(name, "metrics"), fields) for name in names)


def parse_object(given: object) -> Query:
    """One query of `POST /v1/query`."""
    if not isinstance(given, dict):
        raise InvalidParameter("A query is an object.", hint='For example {"metric": "orders", "from": "-1h"}.')
    unknown = next((name for name in given if name not in (*PARAMETERS, "metric", "filters")), None)
    if unknown is not None:
        raise _unknown(unknown, ("metric", "filters", *PARAMETERS))
    if not isinstance(given.get("metric"), str):
        raise InvalidParameter("`metric` is missing.", field="metric", allowed=list(METRICS))
    fields = {name: value for name, value in given.items() if name != "metric" and value is not None}
    return _build(find_metric(given["metric"]), fields)


def find_metric(name: str, field: str = "metric") -> Metric:
    """The metric that a parameter or a body names; an unknown one is an InvalidParameter."""
    if name in METRICS:
        return METRICS[name]
    raise InvalidParameter(**_unknown_metric(name), field=field)


def _metric_of_path(name: str) -> Metric:
    if name in METRICS:
        return METRICS[name]
    raise NotFound(**_unknown_metric(name), field="metric")


def _unknown_metric(name: str) -> dict[str, Any]:
    near = difflib.get_close_matches(name[:100], METRICS, n=1)
    hint = f"Did you mean {near[0]}? " if near else ""
    return {
        "detail": f"There is no metric {name[:100]!r}.",
        "allowed": list(METRICS),
        "hint": f"{hint}GET /v1/metrics lists them.",
    }


# The steps: raw fields → typed ones ---------------------------------------------------------------------------------


def _fields_of_url(pairs: Iterable[tuple[str, str]], besides: Sequence[str]) -> dict[str, Any]:
    texts: dict[str, list[str]] = {}
    for name, text in pairs:
        if name in besides:
            continue
        if name not in PARAMETERS and name not in DIMENSIONS:
            raise _unknown(name, (*PARAMETERS, *besides, *DIMENSIONS))
        if name in texts and name not in LISTS:
            raise InvalidParameter(f"`{name}` is given twice.", field=name, allowed="one value", hint="Give it once.")
        texts.setdefault(name, []).append(text)
    filters = {name: _read_list(name, given) for name, given in texts.items() if name in DIMENSIONS}
    fields = {name: _read_field(name, given) for name, given in texts.items() if name not in DIMENSIONS}
    return {**fields, "filters": filters} if filters else fields


def _read_field(name: str, texts: list[str]) -> Any:
    if name in LISTS:
        return _read_list(name, texts)
    text = texts[0]
    if name == "limit":
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else text
    return text.replace(" ", "+") if name == "timezone" else text


def _build(metric: Metric, fields: Mapping[str, Any]) -> Query:
    read: dict[str, Any] = {
        "start" if n == "from" else "end" if n == "to" else n: READERS[n](metric, v) for n, v in fields.items()
    }
    return Query(metric=metric.name, **read)


def _read_list(name: str, texts: list[str]) -> list[str]:
    """The values of a parameter that was given once or several times."""
    values = texts if len(texts) > 1 else split_values(texts[0])
    if name not in DIMENSIONS:  # names of metrics and dimensions have no blanks around them
        values = [value.strip() for value in values]
    if not all(values):
        raise InvalidParameter(
            f"`{name}` has an empty value.", field=name, allowed="values that are not empty",
            hint="Separate values by commas; (none) asks for what has no value.",
        )  # fmt: skip
    return values


def split_values(text: str) -> list[str]:
    """Split at commas; a comma behind a backslash belongs to its value."""
    values, at = [], 0
    while True:
        value = _VALUE.match(text, at)
        assert value is not None
        values.append(value[0].replace("\\,", ","))
        if value.end() == len(text):
            return values
        at = value.end() + 1


def _unknown(name: str, allowed: Sequence[str]) -> InvalidParameter:
    near = difflib.get_close_matches(name[:100], allowed, n=1)
    hint = f"Did you mean {near[0]}?" if near else None
    return InvalidParameter(
        f"There is no parameter {name[:100]!r}.", field=name[:100], allowed=list(allowed), hint=hint
    )
