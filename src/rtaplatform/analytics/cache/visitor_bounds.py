"""At most how many persons each product has in a sliding window.   Stage 5 of 6, pure.

A person of the window is one of at least one of its buckets, so there are no more than those of the buckets together.
To count a bucket's persons is cheap, to unite sketches is not; and of the buckets that stand still, on the ways of
window_cache.py, even that is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rtaplatform.analytics.cache.number_columns import NumberColumns
from rtaplatform.analytics.cache.window_cache import Token, WindowCache, totals_of
from rtaplatform.analytics.plan.tiling import Tile
from rtaplatform.analytics.read.rows import cells_of, counts_of
from rtaplatform.analytics.read.visitor_ranking import RankedVisitors
from rtaplatform.core.rollups import PRODUCT_ID, PRODUCTS
from rtaplatform.store.port import BucketContent, Read, ReadPersonCounts

MEASURES = ("views", "adds", "orders")  # the events by which a person is seen with a product


class VisitorUpperBounds(WindowCache):
    """The persons of a product in each bucket, added together."""

    def __init__(self) -> None:
        super().__init__(PRODUCTS.name, totals_of(PRODUCTS.name, MEASURES, with_bots=False))

    def _forget_all(self) -> None:
        self._tokens_of: dict[Tile, Token] = {}
        self._columns = NumberColumns()

    @property
    def size(self) -> int:
        return self._columns.size

    def standing(self) -> RankedVisitors:
        """As it is now, whatever becomes of the window."""
        return RankedVisitors(self._columns.names, self._columns.sums.copy())

    def _tokens_known(self) -> Mapping[Tile, Token]:
        return self._tokens_of

    def reads(self, tiles: Sequence[Tile]) -> list[Read]:
        return [*cells_of(self._rollup, tiles, self._totals), *counts_of(PRODUCT_ID, self._whole(tiles))]

    def _listed_by(self, read: Read) -> tuple[Tile, ...]:
        if isinstance(read, ReadPersonCounts) and read.dimension == PRODUCT_ID:
            return tuple((read.kind, start) for start in read.starts)
        return ()

    def _fields(self, tile: Tile) -> int:
        return self._columns.count(tile)

    def _drop(self, tile: Tile) -> None:
        del self._tokens_of[tile]
        self._columns.drop(tile)

    def _put(self, tile: Tile, token: Token, listed: BucketContent) -> None:
        before = self._tokens_of.get(tile)
        if before != token:
            self._columns.put(tile, listed.fields[::2], listed.fields[1::2])
            self._tokens_of[tile] = token
        self._note_movement(tile, has_moved=before not in (None, token))

    def _put_changes(self, tile: Tile, token: Token, since: str, listed: BucketContent | None) -> None:
        """They are not asked for."""
