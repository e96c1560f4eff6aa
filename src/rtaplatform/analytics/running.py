"""Sums over the products of a sliding window, kept from one question to the next.   Stage 5 of 6, pure.

On the ways of kept.py, for buckets of 10,000 fields: of the newest bucket, and of those that moved last time, what has
changed is read with the totals, from the log that the store keeps of a large bucket, or whole if it is small. Where
the log does not reach back, a bucket whose totals have moved is read whole. Numbers are kept as the text that they are
stored as: equal texts are equal numbers, so what has changed in a bucket is found without reading what has not.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from operator import ne

from msgspec import Struct

from rtaplatform.analytics.join import ProductTable, attributes_of
from rtaplatform.analytics.kept import MISSES_MAX, KeptSums, Token, totals_of
from rtaplatform.analytics.plan import Plan, SumsPlan
from rtaplatform.analytics.rows import Key, Row, Rows, cells_of, listings_of
from rtaplatform.analytics.sums import owns_other
from rtaplatform.analytics.tiling import Tile
from rtaplatform.core.rollups import BOT_PREFIX, OTHER, PRODUCT_ATTRIBUTES, PRODUCT_ID, PRODUCTS, SEPARATOR
from rtaplatform.store.port import Changes, Listed, Read

CHOICES_MAX = 8  # filters of a window whose products' sums are kept
SMALL = 512  # fields of a bucket that is read whole rather than asked for twice
SPARE = 200  # products looked at beyond the limit, so that the next question finds its own among them


def may_run(plan: Plan, shape: SumsPlan) -> bool:
    """Whether the question is one of whole buckets of products, over one window."""
    is_product = shape.rollup == PRODUCTS.name and shape.fields is None and shape.wanted[0] is None
    return is_product and plan.query.interval == "none" and plan.query.compare is None


class Bucket(Struct):
    """What is known of one: its totals, the numbers of our fields, and where its log ended, "" if it has none."""

    token: Token
    numbers: dict[bytes, bytes]
    position: str


class Window(KeptSums):
    """Some measures of the products, added together, by bucket and summed. `sums` has no zeros."""

    def __init__(self, measures: Sequence[str], with_bots: bool) -> None:
        prefixes = ("", BOT_PREFIX) if with_bots else ("",)
        self._starts = tuple((prefix + name + SEPARATOR).encode() for prefix in prefixes for name in measures)
        self.sums: dict[str, int] = {}
        super().__init__(PRODUCTS.name, totals_of(PRODUCTS.name, measures, with_bots))

    def _forget_all(self) -> None:
        self._buckets: dict[Tile, Bucket] = {}
        self._lost: set[Tile] = set()  # have moved, and can't be followed from where they are known
        self._names: dict[
            bytes, tuple[bytes, str]
        ] = {}  # a field of ours → itself, the same in all buckets, and its product
        self._groups: dict[tuple[str, ...], tuple[int, dict[Key, int]]] = {}
        self._chosen: dict[tuple[object, ...], tuple[int, frozenset[str], dict[Key, int]]] = {}
        self._index: tuple[int, str, dict[str, list[str]]] | None = None
        self._products: ProductTable | None = None
        self._floor, self._great = 1, dict[str, int]()
        self.sums.clear()
        self.size = 0

    def prepare(self, products: ProductTable | None) -> None:
        """Joined sums know their catalog's version."""

    # Reading ------------------------------------------------------------------------------------------------------

    def _tokens_known(self) -> Mapping[Tile, Token]:
        return {tile: bucket.token for tile, bucket in self._buckets.items()}

    def reads(self, tiles: Sequence[Tile]) -> list[Read]:
        whole = [tile for tile in tiles if self._is_read_whole(tile)]
        changes = [
            Changes(PRODUCTS.name, *tile, self._buckets[tile].position)
            for tile in tiles
            if self._is_read(tile) and tile not in whole and self._buckets[tile].position
        ]
        return [*cells_of(PRODUCTS.name, tiles, self._totals), *listings_of(PRODUCTS.name, whole), *changes]

    def _is_read_whole(self, tile: Tile) -> bool:
        bucket = self._buckets.get(tile)
        if bucket is None or tile in self._lost:
            return True
        is_small = len(bucket.numbers) <= SMALL or self._misses >= MISSES_MAX
        return self._is_read(tile) and not bucket.position and is_small

    def _note_moved(self, moved: Iterable[Tile]) -> None:
        moved = list(moved)
        self._lost |= {t for t in moved if t in self._moving or t not in self._buckets or not self._buckets[t].position}
        super()._note_moved(moved)

    def _drop(self, tile: Tile) -> None:
        gone = self._buckets.pop(tile).numbers
        self.size -= len(gone)
        self._change([(self._names[name][1], -int(n)) for name, n in gone.items()])
        self._lost.discard(tile)

    def _put(self, tile: Tile, token: Token, listed: Listed) -> None:
        bucket = self._buckets.get(tile) or Bucket((), {}, "")
        if token != bucket.token:
            names, texts = listed.fields[::2], listed.fields[1::2]
            # Over all fields only what runs in C: a bucket has 10,000, and few have changed.
            moved = map(ne, texts, map(bucket.numbers.get, names))
            self._bring_up(bucket, dict(compress(zip(names, texts, strict=True), moved)))
        self._is_known(tile, bucket, token, listed.position)

    def _put_changes(self, tile: Tile, token: Token, since: str, listed: Listed | None) -> None:
        bucket = self._buckets.get(tile)
        if bucket is None or bucket.position != since:
            return
        if listed is None:
            bucket.position = ""
            return
        self._bring_up(bucket, dict(zip(listed.fields[::2], listed.fields[1::2], strict=True)))
        self._is_known(tile, bucket, token, listed.position)

    def _is_known(self, tile: Tile, bucket: Bucket, token: Token, position: str) -> None:
        self._note_movement(tile, has_moved=bucket.token not in ((), token))
        self._lost.discard(tile)
        bucket.token, bucket.position = token, position
        self._buckets[tile] = bucket

    def _bring_up(self, bucket: Bucket, fields: Mapping[bytes, bytes]) -> None:
        """Take these fields' numbers into the bucket and the sums."""
        numbers, changes = bucket.numbers, []
        self.size -= len(numbers)
        for read, text in fields.items():
            if read.startswith(self._starts):
                name, product = self._names.get(read) or self._learn(read)
                changes.append((product, int(text) - int(numbers.get(name, 0))))
                numbers[name] = text
        self.size += len(numbers)
        self._change(changes)

    def _learn(self, name: bytes) -> tuple[bytes, str]:
        self._names[name] = name, name.partition(SEPARATOR.encode())[2].decode()
        return self._names[name]

    def _change(self, changes: Sequence[tuple[str, int]]) -> None:
        sums, great, floor = self.sums, self._great, self._floor
        for product, change in changes:
            total = sums.get(product, 0) + change
            if total:
                sums[product] = total
            else:
                sums.pop(product, None)
            if total and total >= floor:
                great[product] = total
            else:
                great.pop(product, None)
        for _, members, chosen in self._chosen.values():
            for product, _ in changes:
                if product in members:
                    if product in sums:
                        chosen[product,] = sums[product]
                    else:
                        chosen.pop((product,), None)
        for names, (version, groups) in list(self._groups.items()):
            products = self._products
            if products is None or products.version != version:
                del self._groups[names]
                continue
            for product, change in changes:
                key = tuple(attributes_of(products, product, names))
                groups[key] = groups.get(key, 0) + change

    # Answering ----------------------------------------------------------------------------------------------------

    def rows(self, plan: Plan, shape: SumsPlan, products: ProductTable | None) -> Rows:
        limit, breakdown = plan.query.limit, plan.query.breakdown
        shows_other = owns_other(plan, shape)
        is_exact = shows_other or OTHER not in self.sums
        if not shape.joined and breakdown == (PRODUCT_ID,) and shows_other:
            return Rows([_row((product,), n) for n, product in self.top(limit)], is_exact)
        if products is not None and set(breakdown) <= set(PRODUCT_ATTRIBUTES) and not plan.query.filters:
            found = self._grouped(breakdown, products)
        else:
            found = self._selected(shape, breakdown, products, shows_other)
        if not breakdown:
            return Rows([_row((), sum(found.values()))], is_exact)
        return Rows([_row(key, total) for key, total in _greatest(found, limit)], is_exact)

    def top(self, limit: int) -> list[tuple[int, str]]:
        """The greatest, by value descending, then by name. Those above a floor are kept apart, to sort few."""
        if len(self._great) < min(limit, len(self.sums)) or len(self._great) > 4 * (limit + SPARE):
            values = heapq.nlargest(limit + SPARE, self.sums.values())
            # Below the last where all fit, so that negative sums count among the greatest too.
            self._floor = values[-1] if values else 1
            self._great = {product: n for product, n in self.sums.items() if n >= self._floor}
        return [(-n, product) for n, product in heapq.nsmallest(limit, ((-n, p) for p, n in self._great.items()))]

    def _grouped(self, names: tuple[str, ...], products: ProductTable) -> dict[Key, int]:
        version, groups = self._groups.get(names, (None, {}))
        if version != products.version:
            groups = {}
            for product, total in self.sums.items():
                key = tuple(attributes_of(products, product, names))
                groups[key] = groups.get(key, 0) + total
            self._products, self._groups[names] = products, (products.version, groups)
        return groups

    def _selected(
        self, shape: SumsPlan, breakdown: tuple[str, ...], products: ProductTable | None, shows_other: bool
    ) -> dict[Key, int]:
        picked = tuple(shape.dimensions.index(name) for name in breakdown)
        candidates, needs_values = self._candidates(shape, breakdown, products)
        sums = self.sums
        if not needs_values and breakdown in ((), (PRODUCT_ID,)) and shape.joined:
            assert products is not None
            chosen = self._chosen_of(shape, candidates, products.version)
            return chosen if breakdown else {(): sum(chosen.values())}
        found: dict[Key, int] = {}
        for product in candidates:
            total = sums.get(product)
            if total is None or (product == OTHER and not shows_other):
                continue
            values = [product]
            if needs_values and products is not None:
                values += attributes_of(products, product, shape.joined)
                if any(w is not None and v not in w for v, w in zip(values, shape.wanted, strict=True)):
                    continue
            key = (OTHER,) * len(picked) if product == OTHER else tuple(values[at] for at in picked)
            found[key] = found.get(key, 0) + total
        return found

    def _chosen_of(self, shape: SumsPlan, candidates: Iterable[str], version: int) -> dict[Key, int]:
        """The sums of some products, kept up to date by each change, as long as the catalog is the same."""
        name = (shape.joined, shape.wanted)
        if name not in self._chosen or self._chosen[name][0] != version:
            if len(self._chosen) >= CHOICES_MAX:
                self._chosen.clear()
            members = frozenset(candidates)
            self._chosen[name] = version, members, {(p,): self.sums[p] for p in members if p in self.sums}
        return self._chosen[name][2]

    def _candidates(
        self, shape: SumsPlan, breakdown: tuple[str, ...], products: ProductTable | None
    ) -> tuple[Iterable[str], bool]:
        """The products of the first attribute that is filtered, where the catalog knows all of them.

        And whether their attributes are still to be looked at.
        """
        for name, wanted in zip(shape.joined, shape.wanted[1:], strict=True):
            if wanted and "" not in wanted and products is not None:
                index = self._indexed(name, products)
                found = [product for value in wanted for product in index.get(value, ())]
                return found, shape.joined != (name,) or name in breakdown
        return list(self.sums), bool(shape.joined)

    def _indexed(self, name: str, products: ProductTable) -> dict[str, list[str]]:
        if self._index is None or self._index[:2] != (products.version, name):
            index: dict[str, list[str]] = {}
            for product in products.by_id:
                index.setdefault(attributes_of(products, product, (name,))[0], []).append(product)
            self._index = products.version, name, index
        return self._index[2]


def _greatest(found: Mapping[Key, int], limit: int) -> list[tuple[Key, int]]:
    """By total descending, then by key, without zeros. Only those that reach the last one's total are compared."""
    totals = sorted(filter(None, found.values()), reverse=True)[:limit]
    rows = [(key, total) for key, total in found.items() if total and total >= totals[-1]]
    return sorted(rows, key=lambda row: (-row[1], row[0]))[:limit]


def _row(key: Key, total: int) -> Row:
    return Row(key, total, None, [total])
