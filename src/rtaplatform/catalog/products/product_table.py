"""The products of one project, and which of them have changed lately.   For `product_tables.py` alone.

Joining 100,000 products takes long, so whoever joins wants to know which ones are to be joined anew. Bounded: of more
than CHANGES_MAX changes nothing is told.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Collection, Iterable, Mapping

from msgspec import Struct

CHANGES_MAX = 20_000
COMPARED_AT_ONCE = 5_000  # products, between which others go on: some milliseconds

_versions = itertools.count(1)


class Product(Struct, frozen=True, gc=False):
    """What is shown of a product, and joined. Not the garbage collector's: it would look at each of so many."""

    name: str | None
    category: str | None
    brand: str | None
    price: float | None
    currency: str | None
    image_url: str | None


class ProjectProductTable:
    """Changed in place. `version` changes with what is joined, category and brand, and is no other table's."""

    def __init__(self, by_id: dict[str, Product]) -> None:
        self.by_id, self.version = by_id, next(_versions)
        self._first = self.version  # changes since then are known
        self._changes: deque[tuple[int, list[str]]] = deque()
        self._size = 0

    def changed_since(self, version: int) -> Collection[str] | None:
        """Products that may be joined otherwise than at that version; None: nobody knows which."""
        if not self._first <= version <= self.version:
            return None
        return {id for at, ids in self._changes if at > version for id in ids}

    def put(self, ids: Iterable[str], found: Mapping[str, Product]) -> None:
        """Those of `ids` that were found; the others are gone."""
        changed = []
        for id in ids:
            before, after = self.by_id.get(id), found.get(id)
            if _joined(before) != _joined(after):
                changed.append(id)
            if after is None:
                self.by_id.pop(id, None)
            else:
                self.by_id[id] = after
        self._note(changed)

    async def replace(self, by_id: dict[str, Product]) -> None:
        """Everything has been read anew. Others go on while it is compared, and see what was there before."""
        changed = list[str]()
        for ids in (iter(list(self.by_id)), iter(list(by_id))):
            while portion := list(itertools.islice(ids, COMPARED_AT_ONCE)):
                changed += [id for id in portion if _joined(self.by_id.get(id)) != _joined(by_id.get(id))]
                await asyncio.sleep(0)
        self.by_id = by_id
        self._note(list(dict.fromkeys(changed)))

    def _note(self, changed: list[str]) -> None:
        if not changed:
            return
        self.version = next(_versions)
        self._changes.append((self.version, changed))
        self._size += len(changed)
        while self._size > CHANGES_MAX:
            self._first, ids = self._changes.popleft()
            self._size -= len(ids)


def _joined(product: Product | None) -> tuple[str | None, str | None] | None:
    return None if product is None else (product.category, product.brand)
