"""The oracle's visits: where events come from and with what, read from their context and counted (rule 5)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rtaplatform.simulate.oracle.origins.oracle_sessions import OracleOrder

VisitCell = tuple[str, str, int, tuple[str, ...]]
"""rollup, kind, start, values as answers show them"""
VALUES_OF = {
    "pages": ("page", "source"),
    "acquisition": ("utm_source", "utm_medium", "utm_campaign", "referrer", "channel"),
    "technology": ("os", "browser", "device"),
    "regions": ("country", "region", "language"),
}
_MEMBERS = {
    "page": ("page", "path"),
    "utm_source": ("campaign", "source"),
    "utm_medium": ("campaign", "medium"),
    "utm_campaign": ("campaign", "name"),
    "referrer": ("referrer", "host"),
    "os": ("os", "name"),
    "browser": ("browser", "name"),
    "country": ("location", "country"),
    "region": ("location", "region"),
    "device": ("device", "type"),
}
# Persons are counted by country and by device even where these lack.
PLACES = ("country", "device")


class VisitedEvent(NamedTuple):
    """What an event is counted by. `values`: every dimension of a visit, and source, country and device."""

    values: dict[str, str]
    is_page_view: bool
    is_bot: bool


def read_origin(context: dict[str, Any], show: Callable[[Any], str], plain: Callable[[Any], str]) -> dict[str, str]:
    """Return what the context says, as answers show it. `show` and `plain` make a dimension's value of anything."""
    values = {}
    for name, (part, member) in _MEMBERS.items():
        inner = context.get(part)
        values[name] = show(inner.get(member) if isinstance(inner, dict) else None)
    values["channel"] = show(context.get("channel"))
    locale = plain(context.get("locale"))
    end = min((locale.index(mark) for mark in "-_" if mark in locale), default=len(locale))
    values["language"] = show(locale[:end].lower())
    return values


@dataclass
class VisitTruth:
    """Counted by rollup, bucket and values. `of_bots`: events marked as a bot's.

    `orders_of_nobody`: times and numbers of orders of erased persons.
    """

    cells: dict[VisitCell, dict[str, int]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(int)))
    of_bots: dict[VisitCell, dict[str, int]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(int)))
    orders_of_nobody: list[tuple[int, OracleOrder]] = field(default_factory=list)

    def count(self, event: VisitedEvent, buckets: Iterable[tuple[str, int]]) -> None:
        """Add an event to those of these buckets that are hours or days."""
        cells = self.of_bots if event.is_bot else self.cells
        for kind, start in buckets:
            for rollup, names in VALUES_OF.items() if kind != "minute" else ():
                numbers = cells[rollup, kind, start, tuple(event.values[name] for name in names)]
                if rollup != "pages":
                    numbers["count"] += 1
                if event.is_page_view:
                    numbers["page_views"] += 1

    def list_rows(self) -> dict[str, list[dict[str, Any]]]:
        """Return a list of rows by rollup, and those of bots by `bot_` and the rollup; all sorted."""
        return {
            prefix + rollup: list(_list_rollup_rows(rollup, cells))
            for prefix, cells in (("", self.cells), ("bot_", self.of_bots))
            for rollup in VALUES_OF
        }


def _list_rollup_rows(rollup: str, cells: dict[VisitCell, dict[str, int]]) -> Iterator[dict[str, Any]]:
    for (name, kind, start, values), numbers in sorted(cells.items()):
        if name == rollup and any(numbers.values()):
            yield {"kind": kind, "start": start, **dict(zip(VALUES_OF[rollup], values, strict=True)), **numbers}
