"""Sums over the products of a sliding window, kept from one question to the next.   Stage 5 of 6, pure.

On the ways of window_cache.py, for buckets of 100,000 products: of the newest bucket, and of those that moved last
time, what has changed is read with the totals, from the log that the store keeps of a large bucket, or whole if it is
small. Where the log does not reach back, a bucket whose totals have moved is read whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from rtaplatform.analytics.cache.number_columns import NumberColumns
from rtaplatform.analytics.cache.product_columns import ProductColumns
from rtaplatform.analytics.cache.window_cache import SumsCache, Token, totals_of
from rtaplatform.analytics.plan.plan import QueryPlan, SumsPlan
from rtaplatform.analytics.plan.tiling import Tile
from rtaplatform.analytics.read.product_attributes import ProductTable
from rtaplatform.analytics.read.rows import AnswerRows, cells_of, error_of, listings_of
from rtaplatform.core.query import ALL_ROWS
from rtaplatform.core.rollups import BOT_PREFIX, OTHER, PRODUCTS, SEPARATOR, SHARED, SHORT_PREFIX
from rtaplatform.store.port import BucketContent, Read, ReadBucketLog

SMALL = 512  # products of a bucket that is read whole rather than asked for twice


def may_run(plan: QueryPlan, shape: SumsPlan) -> bool:
    """Whether the question is one of whole buckets of products, over one window."""
    is_product = shape.rollup == PRODUCTS.name and shape.fields is None and shape.wanted[0] is None
    return is_product and plan.query.interval == "none" and plan.query.compare is None


class ProductBucket(Struct):
    """What is known of one: its totals, where its log ended, "" if it has none, and which fields lack something."""

    token: Token
    position: str
    short: set[bytes]


class ProductTotals(SumsCache):
    """A measure of the products, by bucket and summed."""

    def __init__(self, measure: str, with_bots: bool) -> None:
        prefixes = ("", BOT_PREFIX) if with_bots else ("",)
        self._starts = tuple((prefix + measure + SEPARATOR).encode() for prefix in prefixes)
        self._short_starts = tuple(SHORT_PREFIX.encode() + start for start in self._starts)
        self._shared = {prefix + SHARED[measure] for prefix in prefixes if measure in SHARED}
        super().__init__(PRODUCTS.name, totals_of(PRODUCTS.name, (measure,), with_bots))

    def _forget_all(self) -> None:
        self._buckets: dict[Tile, ProductBucket] = {}
        self._lost: set[Tile] = set()  # have moved, and can't be followed from where they are known
        self._columns = NumberColumns()
        self._products = ProductColumns(self._columns, self._starts)

    @property
    def size(self) -> int:
        return self._columns.size + self._products.size

    def prepare(self, products: ProductTable | None) -> None:
        """What is joined knows its catalog's version."""

    # Reading ------------------------------------------------------------------------------------------------------

    def _tokens_known(self) -> Mapping[Tile, Token]:
        return {tile: bucket.token for tile, bucket in self._buckets.items()}

    def reads(self, tiles: Sequence[Tile]) -> list[Read]:
        whole = self._whole(tiles)
        changes = [
            ReadBucketLog(PRODUCTS.name, *tile, self._buckets[tile].position)
            for tile in tiles
            if tile not in whole and self._is_read(tile) and tile in self._buckets and self._buckets[tile].position
        ]
        return [*cells_of(PRODUCTS.name, tiles, self._totals), *listings_of(PRODUCTS.name, whole), *changes]

    def _fields(self, tile: Tile) -> int:
        return self._columns.count(tile) * len(PRODUCTS.measures)

    def _is_read_whole(self, tile: Tile) -> bool:
        if tile in self._lost:
            return True
        is_small = self._columns.count(tile) <= SMALL or self._reads_all
        return self._is_read(tile) and not self._buckets[tile].position and is_small

    def _note_moved(self, moved: Iterable[Tile]) -> None:
        moved = list(moved)
        self._lost |= {t for t in moved if t in self._moving or t not in self._buckets or not self._buckets[t].position}
        super()._note_moved(moved)
        self._columns.rest(self._buckets.keys() - self._moving)

    def _drop(self, tile: Tile) -> None:
        del self._buckets[tile]
        self._columns.drop(tile)
        self._lost.discard(tile)

    def _put(self, tile: Tile, token: Token, listed: BucketContent) -> None:
        bucket = self._buckets.get(tile) or ProductBucket((), "", set())
        if token != bucket.token:
            names, texts = self._ours(listed)
            self._columns.put(tile, names, texts)
            bucket.short = self._short_of(listed)
        self._is_known(tile, bucket, token, listed.position)

    def _put_changes(self, tile: Tile, token: Token, since: str, listed: BucketContent | None) -> None:
        bucket = self._buckets.get(tile)
        if bucket is None or bucket.position != since:
            return
        if listed is None:
            bucket.position = ""
            return
        self._columns.change(tile, *self._ours(listed))
        bucket.short |= self._short_of(listed)
        self._is_known(tile, bucket, token, listed.position)

    def _is_known(self, tile: Tile, bucket: ProductBucket, token: Token, position: str) -> None:
        self._note_movement(tile, has_moved=bucket.token not in ((), token))
        self._lost.discard(tile)
        bucket.token, bucket.position = token, position
        self._buckets[tile] = bucket

    def _ours(self, listed: BucketContent) -> tuple[list[bytes], list[bytes]]:
        """The fields of our measure, and their numbers."""
        starts, fields = self._starts, listed.fields
        found = [at for at in range(0, len(fields), 2) if fields[at].startswith(starts)]
        return [fields[at] for at in found], [fields[at + 1] for at in found]

    def _short_of(self, listed: BucketContent) -> set[bytes]:
        prefix = len(SHORT_PREFIX)
        return {name[prefix:] for name in listed.fields[::2] if name.startswith(self._short_starts)}

    def to_join(self, plan: QueryPlan, shape: SumsPlan, products: ProductTable | None) -> int:
        """How many names must be joined, or become rows, before the question is answered."""
        many = len(self._columns.names) if plan.query.breakdown and plan.query.limit == ALL_ROWS else 0
        return many + (self._products.to_join(shape, plan.query.breakdown, products) if shape.joined else 0)

    # Answering ----------------------------------------------------------------------------------------------------

    def rows(self, plan: QueryPlan, shape: SumsPlan, products: ProductTable | None) -> AnswerRows:
        is_hiding = any(self._columns.is_in(start + OTHER.encode()) for start in self._starts)
        if not is_hiding and shape.shared is not None:
            is_hiding = self._has_shared()
        if not is_hiding:
            is_hiding = self._products.lacks(shape, products, self._short())
        return AnswerRows(self._products.rows(plan, shape, products), error_of(is_hiding))

    def _short(self) -> set[bytes]:
        return set[bytes]().union(*(bucket.short for bucket in self._buckets.values() if bucket.short))

    def _has_shared(self) -> bool:
        at = [place for place, name in enumerate(self._totals) if name in self._shared]
        return any(bucket.token[place] for bucket in self._buckets.values() for place in at)
