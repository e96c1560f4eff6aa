"""Parameters → queries.   Stage 5 of 6: [analytics] → serve. Pure; GET, POST and live share it.

Everything wrong is an `InvalidParameter` that names the field, what is allowed and the remedy (an unknown
metric is an `UnknownThing`). What depends on the clock or on the project's zone is the planner's to refuse.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any
from zoneinfo import available_timezones

import msgspec

from rtaplatform.analytics.calendar import WEEKDAYS
from rtaplatform.analytics.times import read_moment
from rtaplatform.core.errors import InvalidParameter, UnknownThing
from rtaplatform.core.metrics import DIMENSIONS, INTERVALS, METRICS, Metric
from rtaplatform.core.query import LIMIT_MAX, Query

COMPARISONS = ("previous_period", "previous_year")
BOTS = ("exclude", "include")
PARAMETERS = ("from", "to", "interval", "timezone", "week_start", "breakdown", "limit", "compare", "bots")
VALUES_MAX = 100
VALUE_BYTES_MAX = 1_024
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
            filters[name] = _split(text, name)
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
        "start" if n == "from" else "end" if n == "to" else n: _READERS[n](metric, v) for n, v in fields.items()
    }
    return Query(metric=metric.name, **read)


def _moment_of(field: str) -> Callable[[Metric, Any], Any]:
    return lambda _metric, value: read_moment(_text(value, field), field)


def _one_of(field: str, allowed: Sequence[str]) -> Callable[[Metric, Any], str]:
    def read(_metric: Metric, value: Any) -> str:
        if value not in allowed:
            raise InvalidParameter(f"`{field}` cannot be {_quoted(value)}.", field=field, allowed=list(allowed))
        return str(value)

    return read


def _timezone(_metric: Metric, value: Any) -> str:
    if not isinstance(value, str) or value not in _zones():
        raise InvalidParameter(
            f"{_quoted(value)} is not a time zone.", field="timezone", allowed="IANA names",
            hint="For example Europe/Berlin or UTC.",
        )  # fmt: skip
    return value


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _limit(_metric: Metric, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= LIMIT_MAX:
        raise InvalidParameter(
            f"`limit` cannot be {_quoted(value)}.",
            field="limit",
            allowed=f"1 to {LIMIT_MAX}",
            hint="The default is 10.",
        )
    return value


def _breakdown(metric: Metric, value: Any) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names) or len(set(names)) < len(names):
        raise InvalidParameter(
            "`breakdown` is a list of different dimensions.", field="breakdown", allowed=list(metric.dimensions)
        )
    for name in names:
        _require_dimension(metric, name, "breakdown")
    return tuple(names)


def _filters(metric: Metric, value: Any) -> tuple[tuple[str, tuple[str, ...]], ...]:
    if not isinstance(value, dict):
        raise InvalidParameter(
            "`filters` is an object of lists.", field="filters", allowed=list(metric.dimensions),
            hint='For example {"source": ["web"]}.',
        )  # fmt: skip
    return tuple(sorted((name, _values(metric, name, given)) for name, given in value.items()))


def _values(metric: Metric, name: str, given: Any) -> tuple[str, ...]:
    _require_dimension(metric, name, name)
    values = [given] if isinstance(given, str) else given
    if (
        not isinstance(values, list)
        or not 1 <= len(values) <= VALUES_MAX
        or not all(isinstance(v, str) and v and len(v) <= VALUE_BYTES_MAX for v in values)
    ):
        raise InvalidParameter(
            f"`{name}` takes 1 to {VALUES_MAX} values, none of them empty.", field=name, allowed="text",
            hint="What has no value is asked for as (none).",
        )  # fmt: skip
    return tuple(sorted(set(values)))


def _require_dimension(metric: Metric, name: str, field: str) -> None:
    if name not in metric.dimensions:
        raise InvalidParameter(
            f"{metric.name} has no dimension {name[:100]!r}.", field=field, allowed=list(metric.dimensions),
            hint="GET /v1/metrics tells which metric has which dimensions.",
        )  # fmt: skip


_READERS: dict[str, Callable[[Metric, Any], Any]] = {
    "from": _moment_of("from"),
    "to": _moment_of("to"),
    "interval": _one_of("interval", INTERVALS),
    "timezone": _timezone,
    "week_start": _one_of("week_start", WEEKDAYS),
    "breakdown": _breakdown,
    "limit": _limit,
    "compare": _one_of("compare", COMPARISONS),
    "bots": _one_of("bots", BOTS),
    "filters": _filters,
}


def _split(text: str, field: str) -> list[str]:
    values = [part.strip() for part in text.split(",")]
    if not all(values):
        raise InvalidParameter(
            f"`{field}` has an empty value.",
            field=field,
            hint="Separate values by commas; (none) asks for what has no value.",
        )
    return values


def _text(value: Any, field: str) -> str:
    if not isinstance(value, str):
        raise InvalidParameter(f"`{field}` is text.", field=field, hint="For example -24h.")
    return value


def _quoted(value: Any) -> str:
    return msgspec.json.encode(value, enc_hook=str).decode(errors="replace")[:100]


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
