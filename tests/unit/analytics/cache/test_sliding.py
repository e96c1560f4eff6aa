"""A window that slides over new products keeps no more than its buckets hold."""

from __future__ import annotations

import pytest

from rtaplatform.analytics.ask.parse import parse_object
from rtaplatform.analytics.cache import number_columns, united_sketches
from rtaplatform.analytics.cache.window_cache import WindowCache
from rtaplatform.analytics.cache.window_caches import WindowCaches
from rtaplatform.core.query import Query
from tests.unit.analytics.catalog import Catalog
from tests.unit.analytics.shop import Happening, Shop

MINUTE_MS = 60_000
MINUTES = 160
QUESTIONS = {
    "running": {"metric": "product_views", "breakdown": ["product_id"]},
    "joined": {"metric": "product_views", "breakdown": ["product_category"]},
    "grouped": {"metric": "product_views", "breakdown": ["product_id"], "interval": "minute", "limit": 10},
    "bounds": {"metric": "visitors", "breakdown": ["product_id"]},
}


@pytest.fixture(autouse=True)
def _few_forgotten_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower limits, so that a few hours of minutes are enough."""
    monkeypatch.setattr(number_columns, "UNUSED_NAMES_MAX", 64)
    monkeypatch.setattr(united_sketches, "VALUES_SPARE", 64)


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS.keys())
async def test_sliding_window_forgets_products_that_have_left_it(question: dict[str, object]) -> None:
    shop = Shop(catalog=Catalog({}))
    query = parse_object({"from": "-1h", **question})
    sizes: list[int] = []
    for minute in range(MINUTES):
        shop.clock.at_ms += MINUTE_MS
        shop.take(Happening(shop.clock.at_ms, "Product Viewed", product=f"p-{minute}-{n}") for n in range(5))
        answer = (await shop.engine.answer("demo", [query]))[0]
        assert sum(int(result.total or 0) for result in answer.results) > 0
        sizes.append(find_window(shop, query).size)
    assert max(sizes[-30:]) <= 1.5 * max(sizes[60:100])


async def test_sliding_window_forgets_sketches_that_have_left_it() -> None:
    """The buckets are hours, each with new products."""
    shop = Shop(catalog=Catalog({}))
    query = parse_object({"metric": "visitors", "from": "-3h", "breakdown": ["product_category"]})
    sizes: list[int] = []
    for hour in range(40):
        shop.clock.at_ms += 60 * MINUTE_MS
        shop.take(Happening(shop.clock.at_ms, "Product Viewed", product=f"p-{hour}-{n}") for n in range(30))
        assert [result.total for result in (await shop.engine.answer("demo", [query]))[0].results] == [1]
        sizes.append(find_window(shop, query).size)
    assert max(sizes[-20:]) <= 1.1 * max(sizes[5:20])


def find_window(shop: Shop, query: Query) -> WindowCache:
    windows: WindowCaches = shop.engine._windows
    (window,) = [*windows._sliding_windows.values(), *windows._fixed_windows.values()]
    return window
