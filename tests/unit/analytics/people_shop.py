"""A shop whose people are counted as the workers would, and the oracle's answers to questions about them.

The answers are made from the raw events and share no code with what counts people or reads their numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.time.buckets import MINUTE_MS, BucketKind, find_bucket_starts
from rtaplatform.simulate.oracle.oracle_people import OraclePeople, OracleSession
from rtaplatform.store.port import Applied, CellsKey, Delta, SketchKey
from tests.unit.analytics.shop import Shop
from tests.unit.process.people.people_site import PeopleSite, Seen, make_oracle

KIND = {"minute": BucketKind.MINUTE, "hour": BucketKind.HOUR, "day": BucketKind.DAY}
Number = float | None


class PeopleShop(Shop):
    """`visit` counts people only, and the sketches of visitors."""

    def __init__(self, project: ProjectSettings, now_ms: int) -> None:
        super().__init__(project)
        self.clock.at_ms = now_ms
        self.site, self.events = PeopleSite(project.zone, project.week_start), list[Seen]()

    def visit(self, *events: Seen) -> None:
        """One batch."""
        before, self.site.totals = self.site.totals, Counter()
        self.site.take(*events)
        changes, self.site.totals = self.site.totals, before
        before.update(changes)
        self.events += events
        delta = Delta(moves=[self._move(len(events))])
        for (rollup, kind, start, name), change in changes.items():
            if change:
                delta.cells.setdefault(CellsKey(self.project.slug, rollup, KIND[kind], start), {})[name] = change
        for event in events:
            self._see(delta, event)
        state = self.store.read_state(0)
        assert state is not None
        assert isinstance(self.store.apply(0, state.generation, delta), Applied)

    def _see(self, delta: Delta, event: Seen) -> None:
        assert isinstance(delta.sketches, dict)
        starts = find_bucket_starts(event.time_ms // MINUTE_MS, self.project.zone)
        for kind, start in zip(BucketKind, starts, strict=True):
            for dimension, value in (("", ""), *((("source", event.source),) if kind != "m" else ())):
                sketch = SketchKey(self.project.slug, kind, start, dimension, value)
                delta.sketches.setdefault(sketch, set()).add((event.user or event.anonymous).encode())

    def find_truth(self) -> OraclePeople:
        return make_oracle(self.events, self.project.zone, self.project.week_start)


class Span(NamedTuple):
    """A period: [start, end) in milliseconds, and its last local day."""

    start_ms: int
    end_ms: int
    last: date


def count_active(people: OraclePeople, last: date, days: int = 1) -> int:
    """Persons who were active on one of so many days up to the last."""
    window = {last - timedelta(days=back) for back in range(days)}
    return sum(bool(window & people.find_days(person)) for person in people.persons)


def count_new(people: OraclePeople, days: Iterable[date]) -> int:
    firsts = Counter(min(people.find_days(person)) for person in people.persons)
    return sum(firsts[day] for day in days)


def list_sessions(people: OraclePeople) -> list[OracleSession]:
    return [session for person in people.persons for session in people.find_sessions(person)]


def select_sessions(
    sessions: Sequence[OracleSession], span: Span, filters: dict[str, str] | None = None
) -> list[OracleSession]:
    """Those that begin in the period, with these values of source, country and device."""
    names = ("source", "country", "device")
    return [
        session
        for session in sessions
        if span.start_ms <= session.start < span.end_ms
        and all(session.dimensions[names.index(name)] == value for name, value in (filters or {}).items())
    ]


def divide_if_any(part: float, whole: float) -> Number:
    return part / whole if whole else None


def find_percentile(sessions: Sequence[OracleSession], percent: int) -> Number:
    """The least length, in seconds, that so many of 100 sessions do not exceed."""
    lengths = sorted(session.length for session in sessions)
    place = next((n for n in range(1, len(lengths) + 1) if n * 100 >= percent * len(lengths)), 0)
    return lengths[place - 1] / 1_000 if lengths else None


def count_having(sessions: Sequence[OracleSession], *names: str) -> int:
    return sum(all(name in session.names for name in names) for session in sessions)


ADD, ORDER = "Product Added", "Order Completed"
OF_SESSIONS: dict[str, Callable[[Sequence[OracleSession]], Number]] = {
    "sessions": len,
    "events_per_session": lambda sessions: divide_if_any(sum(len(s.names) for s in sessions), len(sessions)),
    "bounce_rate": lambda sessions: divide_if_any(sum(len(s.names) == 1 for s in sessions), len(sessions)),
    "session_duration": lambda sessions: divide_if_any(sum(s.length for s in sessions) / 1_000, len(sessions)),
    "session_duration_median": lambda sessions: find_percentile(sessions, 50),
    "session_duration_p95": lambda sessions: find_percentile(sessions, 95),
    "conversion_rate": lambda sessions: divide_if_any(count_having(sessions, ORDER), len(sessions)),
    "cart_abandonment_rate": lambda sessions: divide_if_any(
        count_having(sessions, ADD) - count_having(sessions, ADD, ORDER), count_having(sessions, ADD)
    ),
}
OF_DAYS: dict[str, Callable[[OraclePeople, date], Number]] = {
    "active_users": count_active,
    "weekly_active_users": lambda people, day: count_active(people, day, 7),
    "monthly_active_users": lambda people, day: count_active(people, day, 30),
    "stickiness": lambda people, day: divide_if_any(count_active(people, day), count_active(people, day, 30)),
}
WITHIN = {"session_duration_median": 0.05, "session_duration_p95": 0.05}


def is_as_told(metric: str, value: Number, true: Number) -> bool:
    if value is None or true is None:
        return value is true
    return abs(value - true) <= WITHIN.get(metric, 1e-12) * abs(true)
