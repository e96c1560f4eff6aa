"""Persons by what the catalog says of products: the sketches of each bucket, united by attribute.   Stage 5 of 6, pure.

A question by category unites the sketches of all its products in all its buckets: tens of thousands, which took the
store and the network long each time. Here each bucket's are read once, united by attribute, and kept for as long as the
bucket stands still, on the ways of window_cache.py. The union of a window is then that of some registers for each
bucket, and its count is the server's to the last digit (core/sketches/registers.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from rtaplatform.analytics.cache.product_columns import keys_of
from rtaplatform.analytics.cache.visitor_bounds import MEASURES
from rtaplatform.analytics.cache.window_cache import Token, WindowCache, totals_of
from rtaplatform.analytics.plan.plan import PersonsPlan, QueryPlan
from rtaplatform.analytics.plan.tiling import Tile
from rtaplatform.analytics.read.distinct import point_tiles
from rtaplatform.analytics.read.product_attributes import ProductTable
from rtaplatform.analytics.read.rows import AnswerRow, Key, cells_of, sketches_of, sort_and_limit
from rtaplatform.core.errors import Unable
from rtaplatform.core.rollups import PERSONS, PRODUCT_ID, PRODUCTS, field
from rtaplatform.core.sketches.registers import Registers, count, read_registers, unite
from rtaplatform.store.port import BucketContent, PersonSketches, Read, ReadFields

SKETCH_BYTES_MAX = 64 * 2**20  # of new buckets of a question; a sketch is taken in within some 5 µs
GROUPS_AT_ONCE = 256  # united together: 16 KB each
VALUE_BYTES, KEY_BYTES = 200, 300
VALUES_SPARE = 1_024  # products that are remembered, beyond twice as many as the buckets have


class UnionBucket(Struct, frozen=True):
    """One bucket: what its products' sketches come to, by attribute."""

    token: Token
    registers: Registers
    products: int


def may_unite(plan: QueryPlan) -> bool:
    """Whether the question asks for persons by attributes of all products."""
    shape = plan.shape
    if not isinstance(shape, PersonsPlan) or shape.values is not None or not shape.joined:
        return False
    return set(plan.query.breakdown) <= set(shape.joined)


def union_tiles(plan: QueryPlan) -> tuple[Tile, ...]:
    """All buckets that the question unites."""
    period = plan.period
    return tuple(dict.fromkeys((*period.whole, *period.tiles, *(period.previous or ()))))


def bytes_reads(tiles: Sequence[Tile]) -> list[ReadFields]:
    """How many bytes of sketches of products these buckets have."""
    return cells_of(PERSONS.name, tiles, (field("bytes", PRODUCT_ID),))


class UnitedSketches(WindowCache):
    """The buckets of one period, by some attributes: for any breakdown by them, any filter and limit."""

    numbers_of_field = 5  # to take in a sketch takes as long as so many numbers

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._table: ProductTable | None = None
        self._version: int | None = None
        super().__init__(PRODUCTS.name, totals_of(PRODUCTS.name, MEASURES, with_bots=False))

    def _forget_all(self) -> None:
        self._buckets: dict[Tile, UnionBucket] = {}
        self._row_of: dict[str, int] = {}  # a product → the place of its key
        self._keys: list[Key] = []
        self._places: dict[Key, int] = {}
        self._size = 0

    @property
    def size(self) -> int:
        return self._size + len(self._row_of) * VALUE_BYTES + len(self._keys) * KEY_BYTES

    def prepare(self, products: ProductTable) -> None:
        """Join with these products from here on. Where one that is known has other attributes, all begins anew."""
        self._table = products
        seen = sum(bucket.products for bucket in self._buckets.values())
        is_stale = self._version != products.version and not self._joins_alike(products)
        if is_stale or len(self._row_of) > 2 * seen + VALUES_SPARE:
            self._forget_all()
        self._version = products.version

    def _joins_alike(self, products: ProductTable) -> bool:
        changed = None if self._version is None else products.changed_since(self._version)
        known = list(self._row_of) if changed is None else [id for id in changed if id in self._row_of]
        keys = keys_of(known, self._names, products)
        return all(self._keys[self._row_of[id]] == key for id, key in zip(known, keys, strict=True))

    # Reading ------------------------------------------------------------------------------------------------------

    def missing(self, tiles: Sequence[Tile]) -> list[list[Tile]]:
        """New ones one by one, since a bucket may have 32 MB of sketches."""
        new = [[tile] for tile in tiles if tile not in self._buckets]
        return [*new, *super().missing([tile for tile in tiles if tile in self._buckets])]

    def unknown(self, tiles: Sequence[Tile]) -> list[Tile]:
        return [tile for tile in tiles if tile not in self._buckets]

    def _tokens_known(self) -> Mapping[Tile, Token]:
        return {tile: bucket.token for tile, bucket in self._buckets.items()}

    def reads(self, tiles: Sequence[Tile]) -> list[Read]:
        return [*cells_of(self._rollup, tiles, self._totals), *sketches_of(PRODUCT_ID, self._whole(tiles))]

    def _listed_by(self, read: Read) -> tuple[Tile, ...]:
        if isinstance(read, PersonSketches) and read.dimension == PRODUCT_ID:
            return tuple((read.kind, start) for start in read.starts)
        return ()

    def _fields(self, tile: Tile) -> int:
        return self._buckets[tile].products * self.numbers_of_field

    def _drop(self, tile: Tile) -> None:
        self._size -= self._buckets.pop(tile).registers.size

    def _put(self, tile: Tile, token: Token, listed: BucketContent) -> None:
        before = self._buckets.get(tile)
        if before is None or before.token != token:
            rows = self._rows_of([value.decode() for value in listed.fields[::2]])
            try:
                registers = read_registers(listed.fields[1::2], rows)
            except ValueError as error:
                raise Unable("redis", f"a sketch of {tile} is none") from error
            if before is not None:
                self._drop(tile)
            self._buckets[tile] = UnionBucket(token, registers, len(rows))
            self._size += registers.size
        self._note_movement(tile, has_moved=before is not None and before.token != token)

    def _put_changes(self, tile: Tile, token: Token, since: str, listed: BucketContent | None) -> None:
        """They are not asked for."""

    def _rows_of(self, values: Sequence[str]) -> list[int]:
        new = [value for value in values if value not in self._row_of]
        for value, key in zip(new, keys_of(new, self._names, self._table), strict=True):
            if key not in self._places:
                self._places[key] = len(self._keys)
                self._keys.append(key)
            self._row_of[value] = self._places[key]
        return [self._row_of[value] for value in values]

    # Answering ----------------------------------------------------------------------------------------------------

    def rows(self, plan: QueryPlan, shape: PersonsPlan) -> list[AnswerRow]:
        period, limit = plan.period, plan.query.limit
        groups = self._groups(plan, shape)
        totals = self._count(groups, period.whole)
        if plan.query.breakdown:
            first = sorted(groups, key=lambda key: (-totals[key], key))[:limit]
            groups = {key: groups[key] for key in first}
        points = [self._count(groups, tiles) for tiles in point_tiles(plan)]
        before = None if period.previous is None else self._count(groups, period.previous)
        rows = [
            AnswerRow(key, totals[key], None if before is None else before[key], [found[key] for found in points])
            for key in groups
        ]
        return sort_and_limit([row for row in rows if not plan.query.breakdown or row.total or row.previous], limit)

    def _groups(self, plan: QueryPlan, shape: PersonsPlan) -> dict[Key, list[int]]:
        """The answer's rows, and the keys that each one unites: of products that the period's buckets have."""
        places = [self._names.index(name) for name in plan.query.breakdown]
        tiles = dict.fromkeys((*plan.period.tiles, *(plan.period.previous or ())))
        held = [self._buckets[tile].registers.rows for tile in tiles]
        groups: dict[Key, list[int]] = {} if places else {(): []}
        for row in np.unique(np.concatenate(held)).tolist() if held else ():
            key = self._keys[row]
            if all(wanted is None or value in wanted for value, wanted in zip(key, shape.wanted, strict=True)):
                groups.setdefault(tuple(key[at] for at in places), []).append(row)
        return groups

    def _count(self, groups: Mapping[Key, Sequence[int]], tiles: Sequence[Tile]) -> dict[Key, int]:
        """The persons of each group in the union of these buckets."""
        found = [self._buckets[tile].registers for tile in tiles]
        keys, counts = list(groups), dict[Key, int]()
        for first in range(0, len(keys), GROUPS_AT_ONCE):
            portion = keys[first : first + GROUPS_AT_ONCE]
            group_of: NDArray[np.int64] = np.full(len(self._keys), -1, dtype=np.int64)
            for group, key in enumerate(portion):
                group_of[list(groups[key])] = group
            counts |= zip(portion, map(count, unite(found, group_of, len(portion))), strict=True)
        return counts
