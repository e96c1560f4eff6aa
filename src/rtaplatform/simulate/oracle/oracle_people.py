"""The oracle's persons: who is who, active days, cohorts, sessions; counted from all events at once (rule 7).

It keeps every event and knows no order of reading but that of time: of several users on one anonymous id, the one whose
link is the earliest takes its history. The work grows as the number of events, however many of them one person has.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from functools import lru_cache
from math import floor, log
from typing import NamedTuple

from rtaplatform.simulate.oracle.oracle_calendar import find_bucket_starts, load_zone_info
from rtaplatform.simulate.oracle.origins.oracle_sessions import (
    NO_ORIGIN,
    OracleOrder,
    OriginRow,
    TimedOrder,
    count_cells,
    count_orders,
    count_sessions,
    read_numbers,
)

_NOBODY = {
    "", "null", "none", "nil", "nan", "undefined", "unknown", "guest", "anonymous", "anonymousid", "userid", "n/a",
    "0", "-1", "true", "false", "{}", "[]", "[object object]",
}  # fmt: skip
_GAP = 30 * 60_000
_TOGETHER = 36 * 3_600_000  # sessions that a link unites ended no longer before it
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
Id = tuple[str, str]  # "u" or "a", and the text
Cell = tuple[str, str, int]  # rollup, minute or hour or day, start in minutes


class OracleVisit(NamedTuple):
    """An event as far as people are concerned. `ids`: as `make_ids` says. `dimensions`: source, country, device.

    `origin`: campaign, referrer and channel. `order`: what it adds, if it counts as an order.
    """

    time: int
    name: str
    dimensions: tuple[str, str, str]
    user: Id | None
    anonymous: Id | None
    origin: tuple[str, ...] = NO_ORIGIN
    page: str = ""
    order: OracleOrder | None = None


class OracleSession(NamedTuple):
    """A session: its first event's time, dimensions, origin and page, its length, and the names of all of its events.

    `exit`: the page of its last event, of several the greatest.
    """

    start: int
    length: int
    dimensions: tuple[str, str, str]
    names: list[str]
    origin: tuple[str, ...] = NO_ORIGIN
    entry: str = ""
    exit: str = ""


class OraclePersonRules(NamedTuple):
    zone: str = "UTC"
    week_start: str = "monday"


def is_nobody(text: str) -> bool:
    """Tell whether an id names nobody."""
    bare = text.strip()
    return bare.lower() in _NOBODY or set(bare) <= set("0-")


def make_ids(user: str, anonymous: str) -> tuple[Id | None, Id | None]:
    """Return whose event it is: user, anonymous id. With both it is a link."""
    stated_id = ("u", user) if user else ("a", anonymous)
    is_user, is_anonymous = not is_nobody(user), not is_nobody(anonymous)
    if is_user and is_anonymous and user != anonymous:
        return ("u", user), ("a", anonymous)
    if is_user:
        return ("u", user), None
    return (None, ("a", anonymous)) if is_anonymous else (stated_id, None)


class OraclePeople:
    """The people of one project."""

    def __init__(
        self,
        visits: Iterable[OracleVisit],
        rules: OraclePersonRules = OraclePersonRules(),  # noqa: B008
        orders_of_nobody: Iterable[tuple[int, OracleOrder]] = (),
    ) -> None:
        """`orders_of_nobody`: times and numbers of orders that belong to no person, since theirs was erased."""
        self._rules, self._orders_of_nobody = rules, list(orders_of_nobody)
        self._visits = sorted(visits, key=lambda visit: visit.time)
        self._links: dict[Id, list[tuple[int, Id]]] = defaultdict(list)
        for visit in self._visits:
            if visit.user and visit.anonymous:
                self._links[visit.anonymous].append((visit.time, visit.user))
        self._link_times = {person: [time for time, _ in links] for person, links in self._links.items()}
        self.persons: dict[Id, list[OracleVisit]] = defaultdict(list)
        for visit in self._visits:
            self.persons[self.find_person(visit)].append(visit)

    def find_person(self, visit: OracleVisit) -> Id:
        """Return the user, or the anonymous id that has none."""
        if visit.user:
            return visit.user
        assert visit.anonymous
        links = self._links.get(visit.anonymous)
        if not links:
            return visit.anonymous
        at = bisect_right(self._link_times[visit.anonymous], visit.time)
        return links[max(0, at - 1)][1]

    def find_canonical(self, person: Id) -> Id:
        """Return the id of the person that was seen first."""
        visits = [(v.time, i[0] != "a", i) for v in self.persons[person] for i in self._list_ids(v, person)]
        return min(visits)[2]

    def find_heir(self, person: Id) -> Id:
        """Return the user to whom the history of an anonymous id went; any other id itself."""
        links = self._links.get(person)
        return links[0][1] if links else person

    def find_days(self, person: Id) -> set[date]:
        """Return the local days on which the person was active."""
        return {self._find_local_day(visit.time) for visit in self.persons[person]}

    def find_sessions(self, person: Id) -> list[OracleSession]:
        """Return the person's sessions."""
        together, apart = self._split_sessions(person)
        return together + apart

    def find_week(self, day: date) -> date:
        """Return the first day of its week."""
        return day - timedelta(days=(day.weekday() - _WEEKDAYS.index(self._rules.week_start)) % 7)

    def _list_ids(self, visit: OracleVisit, person: Id) -> list[Id]:
        ids = [visit.user] if visit.user else []
        if visit.anonymous and (visit.anonymous == person or self._links[visit.anonymous][0][1] == person):
            ids.append(visit.anonymous)
        return ids or [person]

    # cells -----------------------------------------------------------------------------------------------------

    def count_cells(self) -> dict[Cell, dict[str, int]]:
        """Return everything that people add to the totals."""
        totals: dict[Cell, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for person, visits in self.persons.items():
            together, apart = self._split_sessions(person)
            sessions = together + apart
            for cell, name, n in (
                *self._count_days(visits),
                *self._count_sessions(sessions),
                *count_cells(count_sessions(sessions), self._rules.zone),
                *count_cells(self._count_orders(person, together), self._rules.zone),
            ):
                totals[cell][name] += n
        for cell, name, n in count_cells(count_orders([], self._orders_of_nobody), self._rules.zone):
            totals[cell][name] += n
        return {cell: {k: n for k, n in fields.items() if n} for cell, fields in totals.items() if any(fields.values())}

    def _count_days(self, visits: list[OracleVisit]) -> Iterator[tuple[Cell, str, int]]:
        days = {self._find_local_day(visit.time) for visit in visits}
        for name, width in (("dau", 1), ("wau", 7), ("mau", 30)):
            for day in {active_day + timedelta(days=more) for active_day in days for more in range(width)}:
                yield self._make_cell("actives", day), name, 1
        first = min(days)
        yield self._make_cell("actives", first), "new", 1
        week = self.find_week(first)
        for day in days:
            if (day - first).days <= 400:
                yield self._make_cell("retention", first), f"d{(day - first).days}", 1
        for age in {(self.find_week(day) - week).days // 7 for day in days if (day - first).days <= 400}:
            yield self._make_cell("retention", week), f"w{age}", 1

    def _count_sessions(self, sessions: Iterable[OracleSession]) -> Iterator[tuple[Cell, str, int]]:
        for session in sessions:
            duration, numbers = session.length, read_numbers(session)
            place = "\x1f".join(session.dimensions)
            length = 0 if duration == 0 else 1 + floor(log(duration) / log(1.1) + 1e-12)
            for kind, start in find_bucket_starts(session.start, self._rules.zone).items():
                for name, n in numbers.items():
                    yield ("sessions", kind, start), name, n
                    yield ("sessions", kind, start), f"{name}\x1f{place}", n
                if kind != "minute":
                    for rollup, values in (("lengths", f"{length}"), ("session_lengths", f"{length}\x1f{place}")):
                        yield (rollup, kind, start), "sessions", 1
                        yield (rollup, kind, start), f"sessions\x1f{values}", 1

    def _split_sessions(self, person: Id) -> tuple[list[OracleSession], list[OracleSession]]:
        """Return those of all ids together, and those that ended long before their anonymous id was linked."""
        pages = [visit for visit in self.persons[person] if visit.dimensions[0] != "server"]
        together, apart = [visit for visit in pages if visit.user], list[OracleSession]()
        for anonymous, device_visits in _group_by_device(pages).items():
            link_time = _find_link_time(person, self._links.get(anonymous))
            for session in _split([visit for visit in device_visits if visit.time < link_time]):
                if session[-1].time < link_time - _TOGETHER:
                    apart.append(_make_session(session))
                else:
                    together += session
            together += [visit for visit in device_visits if visit.time >= link_time]
        return [_make_session(session) for session in _split(sorted(together, key=lambda visit: visit.time))], apart

    def _count_orders(self, person: Id, together: list[OracleSession]) -> Iterator[OriginRow]:
        """Yield what orders add. One that was made long before its id was linked belongs to a session of that id."""
        orders, before = list[TimedOrder](), dict[Id, list[TimedOrder]]()
        for visit in self.persons[person]:
            if visit.order is None:
                continue
            place = orders
            if not visit.user and visit.anonymous:
                link_time = _find_link_time(person, self._links.get(visit.anonymous))
                if visit.time < link_time - _TOGETHER + _GAP:
                    place = before.setdefault(visit.anonymous, [])
            place.append((visit.time, visit.order))
        yield from count_orders(together, orders)
        devices = _group_by_device(self.persons[person]) if before else {}
        for anonymous, own_orders in before.items():
            link_time = _find_link_time(person, self._links[anonymous])
            yield from count_orders(_find_sessions_before(link_time, devices[anonymous]), own_orders)

    def _make_cell(self, rollup: str, day: date) -> Cell:
        return rollup, "day", _find_day_start(day, self._rules.zone)

    def _find_local_day(self, time: int) -> date:
        return datetime.fromtimestamp(time / 1_000, load_zone_info(self._rules.zone)).date()


@lru_cache(maxsize=8_192)  # each person is counted in up to 30 days after each of theirs
def _find_day_start(day: date, zone: str) -> int:
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=load_zone_info(zone))
    return find_bucket_starts(int(noon.timestamp() * 1_000), zone)["day"]


def _group_by_device(visits: Iterable[OracleVisit]) -> dict[Id, list[OracleVisit]]:
    """Return the visits that name no user, by their anonymous id."""
    groups: dict[Id, list[OracleVisit]] = defaultdict(list)
    for visit in visits:
        if not visit.user:
            assert visit.anonymous
            groups[visit.anonymous].append(visit)
    return groups


def _find_link_time(person: Id, links: list[tuple[int, Id]] | None) -> int:
    """Return the time of the link that gave an anonymous id to its user; 0 where the id has none."""
    return links[0][0] if links and person[0] == "u" else 0


def _find_sessions_before(link_time: int, visits: Iterable[OracleVisit]) -> list[OracleSession]:
    pages = [visit for visit in visits if visit.dimensions[0] != "server" and visit.time < link_time]
    return [_make_session(session) for session in _split(pages)]


def _make_session(visits: list[OracleVisit]) -> OracleSession:
    start, end = visits[0].time, visits[-1].time
    dimensions, origin, entry = min((v.dimensions, v.origin, v.page) for v in visits if v.time == start)
    last = max(visit.page for visit in visits if visit.time == end)
    return OracleSession(start, end - start, dimensions, [visit.name for visit in visits], origin, entry, last)


def _split(visits: list[OracleVisit]) -> list[list[OracleVisit]]:
    sessions: list[list[OracleVisit]] = []
    for visit in visits:
        if sessions and visit.time - sessions[-1][-1].time <= _GAP:
            sessions[-1].append(visit)
        else:
            sessions.append([visit])
    return sessions
