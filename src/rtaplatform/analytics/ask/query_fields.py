"""Readers of a query's fields: each turns a raw value into a typed one.   Stage 5 of 6, pure; for parse.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from rtaplatform.analytics.ask.time_expressions import read_moment
from rtaplatform.core.declarations import METRIC, TRAIT_METRICS, is_property, is_trait
from rtaplatform.core.errors import InvalidParameter
from rtaplatform.core.metrics import INTERVALS, Metric
from rtaplatform.core.query import LIMIT_MAX
from rtaplatform.core.time.calendar import WEEKDAYS
from rtaplatform.core.time.zones import is_known_zone

COMPARISONS = ("previous_period", "previous_year")
BOTS = ("exclude", "include")
VALUES_MAX = 100
VALUE_BYTES_MAX = 1_024


def _make_moment_reader(field: str) -> Callable[[Metric, Any], Any]:
    return lambda _metric, value: read_moment(_require_text(value, field), field)


def _make_choice_reader(field: str, allowed: Sequence[str]) -> Callable[[Metric, Any], str]:
    def read(_metric: Metric, value: Any) -> str:
        if value not in allowed:
            raise InvalidParameter(f"`{field}` cannot be {_quote(value)}.", field=field, allowed=list(allowed))
        return str(value)

    return read


def _read_timezone(_metric: Metric, value: Any) -> str:
    if not is_known_zone(value):
        raise InvalidParameter(
            f"{_quote(value)} is not a time zone.", field="timezone", allowed="IANA names",
            hint="For example Europe/Berlin or UTC.",
        )  # fmt: skip
    return str(value)


def _read_limit(_metric: Metric, value: Any) -> int:
    # In JSON, 10.0 is an integer too.
    if isinstance(value, bool) or value not in range(1, LIMIT_MAX + 1):
        raise InvalidParameter(
            f"`limit` cannot be {_quote(value)}.",
            field="limit",
            allowed=f"1 to {LIMIT_MAX}",
            hint="The default is 10.",
        )
    return int(value)


def _read_breakdown(metric: Metric, value: Any) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names) or len(set(names)) < len(names):
        raise InvalidParameter(
            "`breakdown` is a list of different dimensions.", field="breakdown", allowed=list(metric.dimensions)
        )
    for name in names:
        _require_dimension(metric, name, "breakdown")
    return tuple(names)


def _read_filters(metric: Metric, value: Any) -> tuple[tuple[str, tuple[str, ...]], ...]:
    if not isinstance(value, dict):
        raise InvalidParameter(
            "`filters` is an object of lists.", field="filters", allowed=list(metric.dimensions),
            hint='For example {"source": ["web"]}.',
        )  # fmt: skip
    return tuple(sorted((name, _read_values(metric, name, raw_values)) for name, raw_values in value.items()))


def _read_values(metric: Metric, name: str, raw_values: Any) -> tuple[str, ...]:
    _require_dimension(metric, name, name)
    values = [raw_values] if isinstance(raw_values, str) else raw_values
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
    may_be_declared = (metric.name == METRIC and is_property(name)) or (metric.name in TRAIT_METRICS and is_trait(name))
    if name not in metric.dimensions and not may_be_declared:
        raise InvalidParameter(
            f"{metric.name} has no dimension {name[:100]!r}.", field=field, allowed=list(metric.dimensions),
            hint="GET /v1/metrics tells which metric has which dimensions.",
        )  # fmt: skip


READERS: dict[str, Callable[[Metric, Any], Any]] = {
    "from": _make_moment_reader("from"),
    "to": _make_moment_reader("to"),
    "interval": _make_choice_reader("interval", INTERVALS),
    "timezone": _read_timezone,
    "week_start": _make_choice_reader("week_start", WEEKDAYS),
    "breakdown": _read_breakdown,
    "limit": _read_limit,
    "compare": _make_choice_reader("compare", COMPARISONS),
    "bots": _make_choice_reader("bots", BOTS),
    "filters": _read_filters,
}


def _require_text(value: Any, field: str) -> str:
    if not isinstance(value, str):
        raise InvalidParameter(f"`{field}` is text.", field=field, hint="For example -24h.")
    return value


def _quote(value: Any) -> str:
    return msgspec.json.encode(value, enc_hook=str).decode(errors="replace")[:100]
