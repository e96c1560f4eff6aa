"""The oracle's orders: which of them were counted before (rule 5).

Every order id is kept for good, with its last counted report and the stream time of that.
"""

from __future__ import annotations

from typing import NamedTuple

from rtaplatform.simulate.oracle.oracle_event import OracleEvent, read_dimension

_WEEK_MS = 7 * 24 * 3_600_000
_LOST = {"undefined", "null", "none", "nil", "nan", "n/a", "-1", "true", "false", "unknown", "[object object]"}


class OracleReport(NamedTuple):
    """An order as reported: the event, its topic and partition, its buckets, and those with persons by product.

    `now`: the stream time at which it was read.
    """

    event: OracleEvent
    place: tuple[str, int]
    buckets: list[tuple[str, int]]
    by_product: list[tuple[str, int]]
    now: int


class OracleOrders:
    """The orders of all projects. Those of marked bots are known by themselves."""

    def __init__(self) -> None:
        self._first_reports: dict[tuple[str, bool, str], tuple[int, OracleReport]] = {}

    def find_first(self, project: str, report: OracleReport, now: int) -> OracleReport | None:
        """Return the report of the same order that was counted less than a week before or after.

        If there is none, note this one, and return None. What is no order is not noted.
        """
        event = report.event
        name = _name_order(event)
        if not name:
            return None
        place = (project, any(mark.startswith("bot:") for mark in event.marks), name)
        first_report = self._first_reports.get(place)
        if first_report is not None and -_WEEK_MS < now - first_report[0] < _WEEK_MS:
            return first_report[1]
        self._first_reports[place] = (now, report)
        return None


def _name_order(event: OracleEvent) -> str:
    """Return what the order is called; empty for what is no order, and where the name was lost on its way."""
    name = read_dimension(event.properties.get("order_id")).strip() if event.track == "Order Completed" else ""
    return "" if name.lower() in _LOST or set(name) <= set("0-.") else name
