"""Trending products, compared with a recount that weights each event by the age of its bucket."""

from __future__ import annotations

import math
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from rtaplatform.analytics.answer.trending import NOT_COMPARED, TrendingProducts, choose_interval
from rtaplatform.analytics.plan.decay import ONE, compute_weights
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.query import Trending
from tests.examples import count_examples
from tests.unit.analytics.catalog import Catalog, Product
from tests.unit.analytics.shop import NOON, PROJECT, Happening, Shop, make_memory_store

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
SHOES = {"p-1": Product("Shoe", "shoes"), "p-2": Product("Hat", "hats"), "p-3": Product("Boot", "shoes")}


def make_views(product: str, at_ms: int, many: int = 1) -> list[Happening]:
    return [Happening(at_ms, "Product Viewed", product=product)] * many


async def find_trending(shop: Shop, window_ms: int = DAY, limit: int = 20, **more: Any) -> Trending:
    products = TrendingProducts(shop.engine, Catalog(SHOES))
    return await products.find_trending("demo", more.pop("by", "views"), window_ms=window_ms, limit=limit, **more)


async def test_what_is_recent_comes_before_what_was_more() -> None:
    shop = Shop()
    shop.take([*make_views("p-1", NOON - 20 * HOUR, 10), *make_views("p-2", NOON, 5)])
    trending = await find_trending(shop)
    assert [(p.product_id, p.value, p.name) for p in trending.results] == [("p-2", 5, "Hat"), ("p-1", 10, "Shoe")]
    assert trending.half_life_seconds == 6 * 3600
    assert trending.results[0].score > trending.results[1].score


async def test_an_event_of_one_half_life_ago_counts_half() -> None:
    shop = Shop()
    shop.take([*make_views("p-1", NOON, 8), *make_views("p-2", NOON - 15 * MINUTE, 8)])
    now, before = (await find_trending(shop, HOUR)).results
    assert math.isclose(now.score, 2 * before.score, rel_tol=1e-3)
    assert math.isclose(now.score, 8 * 0.5 ** (0.5 / 15), rel_tol=1e-3)


async def test_each_is_compared_with_the_period_before() -> None:
    shop = Shop()
    shop.take([*make_views("p-1", NOON, 31), *make_views("p-1", NOON - 26 * HOUR, 10), *make_views("p-2", NOON)])
    first, second = (await find_trending(shop)).results
    assert (first.product_id, first.previous, first.change) == ("p-1", 10, 2.1)
    assert (second.product_id, second.previous, second.change) == ("p-2", 0, None)


async def test_what_has_only_a_period_before_is_not_trending() -> None:
    shop = Shop()
    shop.take(make_views("p-1", NOON - 26 * HOUR, 10))
    assert (await find_trending(shop)).results == []


async def test_one_category() -> None:
    catalog = Catalog(SHOES)
    shop = Shop(catalog=catalog)
    shop.take([*make_views("p-1", NOON), *make_views("p-2", NOON, 3), *make_views("p-3", NOON, 2)])
    trending = await find_trending(shop, category="shoes")
    assert [p.product_id for p in trending.results] == ["p-3", "p-1"]


async def test_by_money_it_is_in_currency_units() -> None:
    shop = Shop()
    shop.take([Happening(NOON, "Order Completed", product="p-1", revenue=125_001)])
    row = (await find_trending(shop, HOUR, by="revenue")).results[0]
    assert row.value == 12.5001
    assert math.isclose(row.score, 12.5001 * 0.5 ** (0.5 / 15), abs_tol=1e-3)


async def test_in_zones_whose_hours_move_there_is_a_trend_without_comparison() -> None:
    """Lord Howe changes its clocks by half an hour: the hours before the change are not those after it."""
    project = ProjectSettings("demo", "Australia/Lord_Howe", "AUD")
    shop = Shop(project, store=make_memory_store(project))
    shop.clock.at_ms = _parse_ms("2026-10-05T03:10:00+11:00")
    shop.take(make_views("p-1", shop.clock.at_ms, 3))
    trending = await find_trending(shop)
    assert [(p.product_id, p.value, p.previous, p.change) for p in trending.results] == [("p-1", 3, None, None)]
    assert trending.previous_from is UNSET
    assert trending.meta.reasons is not UNSET
    assert NOT_COMPARED in trending.meta.reasons


@pytest.mark.parametrize(
    ("window_ms", "interval"),
    [(HOUR, "minute"), (6 * HOUR, "minute"), (7 * HOUR, "hour"), (DAY, "hour"), (15 * DAY, "hour"), (16 * DAY, "day")],
)
def test_points_are_short_beside_the_half_life(window_ms: int, interval: str) -> None:
    assert choose_interval(window_ms) == interval


def test_weights_are_whole_and_halve_with_each_half_life() -> None:
    weights = compute_weights(range(0, 100, 10), 100, 10)
    assert all(abs(older * 2 - newer) <= 1 for older, newer in pairwise(weights))
    assert weights[-1] == round(ONE * 0.5**0.5)
    assert compute_weights([0], 1, 10**9) == [ONE]
    assert compute_weights([0, 1], 10**6, 1)[0] == 0


EVENTS = st.lists(
    st.tuples(st.sampled_from(("p-1", "p-2", "p-3", "p-4", "p-5")), st.integers(NOON - 40 * HOUR, NOON + 4 * MINUTE)),
    max_size=60,
)


@settings(max_examples=count_examples(40), deadline=None)
@given(events=EVENTS, window=st.sampled_from((20 * MINUTE, 3 * HOUR, 7 * HOUR, DAY)), limit=st.sampled_from((1, 3, 20)))
async def test_the_order_is_that_of_a_recount(events: list[tuple[str, int]], window: int, limit: int) -> None:
    shop = Shop(PROJECT)
    shop.take(view for product, at_ms in events for view in make_views(product, at_ms))
    trending = await find_trending(shop, window, limit)
    first, last = _parse_ms(trending.start), _parse_ms(trending.end)
    size = MINUTE if window <= 6 * HOUR else HOUR
    scores: dict[str, float] = {}
    for product, at_ms in events:
        if first <= at_ms < last:
            low = at_ms // size * size
            age = last - (low + min(low + size, last)) / 2
            scores[product] = scores.get(product, 0) + 2 ** (-age / (window / 4))
    shown = {p.product_id: p.score for p in trending.results}
    assert len(shown) == min(limit, len(scores))
    assert all(math.isclose(shown[id], scores[id], abs_tol=1e-3) for id in shown)
    least = min(shown.values(), default=0.0)
    assert all(score <= least + 1e-3 for id, score in scores.items() if id not in shown)
    assert list(shown.values()) == sorted(shown.values(), reverse=True)
    for p in trending.results:
        assert p.value == sum(product == p.product_id and first <= at < last for product, at in events)
        low, high = _parse_ms(str(trending.previous_from)), _parse_ms(str(trending.previous_to))
        assert p.previous == sum(product == p.product_id and low <= at < high for product, at in events)


def _parse_ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)
