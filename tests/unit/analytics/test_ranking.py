"""The products with the most persons are found as if each one had been counted, by counting few of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtaplatform.analytics import engine, windows
from rtaplatform.analytics.engine import Engine
from rtaplatform.analytics.freshness import FreshnessTracker
from rtaplatform.analytics.parse import parse_object
from rtaplatform.analytics.plan import PersonsPlan, plan
from rtaplatform.analytics.ranking import MEASURES, greatest_products
from rtaplatform.analytics.running import Window
from rtaplatform.core.buckets import Kind
from rtaplatform.core.query import SKETCH_ERROR, Result
from rtaplatform.core.rollups import FIELDS_PER_BUCKET_MAX, OTHER, PRODUCTS, field
from rtaplatform.store.port import Applied, CellsKey, Delta, Persons, Read, Snapshot
from tests.unit.analytics.shop import NOON, PROJECT, Happening, Shop

HOUR_MS = 3_600_000
VISIT = st.builds(
    lambda hours, event, product, person, bot: Happening(
        NOON - hours * HOUR_MS, event, product=f"p-{product:02}", person=f"u-{person}", is_bot=bot
    ),
    st.integers(0, 5), st.sampled_from(["Product Viewed", "Product Added", "Order Completed"]),
    st.integers(0, 30), st.integers(0, 12), st.booleans(),
)  # fmt: skip


def question(limit: int, **more: Any) -> Any:
    return parse_object({"metric": "visitors", "from": "-6h", "breakdown": ["product_id"], "limit": limit, **more})


async def results(shop: Shop, asked: Any) -> list[Result]:
    return (await shop.engine.answer("demo", [asked]))[0].results


async def by_counting_all(shop: Shop, asked: Any) -> list[Result]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (engine, windows):
            patch.setattr(module, "is_bounded", lambda _plan: False)
        return (await Engine(shop.reader, FreshnessTracker(), shop.clock).answer("demo", [asked]))[0].results


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.lists(VISIT, max_size=60), st.integers(0, 120)), min_size=1, max_size=4),
    st.integers(1, 12),
    st.sampled_from([{}, {"interval": "hour"}, {"compare": "previous_period"}]),
)
def test_the_greatest_are_those_of_counting_all(
    steps: list[tuple[list[Happening], int]], limit: int, more: dict[str, Any]
) -> None:
    async def run() -> None:
        shop = Shop()
        for happenings, minutes in steps:
            shop.take(happenings)
            shop.clock.at_ms += minutes * 60_000
            asked = question(limit, **more)
            assert await results(shop, asked) == await by_counting_all(shop, asked)

    asyncio.run(run())


def popular_first() -> list[Happening]:
    """The n-th of 300 products has 600 / n views, each second one by another person."""
    return [
        Happening(NOON, "Product Viewed", product=f"p-{n}", person=f"u-{view // 2}")
        for n in range(1, 301)
        for view in range(600 // n)
    ]


async def test_few_are_counted() -> None:
    shop, counted = Shop(), set[tuple[str, ...]]()
    shop.take(popular_first())
    read = shop.store.read

    async def noted(project: str, asked: Any) -> Snapshot:
        counted.update(each.values for each in asked if isinstance(each, Persons))
        return await read(project, asked)

    shop.store.read = noted  # type: ignore[method-assign]
    assert [result.total for result in await results(shop, question(3))] == [300, 150, 100]
    assert len(counted) < 30


@dataclass
class Product:
    """`events` of so many `persons`, whose estimate is off by `errors` standard errors."""

    events: int
    persons: int
    errors: float

    @property
    def estimate(self) -> int:
        return max(0, round(self.persons * (1 + self.errors * SKETCH_ERROR)))


# Some are seen often by few, some rarely by many: the most events say little of the most persons.
PRODUCT = st.builds(
    lambda events, share, errors: Product(events, max(1, round(events * share)), errors),
    st.integers(1, 3_000), st.sampled_from([0.001, 0.05, 0.5, 0.9, 1.0]), st.floats(-4, 4),
)  # fmt: skip


def ranked(products: list[Product], limit: int, hidden: int = 0) -> tuple[Any, list[str]]:
    """What is found, and which products were counted."""
    window, counted = Window(MEASURES, with_bots=False), list[str]()
    window.sums = {f"p-{n:03}": product.events for n, product in enumerate(products)}
    if hidden:
        window.sums[OTHER] = hidden
    asked = plan(question(limit), PROJECT, NOON)
    assert isinstance(asked.shape, PersonsPlan)

    async def ask(reads: Sequence[Read]) -> Snapshot:
        values = [read.values[0] for read in reads if isinstance(read, Persons)]
        counted.extend(values)
        answers = tuple(products[int(value[2:])].estimate for value in values)
        return Snapshot("g", {}, {}, {}, False, PROJECT, answers)

    return asyncio.run(greatest_products(ask, asked, asked.shape, window)), counted


@settings(max_examples=300, deadline=None)
@given(st.lists(PRODUCT, min_size=1, max_size=120), st.integers(1, 3))
def test_no_product_that_is_not_counted_is_among_the_greatest(products: list[Product], limit: int) -> None:
    found, counted = ranked(products, limit)
    best = sorted(range(len(products)), key=lambda n: (-products[n].estimate, n))[:limit]
    assert [group[1] for group in found] == sorted((f"p-{n:03}",) for n in best)
    assert len(set(counted)) == len(counted)


def test_the_early_end_is_as_early_as_the_bound_allows_and_no_earlier() -> None:
    """Nine of ten products' events are of one person each; the tenth of many has fewer events than all of those."""
    crowd = [Product(2_000 - n, 1, 0) for n in range(60)]
    found, counted = ranked([*crowd, Product(500, 500, 0), *(Product(400 - n, 400 - n, 0) for n in range(40))], 1)
    assert [group[1] for group in found] == [("p-060",)]
    assert 61 <= len(counted) <= 101
    found, counted = ranked([Product(1_000, 900, 0), *(Product(800 - n, 10, 0) for n in range(90))], 1)
    assert len(counted) == 9


def test_hidden_events_may_be_anyones() -> None:
    products = [Product(1_000, 900, 0), *(Product(800 - 9 * n, 10, 0) for n in range(80))]
    assert len(ranked(products, 1, hidden=300)[1]) > len(ranked(products, 1)[1])
    assert ranked(products, 1, hidden=300)[0] is not None
    assert ranked(products, 1, hidden=900)[0] is None, "one that is not in the list may have more"


async def test_where_the_cap_has_hidden_all_of_a_product_it_is_found_all_the_same() -> None:
    shop = Shop()
    shop.take(popular_first())
    cells = {field("views", f"x-{n}"): 1 for n in range(FIELDS_PER_BUCKET_MAX)}
    hour = CellsKey("demo", PRODUCTS.name, Kind.HOUR, NOON // HOUR_MS * 60)
    hidden = Delta(moves=[], cells={hour: cells | {"views": len(cells)}})
    assert isinstance(shop.store.apply(0, "g1", hidden), Applied)
    shop.take(Happening(NOON, "Product Viewed", product="late", person=f"v-{n}") for n in range(200))
    found = await results(shop, question(3))
    assert [(result.dimensions["product_id"], result.total) for result in found] == [
        ("p-1", 300), ("late", 200), ("p-2", 150),
    ]  # fmt: skip
    assert found == await by_counting_all(shop, question(3))
