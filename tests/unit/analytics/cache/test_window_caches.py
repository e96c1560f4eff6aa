"""Caches change no answer: an engine with caches answers like one that reads everything each time."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtaplatform.analytics.answer.engine import Engine
from rtaplatform.analytics.ask.parse import parse_object
from rtaplatform.analytics.cache import window_cache
from rtaplatform.analytics.cache.window_cache import WindowCache
from rtaplatform.analytics.cache.window_caches import WindowCaches
from rtaplatform.analytics.plan.plan import make_plan
from rtaplatform.analytics.plan.shapes import SumsPlan
from rtaplatform.analytics.read import visitor_ranking
from rtaplatform.core.caps import Caps
from rtaplatform.core.errors import Unavailable
from rtaplatform.core.query import Answer
from rtaplatform.core.rollups import EVENTS, make_field
from rtaplatform.core.rollups import PRODUCTS as PRODUCTS_ROLLUP
from rtaplatform.store.port import Applied, Delta, ReadBuckets, ReadPersonCounts, Snapshot
from tests.examples import count_examples
from tests.unit.analytics.catalog import Catalog, Product
from tests.unit.analytics.shop import NOON, PROJECT, Happening, Shop, list_keys_at, make_engine_without_caches

PRODUCTS = {
    "p-1": Product("Shoe", "shoes", brand="Acme"),
    "p-2": Product("Hat", "hats", brand="Acme"),
    "p-3": Product("Boot", "shoes", brand="Bolt"),
}
SEATS = 8
FEW = Caps(products=SEATS, products_of_minute=SEATS, combinations=SEATS)
BY_HOUR = {"from": "-4h", "interval": "hour"}
QUESTIONS: list[dict[str, Any]] = [
    {"metric": "events", "from": "-3h", "breakdown": ["country", "device"]},
    {"metric": "events", **BY_HOUR, "filters": {"country": ["DE", "FR"]}},
    {"metric": "events", **BY_HOUR, "breakdown": ["source", "event"], "limit": 2, "bots": "include"},
    {"metric": "page_views", "from": "-1h", "interval": "minute", "breakdown": ["country"]},
    {"metric": "events", "from": "-2h", "breakdown": ["event"], "compare": "previous_period"},
    {"metric": "revenue", **BY_HOUR, "breakdown": ["country"]},
    {"metric": "product_views", **BY_HOUR, "breakdown": ["product_id"], "limit": 2},
    {"metric": "units", **BY_HOUR, "breakdown": ["product_category"], "compare": "previous_period"},
    {"metric": "visitors", "from": "-4h", "breakdown": ["product_id"], "limit": 1},
    {"metric": "visitors", **BY_HOUR, "breakdown": ["product_category"], "limit": 1},
    {
        "metric": "visitors",
        "from": "-4h",
        "filters": {"product_brand": ["Acme", "(none)"]},
        "compare": "previous_period",
    },
    {"metric": "orders", "from": "-3h", "compare": "previous_period", "filters": {"product_brand": ["Acme", "(none)"]}},
]
HAPPENING = st.builds(
    lambda minutes, event, source, country, product, bot, money, person: Happening(
        NOON - minutes * 60_000, event, source=source, country=country, is_bot=bot, person=person,
        product="" if event == "$page" else product, revenue=money if event == "Order Completed" else 0,
    ),
    st.integers(-200, 240), st.sampled_from(["$page", "Product Viewed", "Order Completed"]),
    st.sampled_from(["web", "ios"]), st.sampled_from(["DE", "FR", ""]), st.sampled_from(["p-1", "p-2", "p-9"]),
    st.booleans(), st.sampled_from([-5, 5, 10]), st.sampled_from("abcde"),
)  # fmt: skip
STEP = st.tuples(st.lists(HAPPENING, max_size=8), st.integers(0, 90), st.booleans())


@pytest.fixture(autouse=True)
def _only_the_highest_bounds_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visitor_ranking, "SPARE", 0)


async def answers_of(engine: Engine) -> list[Answer]:
    return [(await engine.answer("demo", [parse_object(question)]))[0] for question in QUESTIONS]


async def read_anew(shop: Shop, catalog: Catalog) -> list[Answer]:
    """The answers of an engine without caches."""
    return await answers_of(make_engine_without_caches(shop, catalog))


def overflow(shop: Shop, rollup: str, hidden: dict[str, int], at_ms: int = NOON) -> None:
    """Fill a rollup's buckets to the cap; `hidden` then goes to the field for the rest."""
    names = {EVENTS.name: ("count", "x", "web", "XX"), PRODUCTS_ROLLUP.name: ("views",)}[rollup]
    full = Delta(moves=[shop.make_next_move()])
    fields = {make_field(*names, f"x-{n}"): 1 for n in range(SEATS)}
    fields |= {names[0]: len(fields)}
    for key in list_keys_at(shop.project, rollup, at_ms):
        full.cells[key] = dict(fields)
    assert isinstance(shop.store.apply(0, "g1", full), Applied)
    hidden_delta = Delta(moves=[shop.make_next_move()])
    for key in list_keys_at(shop.project, rollup, at_ms):
        hidden_delta.cells[key] = dict(hidden)
    assert isinstance(shop.store.apply(0, "g1", hidden_delta), Applied)


def select_what_shows(answer: Answer) -> tuple[Any, ...]:
    return answer.results, answer.meta.exact, answer.start, answer.end


@settings(max_examples=count_examples(60), deadline=None)
@given(st.lists(STEP, min_size=1, max_size=6))
def test_caching_engine_answers_like_a_new_one(steps: list[tuple[list[Happening], int, bool]]) -> None:
    async def run() -> None:
        catalog = Catalog(PRODUCTS)
        shop = Shop(catalog=catalog)
        assert catalog.table is not None
        for happenings, minutes, changes in steps:
            shop.take(happenings)
            shop.clock.at_ms += minutes * 60_000
            if minutes % 2:  # notifications may be lost
                shop.engine.touch(frozenset({"demo"}))
            if changes:
                catalog.table.put("p-9", Product("x", random.Random(minutes).choice(["shoes", "hats"])))
            cached_answers, new = await answers_of(shop.engine), await read_anew(shop, catalog)
            assert list(map(select_what_shows, cached_answers)) == list(map(select_what_shows, new))

    asyncio.run(run())


async def test_caches_are_dropped_when_store_goes_back_or_generation_changes() -> None:
    """The buckets have the same totals as before, but other events."""
    catalog = Catalog(PRODUCTS)
    shop = Shop(catalog=catalog)
    empty = deepcopy(shop.store.shards[0])
    views = [
        Happening(NOON, "Product Viewed", product=product, person=person)
        for product, person in (("p-1", "a"), ("p-1", "b"), ("p-2", "a"), ("p-2", "a"))
    ]
    shop.take([Happening(NOON, country="DE"), Happening(NOON, country="DE"), *views])
    await answers_of(shop.engine)
    shop.store.shards[0], shop.offset = empty, 0
    shop.take([Happening(NOON, country="FR")])
    await answers_of(shop.engine)
    others = [
        Happening(NOON, "Product Viewed", product=product, person=person, country="FR")
        for product, person in (("p-1", "a"), ("p-1", "a"), ("p-2", "a"), ("p-2", "b"))
    ]
    shop.take([Happening(NOON, country="FR"), *others])
    cached_answers = await answers_of(shop.engine)
    assert list(map(select_what_shows, cached_answers)) == list(map(select_what_shows, await read_anew(shop, catalog)))
    assert cached_answers[0].results[0].dimensions["country"] == "FR"


async def test_only_changed_buckets_are_read_again() -> None:
    shop, whole = Shop(), list[int]()
    read = shop.store.read

    async def counted(project: str, reads: Any) -> Snapshot:
        whole.append(sum(len(request.starts) for request in reads if isinstance(request, ReadBuckets)))
        return await read(project, reads)

    async def countries() -> int:
        whole.clear()
        question = {"metric": "events", "from": "-3h", "breakdown": ["country"]}
        results = (await shop.engine.answer("demo", [parse_object(question)]))[0].results
        return sum(int(result.total or 0) for result in results)

    shop.store.read = counted  # type: ignore[method-assign]
    shop.take([Happening(NOON - hours * 3_600_000) for hours in range(4)])
    assert await countries() == 4
    assert sum(whole) == 4
    shop.take([Happening(NOON)])
    assert (await countries(), sum(whole)) == (5, 1)  # the newest, which is expected to move
    shop.take([Happening(NOON - 7_200_000)])
    assert (await countries(), sum(whole)) == (6, 1 + 2)  # another one: it is found to have moved
    assert (await countries(), sum(whole)) == (6, 0)


async def test_persons_of_products_are_recounted_in_changed_hours_only() -> None:
    shop, counted = Shop(), list[int]()
    read = shop.store.read

    async def noted(project: str, reads: Any) -> Snapshot:
        counted.append(sum(len(request.starts) for request in reads if isinstance(request, ReadPersonCounts)))
        return await read(project, reads)

    async def most() -> tuple[str, int]:
        counted.clear()
        question = {"metric": "visitors", "from": "-11h", "breakdown": ["product_id"], "limit": 1}
        result = (await shop.engine.answer("demo", [parse_object(question)]))[0].results[0]
        return result.dimensions["product_id"], int(result.total or 0)

    def view(hour: int, product: str, person: str) -> Happening:
        return Happening(NOON - hour * 3_600_000, "Product Viewed", product=product, person=person)

    shop.store.read = noted  # type: ignore[method-assign]
    shop.take([view(hour, "p-1", f"u-{hour % 2}") for hour in range(12)])
    assert await most() == ("p-1", 2)
    assert (sum(counted), max(counted)) == (12, 1)
    shop.take([view(0, "p-2", person) for person in "abc"])
    assert await most() == ("p-2", 3)
    assert sum(counted) == 1
    assert await most() == ("p-2", 3)
    assert sum(counted) == 1  # it has just moved: once more, to see that it stands still
    assert await most() == ("p-2", 3)
    assert sum(counted) == 0
    shop.take([view(7, "p-1", person) for person in "ab"])
    assert await most() == ("p-1", 4)
    assert sum(counted) == 1
    shard = shop.store.shards[0]
    shard.generations["g2"], shard.manifests["g2"] = shard.generations["g1"], shard.manifests["g1"]
    shard.generation = "g2"
    assert await most() == ("p-1", 4)
    assert (sum(counted), max(counted)) == (12, 1)


HIDDEN = [
    {"count": 5, make_field("count", "$page", "web", "DE", "tv"): 5},
    {"~count": 5, make_field("~count", "$page", "web", "DE", "tv"): 5},
    {"count": 1, "revenue": 20_000, make_field("revenue", "Order Completed", "web", "DE", "tv"): 20_000},
]


@pytest.mark.parametrize("hidden", HIDDEN, ids=["events", "bots", "money"])
@pytest.mark.parametrize("is_turned", [False, True], ids=["", "the other way round"])
async def test_hidden_values_show_in_cached_answers_as_in_new_ones(hidden: dict[str, int], is_turned: bool) -> None:
    """Questions with the same sums may differ in whether they show events without a field."""
    shop = Shop(caps=FEW)
    overflow(shop, EVENTS.name, hidden)
    questions = [
        {"metric": metric, "from": "-2h", "bots": bots, "breakdown": ["country"], **filters}
        for metric in ("events", "page_views", "revenue")
        for bots in ("exclude", "include")
        for filters in ({}, {"filters": {"event": ["Order Completed"]}}, {"filters": {"country": ["DE"]}})
        if metric != "page_views" or not filters.get("filters", {}).get("event")
    ]
    for question in reversed(questions) if is_turned else questions:
        query = parse_object(question)
        cached_answer = (await shop.engine.answer("demo", [query]))[0]
        plain = (await make_engine_without_caches(shop).answer("demo", [query]))[0]
        assert select_what_shows(cached_answer) == select_what_shows(plain), question


@pytest.mark.parametrize("metric", ["events", "product_views"])
async def test_window_that_changes_at_each_read_is_answered(metric: str) -> None:
    """As during an import of history: other buckets change each time."""
    shop, chance, count = Shop(), random.Random(7), 0
    read = shop.store.read

    async def moving(project: str, reads: Any) -> Snapshot:
        nonlocal count
        hours = chance.sample(range(23), 4)
        shop.take(Happening(NOON - hour * 3_600_000, "Product Viewed", product="p-1") for hour in hours)
        count += len(hours)
        return await read(project, reads)

    shop.store.read = moving  # type: ignore[method-assign]
    for _ in range(30):
        question = parse_object({"metric": metric, "breakdown": ["product_id" if metric != "events" else "country"]})
        answer = (await shop.engine.answer("demo", [question]))[0]
        assert sum(int(result.total or 0) for result in answer.results) == count


async def test_reads_of_a_partially_applied_shard_are_not_cached() -> None:
    """Half of a batch: a total without its field. The store then goes back, and reaches the same total."""
    catalog = Catalog(PRODUCTS)
    shop = Shop(catalog=catalog)
    shop.take([Happening(NOON, country="DE")])
    sound, offset = deepcopy(shop.store.shards[0]), shop.offset
    shop.take([Happening(NOON, country="FR")])
    totals = shop.store.shards[0].totals
    for key in list_keys_at(shop.project, EVENTS.name, NOON):
        del totals.cells[key][make_field("count", "$page", "web", "FR", "phone")]
    totals.inflight = "half of a batch"
    await answers_of(shop.engine)
    shop.store.shards[0], shop.offset = sound, offset
    shop.take([Happening(NOON, country="FR")])
    assert list(map(select_what_shows, await answers_of(shop.engine))) == list(
        map(select_what_shows, await read_anew(shop, catalog))
    )


@pytest.mark.parametrize("limit", [1, 2, 10])
async def test_one_window_serves_every_limit(limit: int) -> None:
    shop = Shop()
    shop.take(Happening(NOON, country=country) for country in ("DE", "DE", "DE", "FR", "FR", ""))
    for number in (10, limit):
        question = parse_object({"metric": "events", "from": "-1h", "breakdown": ["country"], "limit": number})
        results = (await shop.engine.answer("demo", [question]))[0].results
        assert [result.total for result in results] == [3, 2, 1][:number]


def test_windows_with_two_fixed_ends_are_few_and_are_evicted_first() -> None:
    windows = WindowCaches(windows_max=6, fixed_max=3)

    def find(**fields: Any) -> WindowCache:
        question = {"metric": "events", "breakdown": ["country"], **fields}
        window = windows.find(make_plan(parse_object(question), PROJECT, NOON))
        assert window is not None
        return window

    moving = [find(**{"from": f"-{hours}h"}) for hours in range(1, 5)]
    fixed = [find(**{"from": f"-{hours}h", "to": "2026-11-22T11:00:00+01:00"}) for hours in range(5, 9)]
    assert [find(**{"from": f"-{hours}h"}) for hours in range(1, 5)] == moving
    assert find(**{"from": "-8h", "to": "2026-11-22T11:00:00+01:00"}) is fixed[-1]
    assert find(**{"from": "-5h", "to": "2026-11-22T11:00:00+01:00"}) not in fixed
    for hours in range(20, 26):
        find(**{"from": f"-{hours}h"})
    assert find(**{"from": "-8h", "to": "2026-11-22T11:00:00+01:00"}) is not fixed[-1]


async def test_named_fields_of_very_many_buckets_are_read_as_whole_buckets() -> None:
    shop = Shop()
    shop.take([Happening(NOON - 60_000, f"event-{n}") for n in range(100)])
    names = [f"event-{n}" for n in range(0, 100, 2)]
    query = parse_object({"metric": "events", "from": "-47h", "interval": "minute", "filters": {"event": names}})
    planned = make_plan(query, PROJECT, NOON)
    assert isinstance(planned.shape, SumsPlan)
    assert planned.shape.fields is None
    answer = (await shop.engine.answer("demo", [query]))[0]
    assert (answer.results[0].total, answer.meta.exact) == (50, True)


@pytest.mark.parametrize("metric", ["events", "product_views"])
async def test_large_changing_window_is_read_in_portions(metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As during an import of history. The answer is right, or there is none."""
    monkeypatch.setattr(window_cache, "FIELDS_AT_ONCE", 1_000)
    shop, chance, count, largest = Shop(), random.Random(7), 0, 0
    read = shop.store.read

    async def noted(project: str, reads: Any) -> Snapshot:
        nonlocal largest
        snapshot = await read(project, reads)
        listings = [
            answer for request, answer in zip(reads, snapshot.answers, strict=True) if isinstance(request, ReadBuckets)
        ]
        largest = max(largest, sum(len(listed.fields) // 2 for answer in listings for listed in answer))
        if is_busy:  # something comes between two readings
            take_some(1)
        return snapshot

    def take_some(hours: int) -> None:
        nonlocal count
        for hour in chance.sample(range(23), hours):
            shop.take([Happening(NOON - hour * 3_600_000, "Product Viewed", product="p-1", country="p-1")])
            count += 1

    for hour in range(23):
        at_ms = NOON - hour * 3_600_000
        shop.take(Happening(at_ms, "Product Viewed", product=f"p-{n}", country=f"c-{n}") for n in range(150))
        count += 150
    is_busy = False
    shop.store.read = noted  # type: ignore[method-assign]
    breakdown = "product_id" if metric != "events" else "country"
    question = parse_object({"metric": metric, "breakdown": [breakdown], "limit": 1_000})

    async def total() -> int:
        return sum(int(result.total or 0) for result in (await shop.engine.answer("demo", [question]))[0].results)

    assert await total() == count
    for turn in range(12):
        is_busy = turn % 2 == 1
        take_some(20)
        with suppress(Unavailable):
            answered = await total()
            assert answered in (count, count - 1)  # the last reading is followed by one that it does not know
    is_busy = False
    assert await total() == count
    assert 0 < largest <= 1_000 + 600
