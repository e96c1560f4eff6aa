"""Category and brand of products, joined to `product_id` when an answer is computed.   Stage 5 of 6, pure.

Unknown products and those without the attribute have the empty value, shown as `(none)`. Products without a seat in a
full bucket stay `(other)`, because nobody knows which products they are. `ProductCatalog` is the port to the catalog.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, Protocol

from rtaplatform.core.rollups import OTHER
from rtaplatform.core.values.dimensions import as_dimension


class ProductLike(Protocol):
    """The fields of a product that answers show or join."""

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
    """A project's products. `version` changes with each joined attribute; no two tables share one."""

    @property
    def version(self) -> int: ...
    @property
    def by_id(self) -> Mapping[str, ProductLike]: ...
    def list_changed_since(self, version: int) -> Collection[str] | None:
        """Products whose joined attributes may have changed since that version; None if that is unknown."""
        ...


class ProductCatalog(Protocol):
    async def find_table(self, project: str) -> ProductTable:
        """Raises `Unavailable` if the project's products are not loaded, `Rejected` if they are too many."""
        ...

    async def find_products(self, project: str, ids: Collection[str]) -> Mapping[str, ProductLike]:
        """At least the existing ones of `ids`, however many products the project has; raises `Unavailable`."""
        ...


def list_attributes(table: ProductTable, product_id: str, names: Sequence[str]) -> list[str]:
    """The values of these attributes, as a rollup would store them."""
    return [list_attribute_values(table, [product_id], name)[0] for name in names]


def list_attribute_values(table: ProductTable, product_ids: Sequence[str], name: str) -> list[str]:
    """One attribute of each product."""
    read_attribute = _CATEGORY if name == "product_category" else _BRAND
    products = map(table.by_id.get, product_ids)
    values = ["" if product is None else _as_stored(read_attribute(product)) for product in products]
    for index in [index for index, product_id in enumerate(product_ids) if product_id == OTHER]:
        values[index] = OTHER
    return values


_CATEGORY, _BRAND = attrgetter("category"), attrgetter("brand")


@lru_cache(maxsize=16_384)
def _as_stored(text: str | None) -> str:
    return as_dimension(text)
