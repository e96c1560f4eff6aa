"""Live totals against the recount: one row for each metric, and each bucket that differs.   Pure.

Counts must be equal. Distinct persons are estimates, so they may be off by 3.3 %, and by those whose link came after
they were counted. Of an order that two partitions report, either report may have counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from rtaplatform.core.rollups import (
    BOT_PREFIX,
    BUYERS,
    ORIGINS,
    PEOPLE,
    SCALE,
    SEATS_PREFIX,
    SEPARATOR,
    SESSIONS,
    SHORT_PREFIX,
    VISITS,
)
from rtaplatform.core.time.buckets import BucketKind
from rtaplatform.operate.reconcile.live_totals import WHOLE, Place, ReconciledTotals, list_sums
from rtaplatform.operate.reconcile.recounted_totals import OpenOrders
from rtaplatform.simulate.oracle.oracle_caps import OracleSeats, find_faults

NOTHING_OPEN = OpenOrders({}, {})
SKETCH_ERROR_MAX = 0.033
_SKETCH_SLACK = 2
_KIND_NAMES = {BucketKind.MINUTE: "minute", BucketKind.HOUR: "hour", BucketKind.DAY: "day"}
_CAPPED = frozenset(("activity", "events", "products", "sales", *(rollup.name for rollup in VISITS)))
_OF_ORDERS = frozenset(ORIGINS.measures) - frozenset(SESSIONS.measures)
_OF_PEOPLE = frozenset(rollup.name for rollup in PEOPLE)
_ROLLUPS = {rollup.name: rollup for rollup in WHOLE}
CellFields = Mapping[str, int]


class ComparedMetric(NamedTuple):
    """A metric over the whole period. `allowed` and `allowed_below`: how far an estimate may be above and below."""

    name: str
    live: float
    recount: float
    allowed: float = 0.0
    allowed_below: float = 0.0

    @property
    def difference(self) -> float:
        return round(self.live - self.recount, 4)

    @property
    def is_equal(self) -> bool:
        return -self.allowed_below <= self.difference <= self.allowed


class DifferingBucket(NamedTuple):
    """A field of a bucket that is not as counted again, or a sentence about its values (then both numbers are None)."""

    rollup: str
    kind: str
    start: int
    what: str
    live: int | None = None
    recount: int | None = None


def _sum(rollup: str, measure: str, *events: str) -> Callable[[ReconciledTotals], int]:
    """Sum over the days: of the whole bucket, or of some events."""

    def read(totals: ReconciledTotals) -> int:
        cells = [cell for (name, kind, _), cell in totals.cells.items() if name == rollup and kind is BucketKind.DAY]
        if not events:
            return sum(cell.get(measure, 0) for cell in cells)
        starts = tuple(f"{measure}{SEPARATOR}{event}{SEPARATOR}" for event in events)
        return sum(n for cell in cells for name, n in cell.items() if name.startswith(starts))

    return read


_METRICS: tuple[tuple[str, Callable[[ReconciledTotals], int], int], ...] = (
    ("events", _sum("activity", "count"), 1),
    ("page_views", _sum("activity", "count", "$page", "$screen"), 1),
    ("product_views", _sum("activity", "count", "Product Viewed"), 1),
    ("adds_to_cart", _sum("activity", "count", "Product Added"), 1),
    ("checkouts", _sum("activity", "count", "Checkout Started"), 1),
    ("orders", _sum("activity", "orders"), 1),
    ("units", _sum("activity", "units"), SCALE),
    ("revenue", _sum("activity", "revenue"), SCALE),
    ("refunds", _sum("activity", "refunds"), SCALE),
    ("net_revenue", lambda t: _sum("activity", "revenue")(t) - _sum("activity", "refunds")(t), SCALE),
    ("other_currencies", _sum("activity", "other_currencies"), 1),
    ("events of bots", _sum("activity", f"{BOT_PREFIX}count"), 1),
    ("page_views of pages", _sum("pages", "page_views"), 1),
    ("events by origin", _sum("acquisition", "count"), 1),
    ("units of products", _sum("products", "units"), SCALE),
    ("revenue of products", _sum("products", "revenue"), SCALE),
    ("refunds of products", _sum("products", "refunds"), SCALE),
    ("duplicates", _sum("quality", "duplicate"), 1),
    ("late", _sum("quality", "late"), 1),
    ("dead", _sum("quality", "dead"), 1),
    ("repeated_orders", _sum("quality", "repeated_order"), 1),
)
_METRICS_OF_PEOPLE: tuple[tuple[str, Callable[[ReconciledTotals], int], int], ...] = (
    ("active_users, all days", _sum("actives", "dau"), 1),
    ("weekly_active_users, all days", _sum("actives", "wau"), 1),
    ("monthly_active_users, all days", _sum("actives", "mau"), 1),
    ("new_visitors", _sum("actives", "new"), 1),
    ("sessions", _sum("sessions", "sessions"), 1),
    ("events in sessions", _sum("sessions", "events"), 1),
    ("seconds in sessions", _sum("sessions", "duration_ms"), 1_000),
    ("bounces", _sum("sessions", "bounces"), 1),
    ("sessions with an order", _sum("sessions", "with_order"), 1),
    ("sessions with an add to cart", _sum("sessions", "with_add"), 1),
    ("sessions by origin", _sum("origins", "sessions"), 1),
    ("entries", _sum("session_pages", "entries"), 1),
)


def compare_metrics(
    live: ReconciledTotals,
    recount: ReconciledTotals,
    *,
    with_people: bool,
    ids: Mapping[Place, int],
    orders: OpenOrders = NOTHING_OPEN,
) -> list[ComparedMetric]:
    """Return one row for each metric. `ids`: how many ids the visitors of a day had before links united them."""
    metrics = _METRICS + (_METRICS_OF_PEOPLE if with_people else ())
    bounds = [ReconciledTotals(dict(cells)) for cells in orders]
    rows = []
    for name, read, scale in metrics:
        allowed = max(abs(read(bound)) for bound in bounds) / scale
        rows.append(ComparedMetric(name, read(live) / scale, read(recount) / scale, allowed, allowed))
    return rows + [
        _compare_distinct(name, of, live, recount, ids) for name, of in (("visitors", ""), ("buyers", BUYERS))
    ]


def _compare_distinct(
    name: str, of: str, live: ReconciledTotals, recount: ReconciledTotals, ids: Mapping[Place, int]
) -> ComparedMetric:
    days = [place for place in live.persons.keys() | recount.persons.keys() if place[0] == of]
    sums = [sum(totals.persons.get(day, 0) for day in days) for totals in (live, recount)]
    allowed = allowed_below = 0.0
    for day in days:
        persons = recount.persons.get(day, 0)
        # A sketch may hold each id that a person had before a link. It never has fewer members than persons.
        allowed += ids.get(day, persons) * (1 + SKETCH_ERROR_MAX) - persons + _SKETCH_SLACK
        allowed_below += persons * SKETCH_ERROR_MAX + _SKETCH_SLACK
    return ComparedMetric(f"{name}, all days", sums[0], sums[1], round(allowed, 1), round(allowed_below, 1))


def compare_buckets(
    live: ReconciledTotals, recount: ReconciledTotals, *, with_people: bool, orders: OpenOrders = NOTHING_OPEN
) -> Iterator[DifferingBucket]:
    """Yield what differs, bucket by bucket: all fields of days, the sums of hours and minutes."""
    for place in sorted(live.cells.keys() | recount.cells.keys()):
        rollup, kind, start = place
        if rollup in _OF_PEOPLE and not with_people:
            continue
        if place not in live.cells:  # not among what was read, as the minutes of some rollups
            continue
        cells = [_strip_rests(totals.cells.get(place, {})) for totals in (live, recount)]
        cells[1] = _with_open_orders(place, cells, orders)
        for name in _list_comparable(place, cells):
            numbers = [cell.get(name, 0) for cell in cells]
            if numbers[0] != numbers[1]:
                yield DifferingBucket(rollup, _KIND_NAMES[kind], start, name.replace(SEPARATOR, " · "), *numbers)
        if kind is BucketKind.DAY and rollup in _CAPPED:
            yield from _find_faults(place, cells)


def _with_open_orders(place: Place, cells: list[dict[str, int]], orders: OpenOrders) -> dict[str, int]:
    """The recount, and where another report of an order may have counted, what is live."""
    live, recount = cells
    if place[0] == ORIGINS.name and (orders.less or orders.more):  # the other report may be in another visit
        live_orders = {name: n for name, n in live.items() if name.split(SEPARATOR)[0] in _OF_ORDERS}
        numbers = {name: n for name, n in recount.items() if name.split(SEPARATOR)[0] not in _OF_ORDERS}
        return numbers | live_orders
    names = orders.less.get(place, {}).keys() | orders.more.get(place, {}).keys()
    live_numbers = {n: live.get(n, 0) for n in names if orders.allows(place, n, live.get(n, 0) - recount.get(n, 0))}
    return {name: number for name, number in (recount | live_numbers).items() if number}


def _list_comparable(place: Place, cells: list[dict[str, int]]) -> list[str]:
    """The fields that must be equal: those that were read, without the values of a bucket that may be full."""
    rollup, kind, _ = place
    names = cells[0].keys() | cells[1].keys()
    if kind is not BucketKind.DAY:
        return sorted(names & set(list_sums(_ROLLUPS[rollup])))
    return sorted(name for name in names if rollup not in _CAPPED or SEPARATOR not in name)


def _find_faults(place: Place, cells: list[dict[str, int]]) -> Iterator[DifferingBucket]:
    """Where a full bucket has no seat for a value, the sums of the rest are compared."""
    rollup, kind, start = place
    for bot in ("", BOT_PREFIX):
        live, recount = (_group_by_values(cell, bot) for cell in cells)
        for fault in find_faults(rollup, live, recount, OracleSeats().count_for(rollup, _KIND_NAMES[kind])):
            yield DifferingBucket(rollup, _KIND_NAMES[kind], start, bot + fault)


def _strip_rests(cell: CellFields) -> dict[str, int]:
    return {name: n for name, n in cell.items() if n and not name.startswith((SEATS_PREFIX, SHORT_PREFIX))}


def _group_by_values(cell: CellFields, bot: str) -> dict[tuple[str, ...], dict[str, int]]:
    rows: dict[tuple[str, ...], dict[str, int]] = defaultdict(dict)
    for name, number in cell.items():
        measure, *values = name.split(SEPARATOR)
        if values and measure.startswith(BOT_PREFIX) == bool(bot):
            rows[tuple(values)][measure] = number
    return rows
