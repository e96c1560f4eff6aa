"""What the API says of people over months, against the oracle: every metric of people, engagement, cohorts.

The questions go through the whole application. The answers come from raw events by code that counts nothing else.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

from rtaplatform.analytics.answer.engine import Engine
from rtaplatform.analytics.freshness.log_ends import LogInstant
from rtaplatform.analytics.freshness.tracker import FreshnessTracker
from rtaplatform.simulate.oracle.oracle_people import Id, OraclePeople
from rtaplatform.simulate.oracle.oracle_report import unite
from rtaplatform.simulate.oracle.oracle_truth import Truth
from tests.comparison import SKETCH_ERROR_MAX
from tests.late_people import take_visits
from tests.simulation.months_of_visits import DAYS, END_MS
from tests.simulation.months_world import MonthsWorld
from tests.unit.analytics.people_shop import (
    OF_SESSIONS,
    Span,
    divide_if_any,
    is_as_told,
    list_sessions,
    select_sessions,
)
from tests.unit.serve.parts_of_tests import Site

PERIODS = {"day": 90, "week": 13}
Count = Callable[[date], float | None]


class MonthsAsked:
    """A world that has ended, behind the application."""

    def __init__(self, world: MonthsWorld) -> None:
        clock = LogInstant(END_MS - 1, (END_MS - 1) / 1_000)
        engine = Engine(world.store, FreshnessTracker(), lambda: clock)
        self._site = Site(cast("Any", SimpleNamespace(engine=engine, reader=world.store)))
        self.truth: Truth = world.recount_truth()
        self.people: OraclePeople = take_visits(self.truth, "demo").count_people(self.truth, "demo")
        self.days = {person: self.people.find_days(person) for person in self.people.persons}
        self.sessions = list_sessions(self.people)
        self.questions = 0

    async def ask(self, path: str, **parameters: str) -> Any:
        reply = await self._site.ask("GET", path, **{"from": f"-{DAYS}d"}, **parameters)
        assert reply.status == 200, (path, parameters, reply.body)
        assert reply.json["meta"]["exact"] or reply.json["meta"]["error"], "exact, or it says how exact"
        self.questions += 1
        return reply.json

    async def find_wrong_days(self) -> list[str]:
        """Active users of each day and week, their stickiness, and who was new."""
        lines = []
        for metric, count in self._list_counts_of_days().items():
            for interval in ("day", "week"):
                answer = await self.ask(f"/v1/metrics/{metric}", interval=interval)
                row = answer["results"][0]
                ends = [*(time for time, _ in row["points"][1:]), answer["to"]]
                lines += [
                    f"{metric} {interval} {time}: {value} instead of {count(_find_last_day(end))}"
                    for (time, value), end in zip(row["points"], ends, strict=True)
                    if not is_as_told(metric, value, count(_find_last_day(end)))
                ]
        firsts = Counter(map(min, self.days.values()))
        points = (await self.ask("/v1/metrics/new_visitors", interval="day"))["results"][0]["points"]
        new = [(time, n, firsts[datetime.fromisoformat(time).date()]) for time, n in points]
        return lines + [f"new_visitors {time}: {n} instead of {true}" for time, n, true in new if n != true]

    def _list_counts_of_days(self) -> dict[str, Count]:
        def count_active(last: date, width: int) -> int:
            window = {last - timedelta(days=back) for back in range(width)}
            return sum(not window.isdisjoint(days) for days in self.days.values())

        return {
            "active_users": lambda day: count_active(day, 1),
            "weekly_active_users": lambda day: count_active(day, 7),
            "monthly_active_users": lambda day: count_active(day, 30),
            "stickiness": lambda day: divide_if_any(count_active(day, 1), count_active(day, 30)),
        }

    async def find_wrong_sessions(self) -> list[str]:
        """Of each metric of sessions: the whole, each day, each source of one country."""
        lines = []
        for metric, count in OF_SESSIONS.items():
            whole = await self.ask(f"/v1/metrics/{metric}", interval="day")
            row = whole["results"][0]
            ends = [*(time for time, _ in row["points"][1:]), whole["to"]]
            spans: list[tuple[float | None, Span, dict[str, str]]] = [
                (row["total"], _make_span(whole["from"], whole["to"]), {})
            ]
            spans += [(n, _make_span(t, end), {}) for (t, n), end in zip(row["points"], ends, strict=True)]
            by_source = await self.ask(f"/v1/metrics/{metric}", breakdown="source", country="AT")
            spans += [
                (r["total"], spans[0][1], {"country": "AT", "source": r["dimensions"]["source"]})
                for r in by_source["results"]
            ]
            for value, span, filters in spans:
                true = count(select_sessions(self.sessions, span, filters))
                if not is_as_told(metric, value, true):
                    lines.append(f"{metric} {span} {filters}: {value} instead of {true}")
        return lines

    async def find_wrong_persons(self) -> list[str]:
        """Visitors and buyers are estimates. Who was counted before a link may count once under each id."""
        lines, everybody_here, all_ids = [], self.truth.count_people("demo"), defaultdict[Id, set[Id]](set)
        for person, visits in everybody_here.persons.items():
            all_ids[person].update(id for v in visits for id in (v.user, v.anonymous) if id)
        for metric, persons in (("visitors", "persons"), ("buyers", "buyers")):
            answer = await self.ask(f"/v1/metrics/{metric}", interval="day")
            row = answer["results"][0]
            ids_by_day = {
                start: ids
                for (kind, start, dimension, _), ids in getattr(self.truth.projects["demo"], persons).items()
                if kind == "day" and not dimension
            }
            points = [
                (value, ids_by_day.get(int(datetime.fromisoformat(time).timestamp()) // 60, set()))
                for time, value in row["points"]
            ]
            everybody = set[tuple[str, str]]().union(*ids_by_day.values())
            assert len(everybody) > 20
            for value, ids in [(row["total"], everybody), *points]:
                persons_here = unite(ids, everybody_here)
                least, most = len(persons_here), sum(len(all_ids[person]) for person in persons_here)
                if not least * (1 - SKETCH_ERROR_MAX) <= value <= most * (1 + SKETCH_ERROR_MAX):
                    lines.append(f"{metric}: {value} instead of {least} to {most}")
        return lines

    async def find_wrong_engagement(self) -> list[str]:
        answer = await self.ask("/v1/engagement")
        numbers = {name: part["total"] for name, part in answer.items() if isinstance(part, dict) and "total" in part}
        span = _make_span(answer["from"], answer["to"])
        sessions = select_sessions(self.sessions, span)
        true: dict[str, float | None] = {metric: count(sessions) for metric, count in OF_SESSIONS.items()}
        true |= {metric: count(span.last) for metric, count in self._list_counts_of_days().items()}
        true["new_visitors"] = len(self.days)
        lines = [
            f"engagement {metric}: {numbers[metric]} instead of {value}"
            for metric, value in true.items()
            if not is_as_told(metric, numbers[metric], value)
        ]
        if numbers["sessions_per_visitor"] != numbers["sessions"] / numbers["visitors"]:
            lines.append(f"engagement sessions_per_visitor: {numbers['sessions_per_visitor']}")
        return lines

    async def find_wrong_cohorts(self) -> list[str]:
        return [line for cohort in PERIODS for line in await self._find_wrong_cohorts_by(cohort)]

    async def _find_wrong_cohorts_by(self, cohort: str) -> list[str]:
        answer = await self.ask("/v1/retention", cohort=cohort, periods=str(PERIODS[cohort]))
        rows = [(datetime.fromisoformat(row["start"]).date(), row) for row in answer["cohorts"]]
        assert sum(row["size"] for _, row in rows) == len(self.days), "everybody is of one cohort"
        return [
            f"cohort of {start}: {row['retained']} instead of {true}"
            for start, row in rows
            if row["retained"] != (true := list(self._recount_cohort(cohort, start, len(row["retained"]))))
        ]

    def _recount_cohort(self, cohort: str, start: date, periods: int) -> Iterator[int]:
        step = timedelta(days=7 if cohort == "week" else 1)
        members = [days for days in self.days.values() if start <= min(days) < start + step]
        for age in range(periods):
            yield sum(any((day - start) // step == age for day in days) for days in members)


def _find_last_day(end: str) -> date:
    return _make_span(end, end).last


def _make_span(start: str, end: str) -> Span:
    start_at, end_at = datetime.fromisoformat(start), datetime.fromisoformat(end)
    last = datetime.fromtimestamp(end_at.timestamp() - 1, end_at.tzinfo).date()
    return Span(round(start_at.timestamp() * 1_000), round(end_at.timestamp() * 1_000), last)


def list_questions(months: MonthsAsked) -> Sequence[Callable[[], Any]]:
    return (
        months.find_wrong_days, months.find_wrong_sessions, months.find_wrong_persons, months.find_wrong_engagement,
        months.find_wrong_cohorts,
    )  # fmt: skip
