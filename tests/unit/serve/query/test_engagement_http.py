"""Engagement and retention over HTTP, each number against a recount of the raw events."""

from __future__ import annotations

import csv
import io
from collections import Counter
from datetime import date, datetime, timedelta
from random import Random
from typing import Any

import pytest

from rtaplatform.core.projects import ProjectSettings
from rtaplatform.simulate.oracle.oracle_people import OraclePeople
from tests.unit.analytics.people_shop import (
    OF_DAYS,
    OF_SESSIONS,
    PeopleShop,
    Span,
    count_new,
    is_as_told,
    list_sessions,
    select_sessions,
)
from tests.unit.analytics.people_worlds import (
    MORNINGS,
    NOON,
    WEEKDAYS,
    ZONES,
    make_any_world,
    make_berlin,
    make_world,
    parse_instant,
)
from tests.unit.process.people.people_site import Seen
from tests.unit.serve.parts_of_tests import Site

HOUR, DAY = 3_600_000, 86_400_000


def recount(people: OraclePeople, cohort: str, start: date, today: date, periods: int) -> list[int]:
    """How many of those who were first seen in the day or week were active so many of them later."""
    step = timedelta(days=7 if cohort == "week" else 1)
    ages: Counter[int] = Counter()
    for person in people.persons:
        days = people.find_days(person)
        if start <= min(days) < start + step:
            ages.update({(day - start) // step for day in days})
    period_count = (today - start) // step + 1
    return [ages[age] for age in range(min(periods, period_count))]


@pytest.mark.parametrize("cohort", ["day", "week"])
@pytest.mark.parametrize("seed", range(6))
async def test_retention_is_the_oracles(seed: int, cohort: str) -> None:
    shop, rng = make_any_world(seed)
    people, periods = shop.find_truth(), rng.choice([1, 4, 8, 30])
    answer = await Site(shop).ask("GET", "/v1/retention", cohort=cohort, periods=str(periods), **{"from": "-30d"})
    assert answer.status == 200
    cohorts = answer.json["cohorts"]
    today = datetime.fromtimestamp(shop.clock.at_ms / 1000, datetime.fromisoformat(cohorts[-1]["start"]).tzinfo).date()
    starts = [datetime.fromisoformat(row["start"]).date() for row in cohorts]
    assert starts[-1] == (today if cohort == "day" else people.find_week(today))
    assert [row["retained"] for row in cohorts] == [recount(people, cohort, start, today, periods) for start in starts]
    assert [row["size"] for row in cohorts] == [row["retained"][0] for row in cohorts]
    assert (answer.json["meta"]["exact"], answer.json["meta"]["error"]) == (True, 0)


async def test_without_a_start_there_are_as_many_cohorts_as_periods() -> None:
    shop = make_berlin()
    shop.visit(Seen(NOON - 2 * DAY, "u"), Seen(NOON, "u"))
    answer = await Site(shop).ask("GET", "/v1/retention", periods="3")
    assert [(row["start"], row["retained"]) for row in answer.json["cohorts"]] == [
        ("2026-11-20T00:00:00+01:00", [1, 0, 1]), ("2026-11-21T00:00:00+01:00", [0, 0]),
        ("2026-11-22T00:00:00+01:00", [0]),
    ]  # fmt: skip
    weeks = await Site(shop).ask("GET", "/v1/retention", cohort="week", periods="2", to="2026-11-23")
    assert [row["retained"] for row in weeks.json["cohorts"]] == [[0, 0], [1]]


async def test_retention_as_a_table() -> None:
    shop = make_berlin()
    shop.visit(Seen(NOON - DAY, "u"))
    answer = await Site(shop).ask("GET", "/v1/retention", periods="2", format="csv")
    assert list(csv.reader(io.StringIO(answer.body.decode()))) == [
        ["start", "size", "0", "1"], ["2026-11-21T00:00:00+01:00", "1", "1", "0"],
        ["2026-11-22T00:00:00+01:00", "0", "0", ""],
    ]  # fmt: skip


REFUSED = [
    ({"cohort": "month"}, "cohort"), ({"periods": "0"}, "periods"), ({"periods": "401"}, "periods"),
    ({"cohort": "week", "periods": "58"}, "periods"), ({"periods": "x"}, "periods"), ({"from": "soon"}, "from"),
    ({"from": "now", "to": "-1d"}, "from"), ({"timezone": "UTC"}, "timezone"), ({"limit": "3"}, "limit"),
    ({"from": "-2000d", "periods": "400"}, "periods"),
    ({"from": "-3500d"}, "from"),
]  # fmt: skip


@pytest.mark.parametrize(("parameters", "field"), REFUSED, ids=str)
async def test_wrong_values_of_retention_are_named(parameters: dict[str, str], field: str) -> None:
    answer = await Site(make_berlin()).ask("GET", "/v1/retention", **parameters)
    assert (answer.status, answer.json["field"]) == (422, field)


def read_totals(document: dict[str, Any]) -> dict[str, Any]:
    return {name: part["total"] for name, part in document.items() if isinstance(part, dict) and "total" in part}


@pytest.mark.parametrize("seed", range(4))
async def test_engagement_is_the_oracles(seed: int) -> None:
    rng = Random(f"engagement {seed}")
    zone = rng.choice(ZONES)
    shop = make_world(seed, parse_instant(rng.choice(MORNINGS)), zone, rng.choice(WEEKDAYS))
    answer = (await Site(shop).ask("GET", "/v1/engagement", **{"from": "-6d"})).json
    people, numbers = shop.find_truth(), read_totals(answer)
    start, end = (parse_instant(answer[name]) for name in ("from", "to"))
    today = datetime.fromtimestamp((end - 1) / 1000, datetime.fromisoformat(answer["to"]).tzinfo).date()
    sessions = select_sessions(list_sessions(people), Span(start, end, today))
    for metric, count in OF_SESSIONS.items():
        assert is_as_told(metric, numbers[metric], count(sessions)), metric
    for metric, count_day in OF_DAYS.items():
        assert is_as_told(metric, numbers[metric], count_day(people, today)), metric
    first = datetime.fromisoformat(answer["from"]).date()
    assert numbers["new_visitors"] == count_new(
        people, [first + timedelta(days=n) for n in range((today - first).days + 1)]
    )
    assert answer["meta"]["error"] == 0.05
    assert numbers["sessions_per_visitor"] == numbers["sessions"] / numbers["visitors"]


async def test_what_a_filter_does_not_reach_is_null_and_said() -> None:
    shop = make_berlin()
    shop.visit(Seen(NOON - HOUR, "u"), Seen(NOON, "v", source="ios"))
    answer = (await Site(shop).ask("GET", "/v1/engagement", source="ios")).json
    numbers = read_totals(answer)
    assert (numbers["sessions"], numbers["visitors"], numbers["sessions_per_visitor"]) == (1, 1, 1)
    assert (numbers["active_users"], numbers["online"]) == (None, None)
    assert "active_users" in answer["meta"]["reasons"][-1]
    unfiltered_answer = (await Site(shop).ask("GET", "/v1/engagement")).json
    # Whole days, whatever the filter.
    assert (unfiltered_answer["from"], unfiltered_answer["to"]) == (answer["from"], answer["to"])


async def test_engagement_compares_and_has_units() -> None:
    shop = make_berlin()
    shop.visit(Seen(NOON - DAY, "u"), Seen(NOON - HOUR, "u"), Seen(NOON, "v"))
    answer = (await Site(shop).ask("GET", "/v1/engagement", compare="previous_period", **{"from": "2026-11-22"})).json
    assert answer["active_users"] == {"unit": "count", "total": 2, "previous": 1, "error": 0}
    assert (answer["previous_from"], answer["previous_to"]) == (
        "2026-11-21T00:00:00+01:00",
        "2026-11-22T00:00:00+01:00",
    )
    assert answer["session_duration_p95"]["unit"] == "seconds"
    assert (answer["stickiness"]["total"], answer["new_visitors"]["total"]) == (1, 1)


@pytest.mark.parametrize(
    ("parameters", "field"),
    [({"timezone": "UTC"}, "timezone"), ({"interval": "day"}, "interval"), ({"event": "x"}, "event")],
    ids=str,
)
async def test_wrong_values_of_engagement_are_named(parameters: dict[str, str], field: str) -> None:
    answer = await Site(make_berlin()).ask("GET", "/v1/engagement", **parameters)
    assert (answer.status, answer.json["field"]) == (422, field)


async def test_engagement_as_a_table() -> None:
    answer = await Site(PeopleShop(ProjectSettings("demo", "UTC"), NOON)).ask("GET", "/v1/engagement", format="csv")
    table = list(csv.DictReader(io.StringIO(answer.body.decode())))
    assert {row["metric"] for row in table} >= {*OF_DAYS, *OF_SESSIONS, "new_visitors", "online"}


def count_sessions_between(lengths: list[int], low: float, high: float | None) -> int:
    return sum(low * 1_000 <= length and (high is None or length < high * 1_000) for length in lengths)


@pytest.mark.parametrize("seed", range(6))
async def test_lengths_of_sessions_are_the_oracles(seed: int) -> None:
    shop, _ = make_any_world(seed)
    sessions = list_sessions(shop.find_truth())
    for filters in ({}, {"source": "ios"}):
        answer = await Site(shop).ask("GET", "/v1/sessions/lengths", **{"from": "-30d"}, **filters)
        assert answer.status == 200
        histogram = answer.json
        span = Span(parse_instant(histogram["from"]), parse_instant(histogram["to"]), date.today())
        lengths = [session.length for session in select_sessions(sessions, span, filters)]
        buckets = [
            (bucket["from_seconds"], bucket["to_seconds"], bucket["sessions"]) for bucket in histogram["lengths"]
        ]
        assert buckets == sorted(buckets)
        assert [(low, high, count_sessions_between(lengths, low, high)) for low, high, _ in buckets] == buckets
        assert histogram["sessions"] == sum(count for _, _, count in buckets) == len(lengths)
        assert lengths or filters
        assert (histogram["meta"]["exact"], histogram["meta"]["error"]) == (True, 0)


async def test_a_session_of_one_event_has_the_length_0() -> None:
    shop = make_berlin()
    shop.visit(Seen(NOON - 2 * HOUR, "u"), Seen(NOON - HOUR, "v"), Seen(NOON - HOUR + 60_000, "v"))
    answer = (await Site(shop).ask("GET", "/v1/sessions/lengths")).json
    shortest = answer["lengths"][0]
    assert (shortest["from_seconds"], shortest["sessions"]) == (0, 1)
    minute = answer["lengths"][1]
    assert minute["from_seconds"] <= 60 < minute["to_seconds"] <= 1.1 * minute["from_seconds"] + 0.001
    table = await Site(shop).ask("GET", "/v1/sessions/lengths", format="csv")
    rows = list(csv.DictReader(io.StringIO(table.body.decode())))
    assert [float(row["from_seconds"]) for row in rows] == [0, minute["from_seconds"]]
    assert [row["sessions"] for row in rows] == ["1", "1"]


@pytest.mark.parametrize(
    ("parameters", "field"),
    [({"interval": "day"}, "interval"), ({"compare": "previous_period"}, "compare"), ({"from": "soon"}, "from"),
     ({"length": "3"}, "length"), ({"browser": "x"}, "browser")],
    ids=str,
)  # fmt: skip
async def test_wrong_values_of_lengths_are_named(parameters: dict[str, str], field: str) -> None:
    answer = await Site(make_berlin()).ask("GET", "/v1/sessions/lengths", **parameters)
    assert (answer.status, answer.json["field"]) == (422, field)
