"""A catalog in memory, for tests that join products."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from msgspec import Struct

from rtaplatform.core.errors import Unavailable


class Product(Struct, frozen=True):
    name: str | None
    category: str | None
    price: float | None = 9.5
    currency: str | None = "EUR"
    image_url: str | None = None
    brand: str | None = None


class Table:
    def __init__(self, products: Mapping[str, Product]) -> None:
        self.by_id, self.version = dict(products), 1
        self.changed = [""]

    def put(self, id: str, product: Product) -> None:
        self.by_id[id] = product
        self.version += 1
        self.changed.append(id)

    def list_changed_since(self, version: int) -> Collection[str] | None:
        return set(self.changed[version:])


class Catalog:
    """`products` None: PostgreSQL is unavailable, and no product is known."""

    def __init__(self, products: Mapping[str, Product] | None) -> None:
        self.table = None if products is None else Table(products)

    async def find_table(self, project: str) -> Table:
        if self.table is None:
            raise Unavailable("postgres", "away")
        return self.table

    async def find_products(self, project: str, ids: Collection[str]) -> Mapping[str, Product]:
        return (await self.find_table(project)).by_id
