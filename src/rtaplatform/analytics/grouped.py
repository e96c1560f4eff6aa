"""Sums by the values that a question asks for, kept for each bucket of its window.   Stage 5 of 6, pure.

For questions that read whole buckets: of an hour's thousands of fields they need a few dozen sums. A bucket is
grouped when it is read, and read again only when its totals have moved (kept.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from rtaplatform.analytics.join import ProductTable
from rtaplatform.analytics.kept import KeptWindow, Token, totals_of
from rtaplatform.analytics.plan import Plan, SumsPlan
from rtaplatform.analytics.rows import Answers, Key, Rows, cells_of, listings_of
from rtaplatform.analytics.sums import Selector, rows_of
from rtaplatform.analytics.tiling import Tile
from rtaplatform.core.rollups import BOT_PREFIX, OTHER, field
from rtaplatform.store.port import Cells, Changes, Listed, Listing, Snapshot

FIELDS_KNOWN_MAX = 200_000
UNKNOWN: Key = ("is not known yet",)


class Bucket(Struct, frozen=True):
    """One bucket, grouped. `is_hiding`: the cap has sent something to a field that the answer leaves out."""

    token: Token
    sums: dict[Key, int]
    is_hiding: bool


class Grouped(KeptWindow):
    """The buckets of one question, whatever its limit."""

    def __init__(self, plan: Plan, shape: SumsPlan) -> None:
        self._plan, self._shape = plan, shape
        self._hidden = {(prefix + field(shape.measure, OTHER)).encode() for prefix in ("", BOT_PREFIX)}
        self._begin(None)
        super().__init__(shape.rollup, totals_of(shape.rollup, (shape.measure,), shape.with_bots))

    def _begin(self, products: ProductTable | None) -> None:
        self._version = None if products is None else products.version
        self._select = Selector(self._plan, self._shape, products)
        self._keys: dict[bytes, Key | None] = {}  # of the fields that were met

    def _forget_all(self) -> None:
        self._buckets: dict[Tile, Bucket] = {}
        self.size = 0

    def _knows(self, tile: Tile) -> bool:
        return tile in self._buckets

    def prepare(self, products: ProductTable | None) -> None:
        if products is not None and products.version != self._version:
            self._begin(products)
            self._forget_all()

    def keep(self, tiles: Sequence[Tile], newest: Tile | None) -> None:
        self._newest = newest
        for tile in self._buckets.keys() - set(tiles):
            self.size -= len(self._buckets.pop(tile).sums)
            self._moving.discard(tile)

    def reads(self, tiles: Sequence[Tile]) -> list[Cells | Listing | Changes]:
        whole = [tile for tile in tiles if tile in self._moving or tile not in self._buckets]
        return [*cells_of(self._rollup, tiles, self._totals), *listings_of(self._rollup, whole)]

    def take(self, snapshot: Snapshot, tiles: Sequence[Tile], answers: Answers) -> bool:
        self._follow(snapshot)
        tokens = self._tokens(tiles, answers)
        for read, answer in answers.items():
            match read:
                case Listing(self._rollup, kind, starts):
                    for start, listed in zip(starts, answer, strict=True):
                        if (kind, start) in tokens:
                            self._put((kind, start), tokens[kind, start], listed)
        moved = [tile for tile in tiles if tile not in self._buckets or tokens[tile] != self._buckets[tile].token]
        self._moving |= set(moved)
        return not moved

    def _put(self, tile: Tile, token: Token, listed: Listed) -> None:
        before = self._buckets.get(tile)
        if before is None or token != before.token:
            bucket = self._buckets[tile] = self._grouped(token, listed.fields)
            self.size += len(bucket.sums) - (len(before.sums) if before else 0)
        self._note_movement(tile, has_moved=before is not None and token != before.token)

    def _grouped(self, token: Token, fields: Sequence[bytes]) -> Bucket:
        keys, sums, is_hiding = self._keys, dict[Key, int](), False
        if len(keys) > FIELDS_KNOWN_MAX:
            keys.clear()
        for name, number in zip(fields[::2], fields[1::2], strict=True):
            key = keys.get(name, UNKNOWN)
            if key is UNKNOWN:
                key = keys[name] = self._select(name.decode())
            if key is not None:
                sums[key] = sums.get(key, 0) + int(number)
            elif name in self._hidden:
                is_hiding = True
        return Bucket(token, sums, is_hiding)

    def rows(self, plan: Plan, shape: SumsPlan, products: ProductTable | None) -> Rows:
        period = plan.period
        spans = [self._sum(span.tiles) for span in period.spans]
        before = None if period.previous is None else self._sum(period.previous)
        is_hiding = any(self._buckets[tile].is_hiding for tile in (*period.tiles, *(period.previous or ())))
        return rows_of(plan, spans, before, is_exact=not is_hiding)

    def _sum(self, tiles: Sequence[Tile]) -> Mapping[Key, int]:
        if len(tiles) == 1:
            return self._buckets[tiles[0]].sums
        sums: dict[Key, int] = {}
        for tile in tiles:
            for key, number in self._buckets[tile].sums.items():
                sums[key] = sums.get(key, 0) + number
        return sums
