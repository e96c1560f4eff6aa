"""Parameters → queries.   Stage 5 of 6: [analytics] → serve. Pure; GET, POST and live share it.

Everything wrong is an `InvalidParameter` that names the field, what is allowed and the remedy (an unknown
metric is an `UnknownThing`). What depends on the clock or on the project's zone is the planner's to refuse.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rtaplatform.analytics.fields import READERS
from rtaplatform.core.errors import InvalidParameter, UnknownThing
from rtaplatform.core.metrics import DIMENSIONS, METRICS, Metric
from rtaplatform.core.query import Query

PARAMETERS = ("from", "to", "interval", "timezone", "week_start", "breakdown", "limit", "compare", "bots")
LIVE_METRICS_MAX = 20


def parse_parameters(metric: str, pairs: Iterable[tuple[str, str]], *, besides: Sequence[str] = ()) -> Query:
    """One query from a URL's parameters. `besides` names those that are not the query's."""
    return _build(find_metric(metric), _fields_of_url(pairs, besides))


def parse_live(pairs: Iterable[tuple[str, str]], *, besides: Sequence[str] = ()) -> tuple[Query, ...]:
    """`metrics=a,b` and the parameters that all of them share."""
    given = list(pairs)
    fields = _fields_of_url(given, (*besides, "metrics"))
    named = [value for name, value in given if name == "metrics"]
    if len(named) > 1:
        raise _twice("metrics")
    names = _split(named[0], "metrics") if named else []
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
    if name in METRICS:
        return METRICS[name]
    near = difflib.get_close_matches(name[:100], METRICS, n=1)
    hint = f"Did you mean {near[0]}? " if near else ""
    raise UnknownThing(
        f"There is no metric {name[:100]!r}.",
        field=field,
        allowed=list(METRICS),
        hint=f"{hint}GET /v1/metrics lists them.",
    )


def stored_value(shown: str) -> str:
    """A dimension's value as rule 5 stores it: control characters are blanks, 256 bytes at most."""
    text = "" if shown == "(none)" else shown
    clean = "".join(" " if c < " " or c == "\x7f" else c for c in text)
    return clean.encode("utf-8", "replace")[:256].decode("utf-8", "ignore")


# The steps: raw fields → typed ones ---------------------------------------------------------------------------------


def _fields_of_url(pairs: Iterable[tuple[str, str]], besides: Sequence[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    filters: dict[str, list[str]] = {}
    for name, text in pairs:
        if name in besides:
            continue
        if name in fields or name in filters:
            raise _twice(name)
        if name in DIMENSIONS:
            filters[name] = _require_values(text.split(","), name)
        elif name not in PARAMETERS:
            raise _unknown(name, (*PARAMETERS, *besides, *DIMENSIONS))
        else:
            fields[name] = _of_url(name, text)
    return {**fields, "filters": filters} if filters else fields


def _of_url(name: str, text: str) -> Any:
    if name == "breakdown":
        return _split(text, name)
    if name == "limit":
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else text
    return text.replace(" ", "+") if name == "timezone" else text


def _build(metric: Metric, fields: Mapping[str, Any]) -> Query:
    read: dict[str, Any] = {
        "start" if n == "from" else "end" if n == "to" else n: READERS[n](metric, v) for n, v in fields.items()
    }
    return Query(metric=metric.name, **read)


def _split(text: str, field: str) -> list[str]:
    return _require_values([part.strip() for part in text.split(",")], field)


def _require_values(values: list[str], field: str) -> list[str]:
    if not all(values):
        raise InvalidParameter(
            f"`{field}` has an empty value.",
            field=field,
            hint="Separate values by commas; (none) asks for what has no value.",
        )
    return values


def _unknown(name: str, allowed: Sequence[str]) -> InvalidParameter:
    near = difflib.get_close_matches(name[:100], allowed, n=1)
    hint = f"Did you mean {near[0]}?" if near else None
    return InvalidParameter(
        f"There is no parameter {name[:100]!r}.", field=name[:100], allowed=list(allowed), hint=hint
    )


def _twice(name: str) -> InvalidParameter:
    return InvalidParameter(
        f"`{name}` is given twice.", field=name, hint="Give several values as one, separated by commas."
    )
