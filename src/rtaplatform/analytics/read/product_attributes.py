"""What the catalog says of products, joined to `product_id` when an answer is read.   Stage 5 of 6, pure.

Unknown products and those without the attribute have the empty value, shown as `(none)`; what has no seat in a full
bucket stays `(other)`, since nobody knows which products it was. The catalog is the port `ProductCatalog`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, Protocol

from rtaplatform.core.rollups import OTHER
from rtaplatform.core.values.dimensions import dimension


class ProductLike(Protocol):
    """What is shown of a product of the catalog, and joined."""

    @property
    def name(self) -> str | None: ...
    @property
    def category(self) -> str | None: ...
    @property
    def brand(self) -> str | None: ...
    @property
    def price(self) -> Any: ...
    @property
    def currency(self) -> str | None: ...
    @property
    def image_url(self) -> str | None: ...


class ProductTable(Protocol):
    """A project's products. `version` changes whenever what is joined of them does, and is no other table's."""

    @property
    def version(self) -> int: ...
    @property
    def by_id(self) -> Mapping[str, ProductLike]: ...
    def changed_since(self, version: int) -> Collection[str] | None:
        """Products that may be joined otherwise than at that version; None: nobody knows which."""
        ...


class ProductCatalog(Protocol):
    async def products(self, project: str) -> ProductTable:
        """Raises `Unavailable` where nothing is known of the project's products, `Rejected` where they are too many."""
        ...

    async def some(self, project: str, ids: Collection[str]) -> Mapping[str, ProductLike]:
        """At least those of `ids` that there are, however many the project has; raises `Unavailable`."""
        ...


def attributes_of(table: ProductTable, product_id: str, names: Sequence[str]) -> list[str]:
    """The values of these attributes, as a rollup would have stored them."""
    return [attribute_of(table, [product_id], name)[0] for name in names]


def attribute_of(table: ProductTable, product_ids: Sequence[str], name: str) -> list[str]:
    """An attribute of each of these products."""
    read = _CATEGORY if name == "product_category" else _BRAND
    found = map(table.by_id.get, product_ids)
    values = ["" if product is None else _stored(read(product)) for product in found]
    for at in [at for at, product_id in enumerate(product_ids) if product_id == OTHER]:
        values[at] = OTHER
    return values


_CATEGORY, _BRAND = attrgetter("category"), attrgetter("brand")


@lru_cache(maxsize=16_384)
def _stored(text: str | None) -> str:
    return dimension(text)
