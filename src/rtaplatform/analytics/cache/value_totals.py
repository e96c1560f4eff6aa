"""Sums by the values that a question asks for, kept for each bucket of its window.   Stage 5 of 6, pure.

For questions that read whole buckets: of an hour's thousands of fields they need a few dozen sums. A bucket is
grouped when it is read, and read again only when its totals have moved (window_cache.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from rtaplatform.analytics.cache.window_cache import SumsCache, Token, totals_of
from rtaplatform.analytics.plan.plan import QueryPlan, SumsPlan
from rtaplatform.analytics.plan.tiling import Tile
from rtaplatform.analytics.read.additive import FieldMeaning, FieldReading, rows_of
from rtaplatform.analytics.read.product_attributes import ProductTable
from rtaplatform.analytics.read.rows import AnswerRows, Key, cells_of, listings_of
from rtaplatform.core.rollups import BOT_PREFIX, SHORT_PREFIX, field
from rtaplatform.store.port import BucketContent, Read

MEANINGS_SPARE = 64  # fields whose meaning is kept, beyond twice as many as the buckets have; then it begins anew
ROW_BYTES, MEANING_BYTES = 200, 300


class ValueBucket(Struct, frozen=True):
    """One bucket, grouped. `is_hiding`: it has a field that hides something of the answer's rows."""

    sums: dict[Key, int]
    is_hiding: bool
    fields: int


class ValueTotals(SumsCache):
    """The buckets of one question, whatever its limit."""

    def __init__(self, plan: QueryPlan, shape: SumsPlan) -> None:
        self._plan, self._shape = plan, shape
        self._version: int | None = None  # of the products that are joined
        self._reading = FieldReading(plan, shape)
        super().__init__(shape.rollup, totals_of(shape.rollup, (shape.measure,), shape.with_bots))

    def _forget_all(self) -> None:
        self._buckets: dict[Tile, ValueBucket] = {}
        self._known: dict[Tile, Token] = {}
        self._meanings: dict[bytes, FieldMeaning] = {}  # of the fields that were met
        self._has_forgotten = False  # some fields that were met
        self._rows = self._met = 0

    @property
    def size(self) -> int:
        return self._rows * ROW_BYTES + len(self._meanings) * MEANING_BYTES

    @property
    def rows_kept(self) -> int:
        """Of all buckets."""
        return self._rows

    def _tokens_known(self) -> Mapping[Tile, Token]:
        return self._known

    def _fields(self, tile: Tile) -> int:
        return self._buckets[tile].fields

    def _drop(self, tile: Tile) -> None:
        bucket = self._buckets.pop(tile)
        self._rows -= len(bucket.sums)
        self._met -= bucket.fields
        del self._known[tile]
        if len(self._meanings) > 2 * self._met + MEANINGS_SPARE:
            self._meanings.clear()
            self._has_forgotten = True

    def prepare(self, products: ProductTable | None) -> None:
        if products is not None and products.version != self._version:
            is_known = self._version is not None and not self._has_forgotten
            changed = products.changed_since(self._version or 0) if is_known else None
            reading = FieldReading(self._plan, self._shape, products)
            if changed is None or any(self._meaning_differs(id, reading) for id in changed):
                self._forget_all()
            self._version, self._reading = products.version, reading

    def _meaning_differs(self, product_id: str, reading: FieldReading) -> bool:
        """Of a field that was met: what its buckets were grouped by holds no longer."""
        names = [start + field(self._shape.measure, product_id) for start in ("", BOT_PREFIX)]
        names += [SHORT_PREFIX + name for name in names]
        known = [(name, self._meanings.get(name.encode())) for name in names]
        return any(meaning is not None and meaning != reading.meaning(name) for name, meaning in known)

    def reads(self, tiles: Sequence[Tile]) -> list[Read]:
        return [*cells_of(self._rollup, tiles, self._totals), *listings_of(self._rollup, self._whole(tiles))]

    def _put(self, tile: Tile, token: Token, listed: BucketContent) -> None:
        before = self._known.get(tile)
        if token != before:
            if before is not None:
                self._drop(tile)
            bucket = self._buckets[tile] = self._grouped(listed.fields)
            self._known[tile] = token
            self._rows += len(bucket.sums)
            self._met += bucket.fields
        self._note_movement(tile, has_moved=before not in (None, token))

    def _put_changes(self, tile: Tile, token: Token, since: str, listed: BucketContent | None) -> None:
        """They are not asked for."""

    def _grouped(self, fields: Sequence[bytes]) -> ValueBucket:
        meanings, reading, sums, is_hiding = self._meanings, self._reading, dict[Key, int](), False
        for name, text in zip(fields[::2], fields[1::2], strict=True):
            meaning = meanings.get(name)
            if meaning is None:
                meaning = meanings[name] = reading.meaning(name.decode())
            if meaning.hides:
                is_hiding = True
            if meaning.key is not None and not (text == b"0" and reading.may_be_empty):
                sums[meaning.key] = sums.get(meaning.key, 0) + int(text)
        return ValueBucket(sums, is_hiding, len(fields) // 2)

    def rows(self, plan: QueryPlan, shape: SumsPlan, products: ProductTable | None) -> AnswerRows:
        period = plan.period
        spans = [self._sum(span.tiles) for span in period.spans]
        before = None if period.previous is None else self._sum(period.previous)
        is_hiding = any(self._buckets[tile].is_hiding for tile in (*period.tiles, *(period.previous or ())))
        return rows_of(plan, spans, before, is_hiding=is_hiding)

    def _sum(self, tiles: Sequence[Tile]) -> Mapping[Key, int]:
        if len(tiles) == 1:
            return self._buckets[tiles[0]].sums
        sums: dict[Key, int] = {}
        for tile in tiles:
            for key, number in self._buckets[tile].sums.items():
                sums[key] = sums.get(key, 0) + number
        return sums
