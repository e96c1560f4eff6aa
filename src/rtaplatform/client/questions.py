"""Questions and answers of the API, typed.   Pure.

A question has the API's own parameters; `start` and `end` are its `from` and `to`. See docs/reference/api.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Interval = Literal["none", "minute", "hour", "day", "week", "month"]
Figure = int | float


@dataclass(frozen=True)
class Question:
    """One question about one metric. What is None has the API's default."""

    metric: str
    start: str | datetime | None = None
    end: str | datetime | None = None
    interval: Interval | None = None
    timezone: str | None = None
    filters: Mapping[str, Sequence[str]] = field(default_factory=dict)
    breakdown: Sequence[str] = ()
    limit: int | None = None
    compare: Literal["previous_period", "previous_year"] | None = None
    bots: Literal["exclude", "include"] | None = None

    def to_json(self) -> dict[str, Any]:
        members: dict[str, Any] = {
            "metric": self.metric,
            "from": _write_time(self.start),
            "to": _write_time(self.end),
            "interval": self.interval,
            "timezone": self.timezone,
            "filters": {name: list(values) for name, values in self.filters.items()} or None,
            "breakdown": list(self.breakdown) or None,
            "limit": self.limit,
            "compare": self.compare,
            "bots": self.bots,
        }
        return {name: value for name, value in members.items() if value is not None}


@dataclass(frozen=True)
class ResultRow:
    """One row of an answer. `points` are bucket starts with their values."""

    dimensions: dict[str, str]
    total: Figure | None
    previous: Figure | None
    points: list[tuple[datetime, Figure | None]]


@dataclass(frozen=True)
class MetricAnswer:
    """An answer. `raw` is the API's own document, with everything that is not here."""

    metric: str
    rows: list[ResultRow]
    as_of: datetime | None
    is_complete: bool
    raw: dict[str, Any]

    @property
    def total(self) -> Figure | None:
        """The total of an answer without breakdown. Raises ValueError for one with."""
        if len(self.rows) != 1 or self.rows[0].dimensions:
            raise ValueError("This answer has a breakdown: look at its rows.")
        return self.rows[0].total

    def list_records(self) -> Iterator[dict[str, Any]]:
        """Yield flat records, one for each point, or for each row without points: what a data frame takes."""
        for row in self.rows:
            if not row.points:
                yield {**row.dimensions, self.metric: row.total}
            for time, value in row.points:
                yield {**row.dimensions, "time": time, self.metric: value}


def read_answer(raw: dict[str, Any]) -> MetricAnswer:
    as_of = raw["meta"]["as_of"]
    return MetricAnswer(
        metric=raw["metric"],
        rows=[_read_row(row) for row in raw["results"]],
        as_of=None if as_of is None else datetime.fromisoformat(as_of),
        is_complete=raw["meta"]["complete"],
        raw=raw,
    )


def _read_row(raw: dict[str, Any]) -> ResultRow:
    points = [(datetime.fromisoformat(time), value) for time, value in raw["points"]]
    return ResultRow(raw["dimensions"], raw["total"], raw["previous"], points)


def _write_time(value: str | datetime | None) -> str | None:
    return value.isoformat() if isinstance(value, datetime) else value
