"""The products with the most persons are found as if each one had been counted, by counting few of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtaplatform.analytics import engine, windows
from rtaplatform.analytics.engine import Engine
from rtaplatform.analytics.freshness import FreshnessTracker
from rtaplatform.analytics.parse import parse_object
from rtaplatform.core.buckets import Kind
from rtaplatform.core.query import Result
from rtaplatform.core.rollups import FIELDS_PER_BUCKET_MAX, PRODUCTS, field
from rtaplatform.store.port import Applied, CellsKey, Delta, Persons, Snapshot
from tests.unit.analytics.shop import NOON, Happening, Shop

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


async def test_where_the_cap_has_hidden_events_each_product_is_counted() -> None:
    """Those of a product in `(other)` bound nothing."""
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
