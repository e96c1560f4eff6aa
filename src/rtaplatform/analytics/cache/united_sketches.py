"""A `WindowCache` of HyperLogLog sketches, united by product attribute in each bucket.   Stage 5 of 6, pure.

A question by category unites the sketches of all its products in all its buckets: tens of thousands. Here the sketches
of a bucket are read once and united by attribute. Keeps the united registers for as long as the bucket's totals do not
change (window_cache.py) and the catalog does not move a cached product to another category or brand. An answer unites
a few registers per bucket, and its counts are those of Redis to the last digit (core/sketches/registers.py). Memory is
bounded by the window's buckets; products that have left it are forgotten when they outnumber the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from rtaplatform.analytics.cache.product_columns import list_keys
from rtaplatform.analytics.cache.visitor_bounds import MEASURES
from rtaplatform.analytics.cache.window_cache import Token, WindowCache, list_total_fields
from rtaplatform.analytics.plan.plan import QueryPlan
from rtaplatform.analytics.plan.shapes import PersonsPlan
from rtaplatform.analytics.plan.tiling import Tile
from rtaplatform.analytics.read.distinct import list_point_tiles
from rtaplatform.analytics.read.product_attributes import ProductTable
from rtaplatform.analytics.read.rows import AnswerRow, RowKey, list_cell_reads, list_sketch_reads, sort_and_limit
from rtaplatform.core.errors import Unable
from rtaplatform.core.rollups import PERSONS, PRODUCT_ID, PRODUCTS, make_field
from rtaplatform.core.sketches.registers import Registers, count, read_registers, unite
from rtaplatform.store.port import BucketContent, Read, ReadFields, ReadPersonSketches

SKETCH_BYTES_MAX = 64 * 2**20  # of the new buckets of one question; reading a sketch takes some 5 µs
GROUPS_AT_ONCE = 256  # groups united together: 16 KB each
VALUE_BYTES, KEY_BYTES = 200, 300
VALUES_SPARE = 1_024  # in addition to twice as many remembered products as the buckets have


class UnionBucket(Struct, frozen=True):
    """The sketches of one bucket's products, united by attribute."""

    token: Token
    registers: Registers
    product_count: int


def may_unite(plan: QueryPlan) -> bool:
    """Whether the question asks for persons by attributes of all products."""
    shape = plan.shape
    if not isinstance(shape, PersonsPlan) or shape.of or shape.values is not None or not shape.attributes:
        return False
    return set(plan.query.breakdown) <= set(shape.attributes)


def list_union_tiles(plan: QueryPlan) -> tuple[Tile, ...]:
    """List all buckets that the question unites."""
    period = plan.period
    return tuple(dict.fromkeys((*period.whole, *period.tiles, *(period.previous or ()))))


def list_sketch_size_reads(tiles: Sequence[Tile]) -> list[ReadFields]:
    """The reads of the size of these buckets' product sketches, in bytes."""
    return list_cell_reads(PERSONS.name, tiles, (make_field("bytes", PRODUCT_ID),))


class UnitedSketches(WindowCache):
    """The buckets of one period by some attributes, for any breakdown, filter and limit over these."""

    work_per_field = 5  # reading a sketch takes as long as adding so many numbers

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._table: ProductTable | None = None
        self._version: int | None = None
        super().__init__(PRODUCTS.name, list_total_fields(PRODUCTS.name, MEASURES, with_bots=False))

    def _clear(self) -> None:
        self._buckets: dict[Tile, UnionBucket] = {}
        self._row_of: dict[str, int] = {}  # product id → index of its key, which is its row in the registers
        self._keys: list[RowKey] = []
        self._index_of: dict[RowKey, int] = {}
        self._size = 0

    @property
    def size(self) -> int:
        return self._size + len(self._row_of) * VALUE_BYTES + len(self._keys) * KEY_BYTES

    def prepare(self, products: ProductTable) -> None:
        """Join with these products from now on. If a cached product has other attributes now, drop everything."""
        self._table = products
        product_count = sum(bucket.product_count for bucket in self._buckets.values())
        is_stale = self._version != products.version and not self._has_same_keys(products)
        if is_stale or len(self._row_of) > 2 * product_count + VALUES_SPARE:
            self._clear()
        self._version = products.version

    def _has_same_keys(self, products: ProductTable) -> bool:
        changed_ids = None if self._version is None else products.list_changed_since(self._version)
        ids = list(self._row_of) if changed_ids is None else [id for id in changed_ids if id in self._row_of]
        keys = list_keys(ids, self._names, products)
        return all(self._keys[self._row_of[id]] == key for id, key in zip(ids, keys, strict=True))

    # Reading ------------------------------------------------------------------------------------------------------

    def list_portions(self, tiles: Sequence[Tile]) -> list[list[Tile]]:
        """New buckets one by one, because a bucket may have 32 MB of sketches."""
        new = [[tile] for tile in tiles if tile not in self._buckets]
        return [*new, *super().list_portions([tile for tile in tiles if tile in self._buckets])]

    def list_new(self, tiles: Sequence[Tile]) -> list[Tile]:
        return [tile for tile in tiles if tile not in self._buckets]

    def _list_tokens(self) -> Mapping[Tile, Token]:
        return {tile: bucket.token for tile, bucket in self._buckets.items()}

    def list_reads(self, tiles: Sequence[Tile]) -> list[Read]:
        return [
            *list_cell_reads(self._rollup, tiles, self._totals),
            *list_sketch_reads(PRODUCT_ID, self._choose_whole_tiles(tiles)),
        ]

    def _list_tiles(self, read: Read) -> tuple[Tile, ...]:
        if isinstance(read, ReadPersonSketches) and read.dimension == PRODUCT_ID:
            return tuple((read.kind, start) for start in read.starts)
        return ()

    def _count_fields(self, tile: Tile) -> int:
        return self._buckets[tile].product_count * self.work_per_field

    def _drop_bucket(self, tile: Tile) -> None:
        self._size -= self._buckets.pop(tile).registers.size

    def _put_bucket(self, tile: Tile, token: Token, content: BucketContent) -> None:
        old_bucket = self._buckets.get(tile)
        if old_bucket is None or old_bucket.token != token:
            rows = self._assign_rows([value.decode() for value in content.fields[::2]])
            try:
                registers = read_registers(content.fields[1::2], rows)
            except ValueError as error:
                raise Unable("redis", f"a sketch of {tile} is none") from error
            if old_bucket is not None:
                self._drop_bucket(tile)
            self._buckets[tile] = UnionBucket(token, registers, len(rows))
            self._size += registers.size
        self._update_changing(tile, has_changed=old_bucket is not None and old_bucket.token != token)

    def _apply_changes(self, tile: Tile, token: Token, since: str, content: BucketContent | None) -> None:
        """Ignored: this cache reads no change logs."""

    def _assign_rows(self, product_ids: Sequence[str]) -> list[int]:
        new_ids = [id for id in product_ids if id not in self._row_of]
        for id, key in zip(new_ids, list_keys(new_ids, self._names, self._table), strict=True):
            if key not in self._index_of:
                self._index_of[key] = len(self._keys)
                self._keys.append(key)
            self._row_of[id] = self._index_of[key]
        return [self._row_of[id] for id in product_ids]

    # Answering ----------------------------------------------------------------------------------------------------

    def build_rows(self, plan: QueryPlan, shape: PersonsPlan) -> list[AnswerRow]:
        period, limit = plan.period, plan.query.limit
        groups = self._group_rows(plan, shape)
        totals = self._count_persons(groups, period.whole)
        if plan.query.breakdown:
            greatest_keys = sorted(groups, key=lambda key: (-totals[key], key))[:limit]
            groups = {key: groups[key] for key in greatest_keys}
        points = [self._count_persons(groups, tiles) for tiles in list_point_tiles(plan)]
        previous = None if period.previous is None else self._count_persons(groups, period.previous)
        rows = [
            AnswerRow(key, totals[key], None if previous is None else previous[key], [counts[key] for counts in points])
            for key in groups
        ]
        return sort_and_limit([row for row in rows if not plan.query.breakdown or row.total or row.previous], limit)

    def _group_rows(self, plan: QueryPlan, shape: PersonsPlan) -> dict[RowKey, list[int]]:
        """Each key of the answer, and the rows of the registers that it unites. Only products of the period count."""
        indices = [self._names.index(name) for name in plan.query.breakdown]
        tiles = dict.fromkeys((*plan.period.tiles, *(plan.period.previous or ())))
        bucket_rows = [self._buckets[tile].registers.rows for tile in tiles]
        groups: dict[RowKey, list[int]] = {} if indices else {(): []}
        for row in np.unique(np.concatenate(bucket_rows)).tolist() if bucket_rows else ():
            key = self._keys[row]
            if all(values is None or value in values for value, values in zip(key, shape.filters, strict=True)):
                groups.setdefault(tuple(key[index] for index in indices), []).append(row)
        return groups

    def _count_persons(self, groups: Mapping[RowKey, Sequence[int]], tiles: Sequence[Tile]) -> dict[RowKey, int]:
        """Count the persons of each group in the union of these buckets."""
        registers = [self._buckets[tile].registers for tile in tiles]
        keys, counts = list(groups), dict[RowKey, int]()
        for first in range(0, len(keys), GROUPS_AT_ONCE):
            portion = keys[first : first + GROUPS_AT_ONCE]
            group_of: NDArray[np.int64] = np.full(len(self._keys), -1, dtype=np.int64)
            for group, key in enumerate(portion):
                group_of[list(groups[key])] = group
            counts |= zip(portion, map(count, unite(registers, group_of, len(portion))), strict=True)
        return counts
