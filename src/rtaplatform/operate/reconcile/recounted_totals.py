"""The oracle's numbers under the names that the store uses, for one project and period.   Pure.

Only names are translated here; everything that counts is in `simulate/oracle`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from rtaplatform.core.rollups import BOT_PREFIX, BUYERS, PEOPLE, SEPARATOR
from rtaplatform.core.time.buckets import BucketKind
from rtaplatform.operate.reconcile.live_totals import Place, ReconciledTotals
from rtaplatform.operate.reconcile.reconcile_period import ReconcilePeriod
from rtaplatform.simulate.oracle.oracle_people import OraclePeople
from rtaplatform.simulate.oracle.oracle_report import unite
from rtaplatform.simulate.oracle.oracle_truth import ProjectTruth
from rtaplatform.simulate.oracle.origins.oracle_visits import VisitTruth

_KINDS = {"minute": BucketKind.MINUTE, "hour": BucketKind.HOUR, "day": BucketKind.DAY}
_LIKE_A_MARKER = re.compile(r"\\+\((none|other)\)")
_PEOPLE = {rollup.name for rollup in PEOPLE}
KeptStarts = Mapping[BucketKind, frozenset[int]]


class OpenOrders(NamedTuple):
    """By place and field: what totals may have less, or more, where another report of an order was read first."""

    less: dict[Place, dict[str, int]]
    more: dict[Place, dict[str, int]]

    def allows(self, place: Place, name: str, difference: int) -> bool:
        """Tell whether live less recount may come from there."""
        return -self.less.get(place, {}).get(name, 0) <= difference <= self.more.get(place, {}).get(name, 0)


def find_open_orders(pairs: Iterable[tuple[ProjectTruth, ProjectTruth]], period: ReconcilePeriod) -> OpenOrders:
    """Return what is open because two partitions report the same order. `pairs`: with one counted, and the other."""
    bounds, kept_starts = OpenOrders({}, {}), _list_kept_starts(period)
    for first, second in pairs:
        first_cells, second_cells = (_keep_starts(_read_cells(truth), kept_starts).cells for truth in (first, second))
        for place in first_cells.keys() | second_cells.keys():
            first_numbers, second_numbers = first_cells.get(place, {}), second_cells.get(place, {})
            for name in first_numbers.keys() | second_numbers.keys():
                change = second_numbers.get(name, 0) - first_numbers.get(name, 0)
                fields = (bounds.more if change > 0 else bounds.less).setdefault(place, {})
                fields[name] = fields.get(name, 0) + abs(change)
    return bounds


def read_totals(
    truth: ProjectTruth, visits: VisitTruth, people: OraclePeople, period: ReconcilePeriod
) -> ReconciledTotals:
    """Return what the store should hold of the buckets in the period."""
    totals = _read_cells(truth)
    for cells, bot in ((visits.cells, ""), (visits.of_bots, BOT_PREFIX)):
        for (rollup, kind, start, values), numbers in cells.items():
            _add(totals, (rollup, kind, start), bot, numbers, values)
    _add_people(totals, people)
    _add_persons(totals, truth, people)
    return _keep_starts(totals, _list_kept_starts(period))


def _read_cells(truth: ProjectTruth) -> ReconciledTotals:
    totals = ReconciledTotals()
    for rows, bot in ((truth.events, ""), (truth.bot_events, BOT_PREFIX)):
        for (kind, start, *values), numbers in rows.items():
            _add(totals, ("events", kind, start), bot, numbers, values)
            _add(totals, ("activity", kind, start), bot, numbers, values[:2])
    for of_products, bot in ((truth.products, ""), (truth.bot_products, BOT_PREFIX)):
        for (kind, start, product), numbers in of_products.items():
            _add(totals, ("products", kind, start), bot, numbers, [product])
    for sales, bot in ((truth.sales, ""), (truth.bot_sales, BOT_PREFIX)):
        for (kind, start, *values), numbers in sales.items():
            _add(totals, ("sales", kind, start), bot, numbers, values)
    _add_sums(totals, truth)
    return totals


def _add_sums(totals: ReconciledTotals, truth: ProjectTruth) -> None:
    for shared_cells, bot in ((truth.shared, ""), (truth.bot_shared, BOT_PREFIX)):
        for (kind, start), numbers in shared_cells.items():
            _add(totals, ("products", kind, start), bot, numbers, [])
            if kind != "minute":
                shared_numbers = {name: numbers[name] for name in ("shared_views", "shared_adds", "shared_orders")}
                _add(totals, ("sales", kind, start), bot, shared_numbers, [])
    for (kind, start), numbers in truth.quality.items():
        _add(totals, ("quality", kind, start), "", numbers, [])


def _add_people(totals: ReconciledTotals, people: OraclePeople) -> None:
    for (rollup, kind, start), numbers in people.count_cells().items():
        if rollup in _PEOPLE:
            totals.cells[rollup, _KINDS[kind], start] = dict(numbers)


def _add_persons(totals: ReconciledTotals, truth: ProjectTruth, people: OraclePeople) -> None:
    for name, by_place in (("", truth.persons), (BUYERS, truth.buyers)):
        for (kind, start, dimension, _), ids in by_place.items():
            if kind == "day" and not dimension:
                totals.persons[name, BucketKind.DAY, start] = len(unite(ids, people))


def _add(
    totals: ReconciledTotals, place: tuple[str, Any, Any], bot: str, numbers: Mapping[str, int], values: Iterable[Any]
) -> None:
    rollup, kind, start = place
    cell = totals.cells.setdefault((rollup, _KINDS[kind], start), {})
    labels = ["" if v == "(none)" else v[1:] if _LIKE_A_MARKER.fullmatch(v) else v for v in map(str, values)]
    for measure, number in numbers.items():
        for name in (bot + measure, SEPARATOR.join((bot + measure, *labels))) if labels else (bot + measure,):
            if number:
                cell[name] = cell.get(name, 0) + number


def _list_kept_starts(period: ReconcilePeriod) -> KeptStarts:
    return {kind: frozenset(starts) for kind, starts in period.starts.items()}


def _keep_starts(totals: ReconciledTotals, kept_starts: KeptStarts) -> ReconciledTotals:
    return ReconciledTotals(
        {place: cell for place, cell in totals.cells.items() if place[2] in kept_starts[place[1]]},
        {place: n for place, n in totals.persons.items() if place[2] in kept_starts[place[1]]},
    )
