"""The products of one project, and the recent changes of them.   Used by `product_tables.py` only.

Joining 100,000 products takes long, so the reader needs to know which ones changed since its last join. At most
CHANGES_MAX changes are remembered.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Collection, Iterable, Mapping

from msgspec import Struct

CHANGES_MAX = 20_000
COMPARED_AT_ONCE = 5_000  # products; takes some milliseconds, after which other tasks may run

_versions = itertools.count(1)


class Product(Struct, frozen=True, gc=False):
    """The attributes of a product that are shown and joined. `gc=False`: the collector would visit every one."""

    name: str | None
    category: str | None
    brand: str | None
    price: float | None
    currency: str | None
    image_url: str | None


class ProjectProductTable:
    """Changed in place. `version` changes with the joined attributes (category, brand). No two tables share one."""

    def __init__(self, by_id: dict[str, Product]) -> None:
        self.by_id, self.version = by_id, next(_versions)
        self._oldest = self.version  # the changes since this version are remembered
        self._changes: deque[tuple[int, list[str]]] = deque()
        self._size = 0

    def list_changed_since(self, version: int) -> Collection[str] | None:
        """The products whose joined attributes may differ from that version. None if it is too old to know."""
        if not self._oldest <= version <= self.version:
            return None
        return {id for changed_at, ids in self._changes if changed_at > version for id in ids}

    def update(self, ids: Iterable[str], products: Mapping[str, Product]) -> None:
        """Store the products that were read for `ids`. An id without a product was deleted."""
        changed_ids = []
        for id in ids:
            before, after = self.by_id.get(id), products.get(id)
            if _join_attributes(before) != _join_attributes(after):
                changed_ids.append(id)
            if after is None:
                self.by_id.pop(id, None)
            else:
                self.by_id[id] = after
        self._note_changes(changed_ids)

    async def replace(self, by_id: dict[str, Product]) -> None:
        """Replace all products. Other tasks run during the comparison, and see the products from before."""
        changed_ids = list[str]()
        for ids in (iter(list(self.by_id)), iter(list(by_id))):
            while portion := list(itertools.islice(ids, COMPARED_AT_ONCE)):
                changed_ids += [
                    id for id in portion if _join_attributes(self.by_id.get(id)) != _join_attributes(by_id.get(id))
                ]
                await asyncio.sleep(0)
        self.by_id = by_id
        self._note_changes(list(dict.fromkeys(changed_ids)))

    def _note_changes(self, changed_ids: list[str]) -> None:
        if not changed_ids:
            return
        self.version = next(_versions)
        self._changes.append((self.version, changed_ids))
        self._size += len(changed_ids)
        while self._size > CHANGES_MAX:
            self._oldest, ids = self._changes.popleft()
            self._size -= len(ids)


def _join_attributes(product: Product | None) -> tuple[str | None, str | None] | None:
    return None if product is None else (product.category, product.brand)
