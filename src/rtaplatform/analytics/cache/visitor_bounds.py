"""A `WindowCache` of upper bounds: how many visitors each product can have in a window.   Stage 5 of 6, pure.

Every visitor of the window appears in at least one of its buckets, so the sum over the buckets is an upper bound.
Counting the visitors of one bucket is cheap, uniting sketches is not. Keeps the counts of each bucket for as long as
the bucket's totals do not change (window_cache.py). Memory is bounded by the window's buckets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rtaplatform.analytics.cache.number_columns import NumberColumns
from rtaplatform.analytics.cache.window_cache import Token, WindowCache, list_total_fields
from rtaplatform.analytics.plan.tiling import Tile
from rtaplatform.analytics.read.rows import list_cell_reads, list_person_count_reads
from rtaplatform.analytics.read.visitor_ranking import RankedVisitors
from rtaplatform.core.rollups import PRODUCT_ID, PRODUCTS
from rtaplatform.store.port import BucketContent, Read, ReadPersonCounts

MEASURES = ("views", "adds", "orders")  # each event that adds a person to a product's sketch adds to one of these


class VisitorUpperBounds(WindowCache):
    """The persons of each product: per bucket, and the sum over the buckets."""

    def __init__(self) -> None:
        super().__init__(PRODUCTS.name, list_total_fields(PRODUCTS.name, MEASURES, with_bots=False))

    def _clear(self) -> None:
        self._token_of: dict[Tile, Token] = {}
        self._columns = NumberColumns()

    @property
    def size(self) -> int:
        return self._columns.size

    def copy_ranking(self) -> RankedVisitors:
        """The bounds as of now: later changes of the window do not change them."""
        return RankedVisitors(self._columns.names, self._columns.sums.copy())

    def _list_tokens(self) -> Mapping[Tile, Token]:
        return self._token_of

    def list_reads(self, tiles: Sequence[Tile]) -> list[Read]:
        return [
            *list_cell_reads(self._rollup, tiles, self._totals),
            *list_person_count_reads(PRODUCT_ID, self._choose_whole_tiles(tiles)),
        ]

    def _list_tiles(self, read: Read) -> tuple[Tile, ...]:
        if isinstance(read, ReadPersonCounts) and read.dimension == PRODUCT_ID:
            return tuple((read.kind, start) for start in read.starts)
        return ()

    def _count_fields(self, tile: Tile) -> int:
        return self._columns.count_fields(tile)

    def _drop_bucket(self, tile: Tile) -> None:
        del self._token_of[tile]
        self._columns.drop_bucket(tile)

    def _put_bucket(self, tile: Tile, token: Token, content: BucketContent) -> None:
        old_token = self._token_of.get(tile)
        if old_token != token:
            self._columns.put_bucket(tile, content.fields[::2], content.fields[1::2])
            self._token_of[tile] = token
        self._update_changing(tile, has_changed=old_token not in (None, token))

    def _apply_changes(self, tile: Tile, token: Token, since: str, content: BucketContent | None) -> None:
        """Ignored: this cache reads no change logs."""
