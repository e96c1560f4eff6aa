"""The most popular products of a window, joined with the catalog as it is now.   Stage 5 of 6.

The catalog enriches and never blocks: where it is away, names are null. Only a filter by category needs it.
Limits: at most CANDIDATES_MAX products are looked up for a category.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from rtaplatform.analytics.engine import Engine
from rtaplatform.core.errors import Unavailable
from rtaplatform.core.query import LIMIT_MAX, NONE, OTHER_SHOWN, Moment, Popular, PopularProduct, Query, Result

METRIC_OF = {
    "views": "product_views",
    "adds_to_cart": "adds_to_cart",
    "orders": "orders",
    "units": "units",
    "revenue": "revenue",
    "visitors": "visitors",
}
CANDIDATES_MAX = LIMIT_MAX
PERSONS_CANDIDATES_MAX = 300  # sketches cost more to unite than numbers to add
LOOKED_UP_AT_ONCE = 200


class ProductLike(Protocol):
    """What is shown of a product of the catalog."""

    @property
    def name(self) -> str | None: ...
    @property
    def price(self) -> Any: ...
    @property
    def currency(self) -> str | None: ...
    @property
    def category(self) -> str | None: ...
    @property
    def image_url(self) -> str | None: ...


class ProductCatalog(Protocol):
    async def products_by_id(self, project: str, ids: Sequence[str]) -> Mapping[str, ProductLike]:
        """Those that exist, of at most LOOKED_UP_AT_ONCE ids. Raises `Unavailable`."""
        ...


class PopularProducts:
    def __init__(self, engine: Engine, catalog: ProductCatalog) -> None:
        self._engine, self._catalog = engine, catalog

    async def popular(
        self, project: str, by: str, *, window: Moment, limit: int, category: str | None = None
    ) -> Popular:
        """The `limit` first by `by` (a key of METRIC_OF) since `window`, of one category where it is given."""
        many = PERSONS_CANDIDATES_MAX if by == "visitors" else CANDIDATES_MAX
        candidates = max(limit, many) if category is not None else min(limit + 2, LIMIT_MAX)
        query = Query(METRIC_OF[by], start=window, breakdown=("product_id",), limit=candidates)
        answer = (await self._engine.answer(project, [query]))[0]
        rows = [r for r in answer.results if r.total and r.dimensions["product_id"] not in (NONE, OTHER_SHOWN)]
        if category is None:
            results = await self._named(project, rows[:limit])
        else:
            results = await self._of_category(project, rows, category, limit)
        return Popular(by, answer.start, answer.end, results, answer.meta)

    async def _named(self, project: str, rows: Sequence[Result]) -> list[PopularProduct]:
        found: dict[str, ProductLike] = {}
        try:
            for portion in _portions(rows):
                found |= await self._catalog.products_by_id(project, _ids(portion))
        except Unavailable:
            pass
        return [_shown(row, found.get(row.dimensions["product_id"])) for row in rows]

    async def _of_category(
        self, project: str, rows: Sequence[Result], category: str, limit: int
    ) -> list[PopularProduct]:
        results: list[PopularProduct] = []
        for portion in _portions(rows):
            found = await self._catalog.products_by_id(project, _ids(portion))
            shown = [_shown(row, found.get(row.dimensions["product_id"])) for row in portion]
            results += [product for product in shown if product.category == category]
            if len(results) >= limit:
                break
        return results[:limit]


def _portions(rows: Sequence[Result]) -> list[Sequence[Result]]:
    return [rows[at : at + LOOKED_UP_AT_ONCE] for at in range(0, len(rows), LOOKED_UP_AT_ONCE)]


def _ids(rows: Sequence[Result]) -> list[str]:
    return [row.dimensions["product_id"] for row in rows]


def _shown(row: Result, product: ProductLike | None) -> PopularProduct:
    product_id, value = row.dimensions["product_id"], row.total or 0
    if product is None:
        return PopularProduct(product_id, value)
    price = None if product.price is None else float(product.price)
    return PopularProduct(product_id, value, product.name, price, product.currency, product.category, product.image_url)
