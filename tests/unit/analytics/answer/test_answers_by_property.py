"""Answers by the properties that a project declares, of simulated traffic that a worker has counted: the oracle's."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from rtaplatform.analytics.ask.parse import parse_object
from rtaplatform.core.caps import Caps
from rtaplatform.core.errors import InvalidParameter
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.query import Answer
from rtaplatform.core.time.buckets import BucketKind
from rtaplatform.simulate.oracle.oracle_truth import Truth
from rtaplatform.store.memory.memory_store import MemoryStore
from tests.unit.analytics.answer.counted_traffic import Counted, ask, count_traffic, make_engine, read_totals
from tests.unit.process.decode.odd_records import PROJECTS

SEARCHED = "Products Searched"


@pytest.fixture(scope="module")
def counted() -> Counted:
    return count_traffic()


def sum_truth(truth: Truth, rollup: str, *at: int) -> dict[tuple[str, ...], int]:
    sums: Counter[tuple[str, ...]] = Counter()
    for (name, kind, _start, values), numbers in truth.properties["demo"].cells.items():
        if name == rollup and kind == "day":
            sums[tuple(values[index] for index in at)] += numbers["count"]
    return dict(sums)


@pytest.mark.parametrize(
    ("breakdown", "rollup", "at"),
    [
        ("property.query", "property.query", (0,)),
        ("property.price", "property.price", (0,)),
        ("property.currency,event", "property.currency+event", (0, 1)),
        ("event,property.query", "property.query+event", (1, 0)),
    ],
)
def test_events_by_a_property_are_the_oracles(
    counted: Counted, breakdown: str, rollup: str, at: tuple[int, ...]
) -> None:
    store, truth = counted
    assert read_totals(ask(store, "events", breakdown=breakdown)) == (want := sum_truth(truth, rollup, *at))
    assert len(want) > 1
    assert sum(want.values()) == read_totals(ask(store, "events"))[()], (
        "events without the property are there too, as (none)"
    )


def test_a_filter_takes_some_values_and_points_are_by_the_hour(counted: Counted) -> None:
    store, truth = counted
    want = sum_truth(truth, "property.query+event", 0, 1)
    queries = sorted({query for query, _ in want if query != "(none)"})[:2]
    chosen = {"property.query": ",".join(queries), "event": SEARCHED}
    answer = ask(store, "events", interval="hour", **chosen)
    (row,) = answer.results
    assert row.total == sum(want[query, SEARCHED] for query in queries) > 0
    assert sum(number or 0 for _, number in row.points) == row.total
    assert read_totals(ask(store, "events", **{"property.query": "(none)"})) == {(): count_without_query(want)}


def count_without_query(want: dict[tuple[str, ...], int]) -> int:
    return sum(n for (query, _), n in want.items() if query == "(none)")


@pytest.mark.parametrize(
    ("metric", "parameters", "field"),
    [
        ("events", {"breakdown": "property.coupon"}, "breakdown"),
        ("events", {"property.coupon": "a"}, "property.coupon"),
        ("events", {"property.a b": "a"}, "property.a b"),
        ("events", {"breakdown": "property.query,source"}, "breakdown"),
        ("events", {"breakdown": "property.query,property.price"}, "breakdown"),
        ("events", {"breakdown": "property.query", "interval": "minute"}, "interval"),
        ("orders", {"breakdown": "property.query"}, "breakdown"),
        ("visitors", {"property.query": "a"}, "property.query"),
    ],
)
def test_what_is_not_kept_is_refused(counted: Counted, metric: str, parameters: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidParameter) as refusal:
        ask(counted[0], metric, **parameters)
    assert refusal.value.field == field
    assert refusal.value.hint or refusal.value.allowed


def test_a_property_that_is_declared_after_the_first_question_is_known_at_once() -> None:
    store = MemoryStore(1)
    store.begin(0, expected="", generation="g", topics={}, starts={})
    store.set_projects([ProjectSettings("demo")], "v1")
    engine = make_engine(store)
    query = parse_object({"metric": "events", "breakdown": ["property.coupon"]})

    async def ask_twice() -> list[Answer]:
        with pytest.raises(InvalidParameter):
            await engine.answer("demo", [query])
        store.set_projects([ProjectSettings("demo", event_properties=("coupon",))], "v2")
        await engine.check("demo", [query])
        return await engine.answer("demo", [query])

    assert asyncio.run(ask_twice())[0].results == []


def test_a_property_has_its_own_seats_and_its_values_by_event_the_seats_of_combinations() -> None:
    caps = Caps(property_values=5, combinations=7)
    assert caps.count_seats("property.coupon", BucketKind.DAY) == 5
    assert caps.count_seats("property.coupon+event", BucketKind.DAY) == 7
    assert Caps().count_seats("property.coupon", BucketKind.HOUR) == 1_000
    assert PROJECTS[0].event_properties in PROJECTS[0].folding
