"""Popular products, with their fields of the catalog."""

from __future__ import annotations

import pytest

from rtaplatform.analytics.answer.popular import PopularProducts
from rtaplatform.core.errors import Unavailable
from rtaplatform.core.query import DAY_AGO, Popular
from tests.unit.analytics.catalog import Catalog, Product
from tests.unit.analytics.shop import NOON, Happening, Shop

SHOES = {"p-1": Product("Shoe", "shoes"), "p-2": Product("Hat", "hats"), "p-9": Product("Boot", "shoes")}


async def find_popular(
    catalog: dict[str, Product] | None, by: str = "views", limit: int = 20, category: str | None = None
) -> Popular:
    table = Catalog(catalog)
    shop = Shop(catalog=table)
    for number, product in enumerate(("p-9", "p-1", "p-2", "p-3")):
        shop.take(Happening(NOON, "Product Viewed", product=product, person=f"{n % 2}") for n in range(number + 1))
    popular = PopularProducts(shop.engine, table)
    return await popular.find_popular("demo", by, window=DAY_AGO, limit=limit, category=category)


async def test_popular_products_have_their_catalog_fields() -> None:
    popular = await find_popular(SHOES, limit=2)
    assert [(p.product_id, p.value, p.name, p.price) for p in popular.results] == [
        ("p-3", 4, None, None),
        ("p-2", 3, "Hat", 9.5),
    ]
    assert (popular.by, popular.start) == ("views", "2026-11-21T12:00:00+01:00")


async def test_unavailable_catalog_leaves_the_names_out() -> None:
    popular = await find_popular(None)
    assert [(p.product_id, p.name) for p in popular.results][:2] == [("p-3", None), ("p-2", None)]


async def test_one_category() -> None:
    popular = await find_popular(SHOES, category="shoes")
    assert [p.product_id for p in popular.results] == ["p-1", "p-9"]


async def test_one_category_by_persons() -> None:
    popular = await find_popular(SHOES, by="visitors", category="shoes")
    assert [(p.product_id, p.value) for p in popular.results] == [("p-1", 2), ("p-9", 1)]


async def test_products_without_a_category() -> None:
    popular = await find_popular(SHOES, category="(none)")
    assert [p.product_id for p in popular.results] == ["p-3"]


async def test_filter_by_category_needs_the_catalog() -> None:
    with pytest.raises(Unavailable):
        await find_popular(None, category="shoes")


async def test_by_persons() -> None:
    popular = await find_popular(SHOES, by="visitors")
    assert [(p.product_id, p.value) for p in popular.results] == [("p-1", 2), ("p-2", 2), ("p-3", 2), ("p-9", 1)]
    assert not popular.meta.exact
