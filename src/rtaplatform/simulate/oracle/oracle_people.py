"""The oracle's persons: who is who, active days, cohorts, sessions; counted from all events at once (rule 7).

It keeps every event and knows no order of reading but that of time: of several users on one anonymous id, the one whose
link is the earliest takes its history.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from math import floor, log
from typing import NamedTuple

from rtaplatform.simulate.oracle.oracle_calendar import bucket_starts, zone_of

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
    """An event as far as people are concerned. `ids`: as `ids_of` says. `dimensions`: source, country, device."""

    time: int
    name: str
    dimensions: tuple[str, str, str]
    user: Id | None
    anonymous: Id | None


class OracleSession(NamedTuple):
    """A session: its first event's time and dimensions, its length, and the names of all of its events."""

    start: int
    length: int
    dimensions: tuple[str, str, str]
    names: list[str]


class OraclePersonRules(NamedTuple):
    zone: str = "UTC"
    week_start: str = "monday"


def is_nobody(text: str) -> bool:
    """Tell whether an id names nobody."""
    bare = text.strip()
    return bare.lower() in _NOBODY or set(bare) <= set("0-")


def ids_of(user: str, anonymous: str) -> tuple[Id | None, Id | None]:
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

    def __init__(self, visits: Iterable[OracleVisit], rules: OraclePersonRules = OraclePersonRules()) -> None:  # noqa: B008
        self._rules = rules
        self._visits = sorted(visits, key=lambda visit: visit.time)
        self._links: dict[Id, list[tuple[int, Id]]] = defaultdict(list)
        for visit in self._visits:
            if visit.user and visit.anonymous:
                self._links[visit.anonymous].append((visit.time, visit.user))
        self.persons: dict[Id, list[OracleVisit]] = defaultdict(list)
        for visit in self._visits:
            self.persons[self.person_of(visit)].append(visit)

    def person_of(self, visit: OracleVisit) -> Id:
        """Return the user, or the anonymous id that has none."""
        if visit.user:
            return visit.user
        assert visit.anonymous
        links = self._links.get(visit.anonymous)
        if not links:
            return visit.anonymous
        at = bisect_right([time for time, _ in links], visit.time)
        return links[max(0, at - 1)][1]

    def canonical_of(self, person: Id) -> Id:
        """Return the id of the person that was seen first."""
        seen = [(v.time, i[0] != "a", i) for v in self.persons[person] for i in self._ids(v, person)]
        return min(seen)[2]

    def heir_of(self, one: Id) -> Id:
        """Return the user to whom the history of an anonymous id went; any other id itself."""
        links = self._links.get(one)
        return links[0][1] if links else one

    def number_of_sessions(self, person: Id) -> int:
        """Return how many sessions the person had."""
        return sum(1 for _ in self._sessions_of(person, self.persons[person]))

    def days_of(self, person: Id) -> set[date]:
        """Return the local days on which the person was active."""
        return {self._local(visit.time) for visit in self.persons[person]}

    def sessions_of(self, person: Id) -> list[OracleSession]:
        """Return the person's sessions."""
        sessions = []
        for visits in self._sessions_of(person, self.persons[person]):
            dimensions = min(visit.dimensions for visit in visits if visit.time == visits[0].time)
            length = visits[-1].time - visits[0].time
            sessions.append(OracleSession(visits[0].time, length, dimensions, [visit.name for visit in visits]))
        return sessions

    def week_of(self, day: date) -> date:
        """Return the first day of its week."""
        return day - timedelta(days=(day.weekday() - _WEEKDAYS.index(self._rules.week_start)) % 7)

    def _ids(self, visit: OracleVisit, person: Id) -> list[Id]:
        ids = [visit.user] if visit.user else []
        if visit.anonymous and (visit.anonymous == person or self._links[visit.anonymous][0][1] == person):
            ids.append(visit.anonymous)
        return ids or [person]

    # cells -----------------------------------------------------------------------------------------------------

    def cells(self) -> dict[Cell, dict[str, int]]:
        """Return everything that people add to the totals."""
        totals: dict[Cell, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for person, visits in self.persons.items():
            for cell, name, n in (*self._days(visits), *self._sessions(person)):
                totals[cell][name] += n
        return {cell: {k: n for k, n in fields.items() if n} for cell, fields in totals.items() if any(fields.values())}

    def _days(self, visits: list[OracleVisit]) -> Iterator[tuple[Cell, str, int]]:
        days = {self._local(visit.time) for visit in visits}
        for name, width in (("dau", 1), ("wau", 7), ("mau", 30)):
            for day in {one + timedelta(days=more) for one in days for more in range(width)}:
                yield self._cell("actives", day), name, 1
        first = min(days)
        yield self._cell("actives", first), "new", 1
        week = self.week_of(first)
        for day in days:
            if (day - first).days <= 400:
                yield self._cell("retention", first), f"d{(day - first).days}", 1
        for age in {(self.week_of(day) - week).days // 7 for day in days if (day - first).days <= 400}:
            yield self._cell("retention", week), f"w{age}", 1

    def _sessions(self, person: Id) -> Iterator[tuple[Cell, str, int]]:
        for session in self.sessions_of(person):
            duration, names, events = session.length, set(session.names), len(session.names)
            has_order, has_add = "Order Completed" in names, "Product Added" in names
            numbers = {
                "sessions": 1, "events": events, "duration_ms": duration, "bounces": int(events == 1),
                "with_order": int(has_order), "with_add": int(has_add),
                "with_add_and_order": int(has_order and has_add),
            }  # fmt: skip
            place = "\x1f".join(session.dimensions)
            length = 0 if duration == 0 else 1 + floor(log(duration) / log(1.1) + 1e-12)
            for kind, start in bucket_starts(session.start, self._rules.zone).items():
                for name, n in numbers.items():
                    yield ("sessions", kind, start), name, n
                    yield ("sessions", kind, start), f"{name}\x1f{place}", n
                if kind != "minute":
                    for rollup, values in (("lengths", f"{length}"), ("session_lengths", f"{length}\x1f{place}")):
                        yield (rollup, kind, start), "sessions", 1
                        yield (rollup, kind, start), f"sessions\x1f{values}", 1

    def _sessions_of(self, person: Id, visits: list[OracleVisit]) -> Iterator[list[OracleVisit]]:
        """Yield the sessions: of all ids together, but for what ended long before an anonymous id was linked."""
        pages = [visit for visit in visits if visit.dimensions[0] != "server"]
        together: list[OracleVisit] = []
        for anonymous in {None, *(visit.anonymous for visit in pages if not visit.user)}:
            mine = [v for v in pages if not v.user and v.anonymous == anonymous] if anonymous else []
            linked = self._links[anonymous][0][0] if anonymous and person[0] == "u" else 0
            for session in _split([v for v in mine if v.time < linked]):
                if session[-1].time < linked - _TOGETHER:
                    yield session
                else:
                    together += session
            together += [v for v in mine if v.time >= linked]
        together += [v for v in pages if v.user]
        yield from _split(sorted(together, key=lambda visit: visit.time))

    def _cell(self, rollup: str, day: date) -> Cell:
        noon = datetime(day.year, day.month, day.day, 12, tzinfo=zone_of(self._rules.zone))
        return rollup, "day", bucket_starts(int(noon.timestamp() * 1_000), self._rules.zone)["day"]

    def _local(self, time: int) -> date:
        return datetime.fromtimestamp(time / 1_000, zone_of(self._rules.zone)).date()


def _split(visits: list[OracleVisit]) -> list[list[OracleVisit]]:
    sessions: list[list[OracleVisit]] = []
    for visit in visits:
        if sessions and visit.time - sessions[-1][-1].time <= _GAP:
            sessions[-1].append(visit)
        else:
            sessions.append([visit])
    return sessions
