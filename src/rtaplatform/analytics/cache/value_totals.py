"""A `WindowCache` for one question: the sums of each bucket by the question's dimensions.   Stage 5 of 6, pure.

An hour may have thousands of fields, of which a question needs a few dozen sums. A bucket is grouped when it is read,
and read again only when its totals have changed (window_cache.py). If the catalog changes a product that was grouped,
all entries are dropped. Memory is bounded by the window's buckets; the meanings of fields are dropped when they become
more than twice as many as the fields of the buckets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from rtaplatform.analytics.cache.window_cache import SumsCache, Token, list_total_fields
from rtaplatform.analytics.plan.plan import QueryPlan
from rtaplatform.analytics.plan.shapes import SumsPlan
from rtaplatform.analytics.plan.tiling import Tile
from rtaplatform.analytics.read.additive import FieldMeaning, FieldReading, build_rows
from rtaplatform.analytics.read.product_attributes import ProductTable
from rtaplatform.analytics.read.rows import AnswerRows, RowKey, list_bucket_reads, list_cell_reads
from rtaplatform.core.rollups import BOT_PREFIX, SHORT_PREFIX, make_field
from rtaplatform.store.port import BucketContent, Read

MEANINGS_SPARE = 64  # in addition to twice as many meanings as the buckets have fields
ROW_BYTES, MEANING_BYTES = 200, 300


class ValueBucket(Struct, frozen=True):
    """The sums of one bucket. `is_hiding`: one of its fields may belong to a row, but cannot be told apart."""

    sums: dict[RowKey, int]
    is_hiding: bool
    field_count: int


class ValueTotals(SumsCache):
    """The buckets of one question, for any limit."""

    def __init__(self, plan: QueryPlan, shape: SumsPlan) -> None:
        self._plan, self._shape = plan, shape
        self._version: int | None = None  # of the joined products
        self._reading = FieldReading(plan, shape)
        super().__init__(shape.rollup, list_total_fields(shape.rollup, (shape.measure,), shape.with_bots))

    def _clear(self) -> None:
        self._buckets: dict[Tile, ValueBucket] = {}
        self._tokens: dict[Tile, Token] = {}
        self._meanings: dict[bytes, FieldMeaning] = {}  # of the fields that were grouped
        self._has_dropped_meanings = False
        self._row_count = self._field_count = 0

    @property
    def size(self) -> int:
        return self._row_count * ROW_BYTES + len(self._meanings) * MEANING_BYTES

    @property
    def row_count(self) -> int:
        """The rows of all buckets."""
        return self._row_count

    def _list_tokens(self) -> Mapping[Tile, Token]:
        return self._tokens

    def _count_fields(self, tile: Tile) -> int:
        return self._buckets[tile].field_count

    def _drop_bucket(self, tile: Tile) -> None:
        bucket = self._buckets.pop(tile)
        self._row_count -= len(bucket.sums)
        self._field_count -= bucket.field_count
        del self._tokens[tile]
        if len(self._meanings) > 2 * self._field_count + MEANINGS_SPARE:
            self._meanings.clear()
            self._has_dropped_meanings = True

    def prepare(self, products: ProductTable | None) -> None:
        if products is not None and products.version != self._version:
            has_meanings = self._version is not None and not self._has_dropped_meanings
            changed_ids = products.list_changed_since(self._version or 0) if has_meanings else None
            reading = FieldReading(self._plan, self._shape, products)
            if changed_ids is None or any(self._has_other_meaning(id, reading) for id in changed_ids):
                self._clear()
            self._version, self._reading = products.version, reading

    def _has_other_meaning(self, product_id: str, reading: FieldReading) -> bool:
        """Whether a field of the product was grouped in a way that no longer holds."""
        names = [prefix + make_field(self._shape.measure, product_id) for prefix in ("", BOT_PREFIX)]
        names += [SHORT_PREFIX + name for name in names]
        old_meanings = [(name, self._meanings.get(name.encode())) for name in names]
        return any(meaning is not None and meaning != reading.interpret_field(name) for name, meaning in old_meanings)

    def list_reads(self, tiles: Sequence[Tile]) -> list[Read]:
        return [
            *list_cell_reads(self._rollup, tiles, self._totals),
            *list_bucket_reads(self._rollup, self._choose_whole_tiles(tiles)),
        ]

    def _put_bucket(self, tile: Tile, token: Token, content: BucketContent) -> None:
        old_token = self._tokens.get(tile)
        if token != old_token:
            if old_token is not None:
                self._drop_bucket(tile)
            bucket = self._buckets[tile] = self._group_fields(content.fields)
            self._tokens[tile] = token
            self._row_count += len(bucket.sums)
            self._field_count += bucket.field_count
        self._update_changing(tile, has_changed=old_token not in (None, token))

    def _apply_changes(self, tile: Tile, token: Token, since: str, content: BucketContent | None) -> None:
        """Ignored: this cache reads no change logs."""

    def _group_fields(self, fields: Sequence[bytes]) -> ValueBucket:
        meanings, reading, sums, is_hiding = self._meanings, self._reading, dict[RowKey, int](), False
        for name, text in zip(fields[::2], fields[1::2], strict=True):
            meaning = meanings.get(name)
            if meaning is None:
                meaning = meanings[name] = reading.interpret_field(name.decode())
            if meaning.hides:
                is_hiding = True
            if meaning.key is not None and not (text == b"0" and reading.may_be_empty):
                sums[meaning.key] = sums.get(meaning.key, 0) + int(text)
        return ValueBucket(sums, is_hiding, len(fields) // 2)

    def build_rows(self, plan: QueryPlan, shape: SumsPlan, products: ProductTable | None) -> AnswerRows:
        period = plan.period
        point_sums = [self._sum_tiles(span.tiles) for span in period.spans]
        previous_sums = None if period.previous is None else self._sum_tiles(period.previous)
        is_hiding = any(self._buckets[tile].is_hiding for tile in (*period.tiles, *(period.previous or ())))
        return build_rows(plan, point_sums, previous_sums, is_hiding=is_hiding)

    def _sum_tiles(self, tiles: Sequence[Tile]) -> Mapping[RowKey, int]:
        if len(tiles) == 1:
            return self._buckets[tiles[0]].sums
        sums: dict[RowKey, int] = {}
        for tile in tiles:
            for key, number in self._buckets[tile].sums.items():
                sums[key] = sums.get(key, 0) + number
        return sums
