"""The most popular products of a window, joined with the catalog as it is now.   Stage 5 of 6.

If the catalog is unavailable, names are null. Only a filter by category requires it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from rtaplatform.analytics.answer.engine import Engine
from rtaplatform.analytics.read.product_attributes import ProductCatalog, ProductLike
from rtaplatform.core.errors import Rejected, Unavailable
from rtaplatform.core.query import LIMIT_MAX, Answer, Number, Popular, PopularProduct, Query, Result, TimeExpression
from rtaplatform.core.rollups import PRODUCT_ID
from rtaplatform.core.values.markers import NONE, OTHER_SHOWN, to_stored_value

# How far back, as a regular expression. It allows longer windows than are kept.
WINDOW = "^([1-9][0-9]{0,5}m|[1-9][0-9]{0,3}h|[1-9][0-9]{0,2}d|[1-9][0-9]?w)$"
METRIC_OF = {
    "views": "product_views",
    "adds_to_cart": "adds_to_cart",
    "orders": "orders",
    "units": "units",
    "revenue": "revenue",
    "visitors": "visitors",
}


class PopularProducts:
    def __init__(self, engine: Engine, catalog: ProductCatalog) -> None:
        self._engine, self._catalog = engine, catalog

    async def find_popular(
        self, project: str, by: str, *, window: TimeExpression, limit: int, category: str | None = None
    ) -> Popular:
        """The first `limit` products by `by` (a key of METRIC_OF) since `window`, of one category if it is given."""
        answer = (await self._engine.answer(project, [make_product_query(by, window, limit, category)]))[0]
        rows = list_product_rows(answer, limit)
        products = await find_products(self._catalog, project, [id for id, _ in rows])
        results = [PopularProduct(id, row.total or 0, *read_catalog_fields(products.get(id))) for id, row in rows]
        return Popular(by, answer.start, answer.end, results, answer.meta)


def make_product_query(by: str, start: TimeExpression, limit: int, category: str | None, **more: Any) -> Query:
    # Two rows more: `(none)` and `(other)` are no products.
    query = Query(METRIC_OF[by], start=start, breakdown=(PRODUCT_ID,), limit=min(limit + 2, LIMIT_MAX), **more)
    return query if category is None else replace(query, filters=(("product_category", (category,)),))


def list_product_rows(answer: Answer, limit: int) -> list[tuple[str, Result]]:
    """The ids and rows of the first `limit` products."""
    rows = [row for row in answer.results if row.total and row.dimensions[PRODUCT_ID] not in (NONE, OTHER_SHOWN)]
    return [(to_stored_value(row.dimensions[PRODUCT_ID]), row) for row in rows[:limit]]


async def find_products(catalog: ProductCatalog, project: str, ids: Sequence[str]) -> Mapping[str, ProductLike]:
    """Those of these products that the catalog has; none if it is unavailable."""
    try:
        return await catalog.find_products(project, ids)
    except (Unavailable, Rejected):
        return {}


def read_catalog_fields(
    product: ProductLike | None,
) -> tuple[str | None, Number | None, str | None, str | None, str | None]:
    """Name, price, currency, category and image of a product; all None if it is unknown."""
    if product is None:
        return None, None, None, None, None
    price = None if product.price is None else float(product.price)
    return product.name, price, product.currency, product.category, product.image_url
