"""At most how many persons each product has in a sliding window.   Stage 5 of 6, pure.

A person of the window is one of at least one of its buckets, so there are no more than those of the buckets together.
To count a bucket's persons is cheap, to unite sketches is not; and of the buckets that stand still, on the ways of
kept.py, even that is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from rtaplatform.analytics.kept import KeptWindow, Token, totals_of
from rtaplatform.analytics.rows import cells_of, counts_of
from rtaplatform.analytics.tiling import Tile
from rtaplatform.core.rollups import PRODUCT_ID, PRODUCTS
from rtaplatform.store.port import Listed, PersonCounts, Read

MEASURES = ("views", "adds", "orders")  # the events by which a person is seen with a product


class Bucket(Struct, frozen=True):
    """One bucket: its totals, and the persons of each product."""

    token: Token
    persons: dict[str, int]


class Bounds(KeptWindow):
    """`sums`: the persons of a product in each bucket, added together; only products that have persons."""

    def __init__(self) -> None:
        super().__init__(PRODUCTS.name, totals_of(PRODUCTS.name, MEASURES, with_bots=False))

    def _forget_all(self) -> None:
        self._buckets: dict[Tile, Bucket] = {}
        self._names: dict[bytes, str] = {}
        self.sums: dict[str, int] = {}
        self.size = 0

    def _tokens_known(self) -> Mapping[Tile, Token]:
        return {tile: bucket.token for tile, bucket in self._buckets.items()}

    def reads(self, tiles: Sequence[Tile]) -> list[Read]:
        unknown = [tile for tile in tiles if tile not in self._buckets or self._is_read(tile)]
        return [*cells_of(self._rollup, tiles, self._totals), *counts_of(PRODUCT_ID, unknown)]

    def _listed_by(self, read: Read) -> tuple[Tile, ...]:
        if isinstance(read, PersonCounts) and read.dimension == PRODUCT_ID:
            return tuple((read.kind, start) for start in read.starts)
        return ()

    def _drop(self, tile: Tile) -> None:
        self._replace(self._buckets.pop(tile).persons, {})

    def _put(self, tile: Tile, token: Token, listed: Listed) -> None:
        before = self._buckets.get(tile)
        if before is None or before.token != token:
            values, counts = listed.fields[::2], listed.fields[1::2]
            persons = {self._name(value): int(n) for value, n in zip(values, counts, strict=True) if n != b"0"}
            self._replace({} if before is None else before.persons, persons)
            self._buckets[tile] = Bucket(token, persons)
        self._note_movement(tile, has_moved=before is not None and before.token != token)

    def _name(self, value: bytes) -> str:
        """The same text in all buckets."""
        return self._names.get(value) or self._names.setdefault(value, value.decode())

    def _put_changes(self, tile: Tile, token: Token, since: str, listed: Listed | None) -> None:
        """They are not asked for."""

    def _replace(self, before: Mapping[str, int], after: Mapping[str, int]) -> None:
        self.size += len(after) - len(before)
        sums = self.sums
        for product, n in before.items():
            if n != after.get(product):
                sums[product] -= n - after.get(product, 0)
                if not sums[product]:
                    del sums[product]
        for product, n in after.items():
            if product not in before:
                sums[product] = sums.get(product, 0) + n
