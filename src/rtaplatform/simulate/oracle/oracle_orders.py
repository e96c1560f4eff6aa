"""The oracle's orders: which of them were counted before (rule 5).

Every order id is kept for good, with the stream time at which it was counted last.
"""

from __future__ import annotations

from rtaplatform.simulate.oracle.oracle_event import OracleEvent, dimension

_WEEK_MS = 7 * 24 * 3_600_000
_LOST = {"undefined", "null", "none", "nil", "nan", "n/a", "-1", "true", "false", "unknown", "[object object]"}


class OracleOrders:
    """The orders of all projects. Those of marked bots are known by themselves."""

    def __init__(self) -> None:
        self._counted: dict[tuple[str, bool, str], int] = {}

    def is_repeat(self, project: str, event: OracleEvent, now: int) -> bool:
        """Tell whether the event is an order that was counted less than a week before or after, and note it if not."""
        name = _name_of(event)
        if not name:
            return False
        place = (project, any(mark.startswith("bot:") for mark in event.marks), name)
        counted = self._counted.get(place)
        if counted is not None and -_WEEK_MS < now - counted < _WEEK_MS:
            return True
        self._counted[place] = now
        return False


def _name_of(event: OracleEvent) -> str:
    """Return what the order is called; empty for what is no order, and where the name was lost on its way."""
    name = dimension(event.properties.get("order_id")).strip() if event.track == "Order Completed" else ""
    return "" if name.lower() in _LOST or set(name) <= set("0-.") else name
