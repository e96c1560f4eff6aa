"""A `WindowCache` for buckets of up to 100,000 products.   Stage 5 of 6, pure.

Keeps one measure of each product and bucket, and its sum over the window. A bucket is valid as long as its totals are
unchanged (window_cache.py). Together with the totals, a question reads the changes of the newest bucket and of each
bucket that changed last time: from the bucket's change log in the store, or the whole bucket if it is small. A changed
bucket is read whole if its log does not reach back to the last read. Products that have left the window are forgotten
(number_columns.py), so memory is bounded by what the window's buckets hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from rtaplatform.analytics.cache.number_columns import NumberColumns
from rtaplatform.analytics.cache.product_columns import ProductColumns
from rtaplatform.analytics.cache.window_cache import SumsCache, Token, list_total_fields
from rtaplatform.analytics.plan.plan import QueryPlan
from rtaplatform.analytics.plan.shapes import SumsPlan
from rtaplatform.analytics.plan.tiling import Tile
from rtaplatform.analytics.read.product_attributes import ProductTable
from rtaplatform.analytics.read.rows import AnswerRows, find_sum_error, list_bucket_reads, list_cell_reads
from rtaplatform.core.query import ALL_ROWS
from rtaplatform.core.rollups import BOT_PREFIX, OTHER, PRODUCTS, SEPARATOR, SHARED, SHORT_PREFIX
from rtaplatform.store.port import BucketContent, Read, ReadBucketLog

SMALL_PRODUCTS_MAX = 512  # a bucket with no more products is read whole at once, without waiting for its totals


def is_over_products(plan: QueryPlan, shape: SumsPlan) -> bool:
    """Whether the question sums whole buckets of products over its period, without points or comparison."""
    is_product = shape.rollup == PRODUCTS.name and shape.fields is None and shape.filters[0] is None
    return is_product and plan.query.interval == "none" and plan.query.compare is None


class ProductBucket(Struct):
    """`position`: the end of its change log, "" if it has none. `short_fields`: fields whose numbers are too low."""

    token: Token
    position: str
    short_fields: set[bytes]


class ProductTotals(SumsCache):
    """One measure of all products, per bucket and summed over the window."""

    def __init__(self, measure: str, with_bots: bool) -> None:
        prefixes = ("", BOT_PREFIX) if with_bots else ("",)
        self._prefixes = tuple((prefix + measure + SEPARATOR).encode() for prefix in prefixes)
        self._short_prefixes = tuple(SHORT_PREFIX.encode() + prefix for prefix in self._prefixes)
        self._shared = {prefix + SHARED[measure] for prefix in prefixes if measure in SHARED}
        super().__init__(PRODUCTS.name, list_total_fields(PRODUCTS.name, (measure,), with_bots))

    def _clear(self) -> None:
        self._buckets: dict[Tile, ProductBucket] = {}
        self._stale_tiles: set[Tile] = set()  # changed, and their logs cannot tell how
        self._columns = NumberColumns()
        self._products = ProductColumns(self._columns, self._prefixes)

    @property
    def size(self) -> int:
        return self._columns.size + self._products.size

    def prepare(self, products: ProductTable | None) -> None:
        """Nothing to do: the joined columns check the catalog's version themselves."""

    # Reading ------------------------------------------------------------------------------------------------------

    def _list_tokens(self) -> Mapping[Tile, Token]:
        return {tile: bucket.token for tile, bucket in self._buckets.items()}

    def list_reads(self, tiles: Sequence[Tile]) -> list[Read]:
        whole_tiles = self._choose_whole_tiles(tiles)
        log_reads = [
            ReadBucketLog(PRODUCTS.name, *tile, self._buckets[tile].position)
            for tile in tiles
            if tile not in whole_tiles
            and self._is_reread(tile)
            and tile in self._buckets
            and self._buckets[tile].position
        ]
        return [
            *list_cell_reads(PRODUCTS.name, tiles, self._totals),
            *list_bucket_reads(PRODUCTS.name, whole_tiles),
            *log_reads,
        ]

    def _count_fields(self, tile: Tile) -> int:
        return self._columns.count_fields(tile) * len(PRODUCTS.measures)

    def _is_reread_whole(self, tile: Tile) -> bool:
        if tile in self._stale_tiles:
            return True
        is_small = self._columns.count_fields(tile) <= SMALL_PRODUCTS_MAX or self._is_all_reread
        return self._is_reread(tile) and not self._buckets[tile].position and is_small

    def _mark_changed(self, tiles: Iterable[Tile]) -> None:
        tiles = list(tiles)
        self._stale_tiles |= {
            tile
            for tile in tiles
            if tile in self._changing or tile not in self._buckets or not self._buckets[tile].position
        }
        super()._mark_changed(tiles)
        self._columns.pack_buckets(self._buckets.keys() - self._changing)

    def _drop_bucket(self, tile: Tile) -> None:
        del self._buckets[tile]
        self._columns.drop_bucket(tile)
        self._stale_tiles.discard(tile)

    def _put_bucket(self, tile: Tile, token: Token, content: BucketContent) -> None:
        bucket = self._buckets.get(tile) or ProductBucket((), "", set())
        if token != bucket.token:
            names, texts = self._select_fields(content)
            self._columns.put_bucket(tile, names, texts)
            bucket.short_fields = self._select_short_fields(content)
        self._record_token(tile, bucket, token, content.position)

    def _apply_changes(self, tile: Tile, token: Token, since: str, content: BucketContent | None) -> None:
        bucket = self._buckets.get(tile)
        if bucket is None or bucket.position != since:
            return
        if content is None:
            bucket.position = ""
            return
        self._columns.change_bucket(tile, *self._select_fields(content))
        bucket.short_fields |= self._select_short_fields(content)
        self._record_token(tile, bucket, token, content.position)

    def _record_token(self, tile: Tile, bucket: ProductBucket, token: Token, position: str) -> None:
        self._update_changing(tile, has_changed=bucket.token not in ((), token))
        self._stale_tiles.discard(tile)
        bucket.token, bucket.position = token, position
        self._buckets[tile] = bucket

    def _select_fields(self, content: BucketContent) -> tuple[list[bytes], list[bytes]]:
        """The fields of this measure, and their numbers."""
        prefixes, fields = self._prefixes, content.fields
        indices = [index for index in range(0, len(fields), 2) if fields[index].startswith(prefixes)]
        return [fields[index] for index in indices], [fields[index + 1] for index in indices]

    def _select_short_fields(self, content: BucketContent) -> set[bytes]:
        length = len(SHORT_PREFIX)
        return {name[length:] for name in content.fields[::2] if name.startswith(self._short_prefixes)}

    def count_joins(self, plan: QueryPlan, shape: SumsPlan, products: ProductTable | None) -> int:
        """Count the names that must be joined, or become rows, before the question is answered."""
        row_count = len(self._columns.names) if plan.query.breakdown and plan.query.limit == ALL_ROWS else 0
        return row_count + (
            self._products.count_joins(shape, plan.query.breakdown, products) if shape.attributes else 0
        )

    # Answering ----------------------------------------------------------------------------------------------------

    def build_rows(self, plan: QueryPlan, shape: SumsPlan, products: ProductTable | None) -> AnswerRows:
        is_hiding = any(self._columns.has_name(prefix + OTHER.encode()) for prefix in self._prefixes)
        if not is_hiding and shape.shared_total is not None:
            is_hiding = self._has_shared()
        if not is_hiding:
            is_hiding = self._products.has_short_row(shape, products, self._list_short_fields())
        return AnswerRows(self._products.build_rows(plan, shape, products), find_sum_error(is_hiding))

    def _list_short_fields(self) -> set[bytes]:
        return set[bytes]().union(*(bucket.short_fields for bucket in self._buckets.values() if bucket.short_fields))

    def _has_shared(self) -> bool:
        indices = [index for index, name in enumerate(self._totals) if name in self._shared]
        return any(bucket.token[index] for bucket in self._buckets.values() for index in indices)
