"""The ranking counts few products, and its result is as if all had been counted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from rtaplatform.analytics.ask.parse import parse_object
from rtaplatform.analytics.plan.plan import make_plan
from rtaplatform.analytics.plan.shapes import PersonsPlan
from rtaplatform.analytics.read.visitor_ranking import RankedVisitors, find_greatest_products
from rtaplatform.core.caps import Caps
from rtaplatform.core.errors import Unable
from rtaplatform.core.query import SKETCH_ERROR, Result
from rtaplatform.core.rollups import PRODUCTS, make_field
from rtaplatform.core.time.buckets import BucketKind
from rtaplatform.store.port import Applied, CellsKey, Delta, Read, ReadPersonCounts, ReadPersons, Snapshot
from tests.examples import count_examples
from tests.unit.analytics.shop import NOON, PROJECT, Happening, Shop, make_engine_without_caches

HOUR_MS = 3_600_000
VISIT = st.builds(
    lambda hours, event, product, person, bot: Happening(
        NOON - hours * HOUR_MS, event, product=f"p-{product:02}", person=f"u-{person}", is_bot=bot
    ),
    st.integers(0, 5), st.sampled_from(["Product Viewed", "Product Added", "Order Completed"]),
    st.integers(0, 30), st.integers(0, 12), st.booleans(),
)  # fmt: skip


def make_question(limit: int, **more: Any) -> Any:
    return parse_object({"metric": "visitors", "from": "-6h", "breakdown": ["product_id"], "limit": limit, **more})


async def find_results(shop: Shop, query: Any) -> list[Result]:
    return (await shop.engine.answer("demo", [query]))[0].results


async def find_results_by_counting(shop: Shop, query: Any) -> list[Result]:
    return (await make_engine_without_caches(shop).answer("demo", [query]))[0].results


@settings(max_examples=count_examples(80), deadline=None)
@given(
    st.lists(st.tuples(st.lists(VISIT, max_size=60), st.integers(0, 120)), min_size=1, max_size=4),
    st.integers(1, 12),
    st.sampled_from([{}, {"interval": "hour"}, {"compare": "previous_period"}]),
)
def test_ranking_equals_that_of_counting_all(
    steps: list[tuple[list[Happening], int]], limit: int, more: dict[str, Any]
) -> None:
    async def run() -> None:
        shop = Shop()
        for happenings, minutes in steps:
            shop.take(happenings)
            shop.clock.at_ms += minutes * 60_000
            query = make_question(limit, **more)
            assert await find_results(shop, query) == await find_results_by_counting(shop, query)

    asyncio.run(run())


def make_popular_first() -> list[Happening]:
    """The n-th of 300 products has 600 / n views; every second view is by another person."""
    return [
        Happening(NOON, "Product Viewed", product=f"p-{n}", person=f"u-{view // 2}")
        for n in range(1, 301)
        for view in range(600 // n)
    ]


async def test_ranking_counts_few_products() -> None:
    shop, counted = Shop(), set[tuple[str, ...]]()
    shop.take(make_popular_first())
    read = shop.store.read

    async def noted(project: str, reads: Any) -> Snapshot:
        counted.update(request.values for request in reads if isinstance(request, ReadPersons))
        return await read(project, reads)

    shop.store.read = noted  # type: ignore[method-assign]
    assert [result.total for result in await find_results(shop, make_question(3))] == [300, 150, 100]
    assert len(counted) < 30


@dataclass
class Product:
    """So many `persons` of `visits`: of an hour, added over the hours. Estimates are off by so many standard errors."""

    visits: int
    persons: int
    visits_off: float
    persons_off: float

    @property
    def bound(self) -> int:
        return max(1, round(self.visits * (1 + self.visits_off * SKETCH_ERROR)))

    @property
    def estimate(self) -> int:
        return max(0, round(self.persons * (1 + self.persons_off * SKETCH_ERROR)))


# Some are seen again and again by few, some once by many: the highest bounds say little of the most persons.
PRODUCT = st.builds(
    lambda visits, share, *off: Product(visits, max(1, round(visits * share)), *off),
    st.integers(1, 3_000), st.sampled_from([0.001, 0.05, 0.5, 0.9, 1.0]), st.floats(-4, 4), st.floats(-4, 4),
)  # fmt: skip


def make_exact(visits: int, persons: int) -> Product:
    return Product(visits, persons, 0, 0)


def rank(products: list[Product], limit: int) -> tuple[Any, list[str]]:
    """The ranking, and the products that were counted."""
    counted = list[str]()
    names = [b"p-%03d" % n for n in range(len(products))]
    standing = RankedVisitors(names, np.array([product.bound for product in products], dtype=np.int64))
    plan = replace(make_plan(make_question(limit), PROJECT, NOON), query=make_question(limit))
    assert isinstance(plan.shape, PersonsPlan)

    async def ask(reads: Sequence[Read]) -> Snapshot:
        values = [read.values[0] for read in reads if isinstance(read, ReadPersons)]
        counted.extend(values)
        answers = tuple(products[int(value[2:])].estimate for value in values)
        return Snapshot("g", {}, {}, {}, False, PROJECT, answers)

    return asyncio.run(find_greatest_products(ask, plan, plan.shape, standing)), counted


@settings(max_examples=count_examples(300), deadline=None)
@given(st.lists(PRODUCT, min_size=1, max_size=120), st.integers(1, 3))
def test_no_uncounted_product_can_pass_the_last_row(products: list[Product], limit: int) -> None:
    groups, counted = rank(products, limit)
    estimates = {f"p-{n:03}": product.estimate for n, product in enumerate(products)}
    best = sorted(counted, key=lambda name: (-estimates[name], name))[:limit]
    assert [group[1] for group in groups] == sorted((name,) for name in best)
    assert len(set(counted)) == len(counted)
    bounds = [product.bound for n, product in enumerate(products) if f"p-{n:03}" not in counted]
    assert max(bounds, default=0) <= min(estimates[name] for name in best)


def test_ranking_without_products_is_empty() -> None:
    assert rank([], 3) == ((), [])


def test_ranking_ends_as_early_as_the_bounds_allow() -> None:
    """Most products have many visits by one person; the product with many persons has fewer visits."""
    crowd = [make_exact(2_000 - n, 1) for n in range(60)]
    groups, counted = rank([*crowd, make_exact(500, 500), *(make_exact(400 - n, 400 - n) for n in range(40))], 1)
    assert [group[1] for group in groups] == [("p-060",)]
    assert 61 <= len(counted) <= 101
    groups, counted = rank([make_exact(1_000, 900), *(make_exact(800 - n, 10) for n in range(90))], 1)
    assert len(counted) == 9


async def test_read_only_server_counts_all_products() -> None:
    shop, refused = Shop(), list[Read]()
    shop.take(make_popular_first())
    read = shop.store.read

    async def without_writes(project: str, reads: Any) -> Snapshot:
        refused.extend(request for request in reads if isinstance(request, ReadPersonCounts))
        if any(isinstance(request, ReadPersonCounts) for request in reads):
            raise Unable("redis", "MISCONF")
        return await read(project, reads)

    shop.store.read = without_writes  # type: ignore[method-assign]
    assert [result.total for result in await find_results(shop, make_question(3))] == [300, 150, 100]
    assert refused


async def test_product_whose_events_are_all_hidden_is_ranked() -> None:
    shop = Shop(caps=Caps(products=500))
    shop.take(make_popular_first())
    cells = {make_field("views", f"x-{n}"): 1 for n in range(500)}
    hour = CellsKey("demo", PRODUCTS.name, BucketKind.HOUR, NOON // HOUR_MS * 60)
    hidden = Delta(moves=[], cells={hour: cells | {"views": len(cells)}})
    assert isinstance(shop.store.apply(0, "g1", hidden), Applied)
    shop.take(Happening(NOON, "Product Viewed", product="late", person=f"v-{n}") for n in range(200))
    results = await find_results(shop, make_question(3))
    assert [(result.dimensions["product_id"], result.total) for result in results] == [
        ("p-1", 300), ("late", 200), ("p-2", 150),
    ]  # fmt: skip
    assert results == await find_results_by_counting(shop, make_question(3))
