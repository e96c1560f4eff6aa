"""What the oracle says of people where events come too late for them, and the order of reading is known.

An event is judged against the newest event of its person that was read before it (rule 7): more than 24 hours older, it
is in no session; on a local day that is more than 32 days older, it is on no active day either. What is left is counted
by the oracle, which knows no order. This shares no code with what it checks.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from rtaplatform.simulate.oracle.oracle_people import Id, OraclePeople, OracleVisit
from rtaplatform.simulate.oracle.oracle_truth import Truth
from rtaplatform.simulate.oracle.origins.oracle_sessions import OracleOrder
from tests.comparison import KIND, Totals, compute_expected
from tests.comparison_of_people import PEOPLE_NAMES

SESSION_LATE_MS, DAYS_LATE = 24 * 3_600_000, 32


class TakenVisits(NamedTuple):
    """What persons take of their events, how many came too late, and orders that came too late for a session."""

    visits: list[OracleVisit]
    late: int
    orders: list[tuple[int, OracleOrder]]

    def count_people(self, truth: Truth, slug: str) -> OraclePeople:
        orders = [*truth.origins[slug].orders_of_nobody, *self.orders]
        return OraclePeople(self.visits, truth.rules[slug], orders)


def take_visits(truth: Truth, slug: str, order: Iterable[OracleVisit] | None = None) -> TakenVisits:
    """Sort out what is too late. `order`: in which the events were read; by default that of the oracle."""
    everybody, zone = truth.count_people(slug), ZoneInfo(truth.rules[slug].zone)
    taken, newest = TakenVisits([], 0, []), dict[Id, int]()
    late = 0
    for visit in truth.visits[slug] if order is None else order:
        person = everybody.find_person(visit)
        newest_ms = newest.setdefault(person, visit.time)
        is_late_for_days = (_find_day(newest_ms, zone) - _find_day(visit.time, zone)) > DAYS_LATE
        is_late_for_sessions = newest_ms - visit.time > SESSION_LATE_MS
        newest[person] = max(newest_ms, visit.time)
        if is_late_for_sessions and visit.order is not None:
            taken.orders.append((visit.time, visit.order))
        late += is_late_for_days or (is_late_for_sessions and visit.dimensions[0] != "server")
        if not is_late_for_days:
            taken.visits.append(_without_session(visit) if is_late_for_sessions else visit)
    return taken._replace(late=late)


def compute_expected_with_late(truth: Truth, slug: str) -> tuple[Totals, TakenVisits]:
    """All totals, with those of the people of one project as they are in this order of reading."""
    expected_totals, taken = compute_expected(truth), take_visits(truth, slug)
    for name in [name for name in expected_totals.cells if name[0] == slug and name[1] in PEOPLE_NAMES]:
        del expected_totals.cells[name]
    for (rollup, kind, start), fields in taken.count_people(truth, slug).count_cells().items():
        expected_totals.cells[(slug, rollup, KIND[kind], start)] = dict(fields)
    if taken.late:
        expected_totals.counts[f"{slug}|late_state"] = taken.late
    return expected_totals, taken


def _find_day(time_ms: int, zone: ZoneInfo) -> int:
    return datetime.fromtimestamp(time_ms / 1_000, zone).toordinal()


def _without_session(visit: OracleVisit) -> OracleVisit:
    """As if a server had told of it: on that day its person was active, and no session has it."""
    return visit._replace(dimensions=("server", *visit.dimensions[1:]), order=None)
