"""The API's answers about people after a run, against the oracle's numbers.

Nobody's event is too late in a run, and each device has one user. So all that is no estimate is exact.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx

from rtaplatform.simulate.oracle.oracle_people import Id, OraclePeople
from rtaplatform.simulate.oracle.oracle_truth import Truth
from tests.chaos.watch import PROJECT
from tests.comparison import SKETCH_ERROR_MAX
from tests.unit.analytics.people_shop import (
    OF_DAYS,
    OF_SESSIONS,
    Span,
    count_new,
    is_as_told,
    list_sessions,
    select_sessions,
)

Ask = Callable[[str, Mapping[str, str]], dict[str, Any]]


def find_wrong_people(client: httpx.Client, truth: Truth) -> Iterator[str]:
    """Each answer that is not the oracle's. Days are those of the project's zone."""
    people, zone = truth.count_people(PROJECT), ZoneInfo(truth.rules[PROJECT].zone)
    days = sorted(set[date]().union(*(people.find_days(person) for person in people.persons)))
    period = {"from": str(days[0]), "to": str(days[-1] + timedelta(days=1))}
    start_ms, end_ms = (
        int(datetime.fromisoformat(day).replace(tzinfo=zone).timestamp() * 1_000) for day in period.values()
    )

    def ask(path: str, more: Mapping[str, str]) -> dict[str, Any]:
        return dict(client.get(f"/v1/{path}", params={**period, **more}).raise_for_status().json())

    true = _recount_numbers(people, Span(start_ms, end_ms, days[-1]), days)
    yield from _compare_metrics(ask, true)
    yield from _compare_engagement(ask, true)
    yield from _compare_estimates(ask, truth, people)
    yield from _compare_cohorts(ask, people, days)


def _recount_numbers(people: OraclePeople, span: Span, days: list[date]) -> dict[str, float | None]:
    sessions = select_sessions(list_sessions(people), span)
    return {
        **{metric: count(sessions) for metric, count in OF_SESSIONS.items()},
        **{metric: count(people, span.last) for metric, count in OF_DAYS.items()},
        "new_visitors": count_new(people, days),
    }


def _compare_metrics(ask: Ask, true: Mapping[str, float | None]) -> Iterator[str]:
    for metric, value in true.items():
        actual = ask(f"metrics/{metric}", {})["results"][0]["total"]
        if not is_as_told(metric, actual, value):
            yield f"HTTP {metric}: {actual} instead of {value}"


def _compare_engagement(ask: Ask, true: Mapping[str, float | None]) -> Iterator[str]:
    """All numbers of people of one moment."""
    answer = ask("engagement", {})
    for metric, value in true.items():
        if not is_as_told(metric, answer[metric]["total"], value):
            yield f"HTTP engagement {metric}: {answer[metric]['total']} instead of {value}"


def _compare_estimates(ask: Ask, truth: Truth, people: OraclePeople) -> Iterator[str]:
    """Visitors and buyers. Who was counted before a link may count once under each id."""
    ids_of: dict[Id, set[Id]] = {
        person: {id for visit in visits for id in (visit.user, visit.anonymous) if id}
        for person, visits in people.persons.items()
    }
    of = truth.projects[PROJECT]
    for metric, cells in (("visitors", of.persons), ("buyers", of.buyers)):
        ids = {id for (kind, _, dimension, _), ids in cells.items() if kind == "day" and not dimension for id in ids}
        persons = {person for person, own_ids in ids_of.items() if own_ids & ids}
        most = sum(len(ids_of[person]) for person in persons)
        actual = ask(f"metrics/{metric}", {})["results"][0]["total"]
        if not len(persons) * (1 - SKETCH_ERROR_MAX) <= actual <= most * (1 + SKETCH_ERROR_MAX):
            yield f"HTTP {metric}: {actual} instead of {len(persons)} to {most}"


def _compare_cohorts(ask: Ask, people: OraclePeople, days: list[date]) -> Iterator[str]:
    """Retention by day."""
    cohorts: dict[date, Counter[int]] = {}
    for person in people.persons:
        own_days = people.find_days(person)
        cohorts.setdefault(min(own_days), Counter()).update((day - min(own_days)).days for day in own_days)
    for row in ask("retention", {"cohort": "day", "periods": str(len(days) + 1)})["cohorts"]:
        cohort = cohorts.get(datetime.fromisoformat(row["start"]).date(), Counter())
        if row["retained"] != (retained := [cohort[age] for age in range(len(row["retained"]))]):
            yield f"HTTP retention of {row['start']}: {row['retained']} instead of {retained}"
