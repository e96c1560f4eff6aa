"""The most popular products of a window, joined with the catalog as it is now.   Stage 5 of 6.

The catalog enriches and never blocks: where it is away, names are null. Only a filter by category needs it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from rtaplatform.analytics.answer.engine import Engine
from rtaplatform.analytics.read.product_attributes import ProductCatalog, ProductLike
from rtaplatform.core.errors import Rejected, Unavailable
from rtaplatform.core.query import LIMIT_MAX, Popular, PopularProduct, Query, Result, TimeExpression
from rtaplatform.core.rollups import PRODUCT_ID
from rtaplatform.core.values.markers import NONE, OTHER_SHOWN, stored_value

# How far back, as a regular expression: longer than anything that is kept.
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

    async def popular(
        self, project: str, by: str, *, window: TimeExpression, limit: int, category: str | None = None
    ) -> Popular:
        """The `limit` first by `by` (a key of METRIC_OF) since `window`, of one category where it is given."""
        # Two rows more: what has no product, and what the cap hid, are no products.
        query = Query(METRIC_OF[by], start=window, breakdown=(PRODUCT_ID,), limit=min(limit + 2, LIMIT_MAX))
        if category is not None:
            query = replace(query, filters=(("product_category", (category,)),))
        answer = (await self._engine.answer(project, [query]))[0]
        rows = [r for r in answer.results if r.total and r.dimensions[PRODUCT_ID] not in (NONE, OTHER_SHOWN)]
        ids = [stored_value(row.dimensions[PRODUCT_ID]) for row in rows[:limit]]
        products = await self._known(project, ids)
        results = [_shown(id, row, products.get(id)) for id, row in zip(ids, rows, strict=False)]
        return Popular(by, answer.start, answer.end, results, answer.meta)

    async def _known(self, project: str, ids: Sequence[str]) -> Mapping[str, ProductLike]:
        try:
            return await self._catalog.some(project, ids)
        except (Unavailable, Rejected):
            return {}


def _shown(product_id: str, row: Result, product: ProductLike | None) -> PopularProduct:
    value = row.total or 0
    if product is None:
        return PopularProduct(product_id, value)
    price = None if product.price is None else float(product.price)
    return PopularProduct(product_id, value, product.name, price, product.currency, product.category, product.image_url)
