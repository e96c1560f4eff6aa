"""Sums over the products of a sliding window, kept from one question to the next.   Stage 5 of 6, pure.

A bucket of 10,000 fields is read and added once, and compared afterwards by its totals alone. That is exact: every
event adds to a count of the bucket that never falls, so equal totals, in the same generation and with the ledger
nowhere behind where it was, are the same events. A bucket whose totals have moved is read whole; so are the newest one
and those that moved last time, as soon as the store hints at a change. Hints save a second read and are not needed:
the totals decide. Numbers are kept as the text that they are stored as: equal texts are equal numbers, so what has
changed in a bucket is found without reading what has not.
What a snapshot completes is the snapshot's own moment, whatever was known before. One question at a time reads for a
window: two whose snapshots came in the wrong order would look like a store that went back.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Container, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import compress, count
from operator import ne
from typing import Any

from rtaplatform.analytics.join import ProductTable, attributes_of
from rtaplatform.analytics.plan import Plan, SumsPlan
from rtaplatform.analytics.rows import Answers, Key, Row, Rows, cells_of, listings_of, table_of
from rtaplatform.analytics.sums import owns_other
from rtaplatform.analytics.tiling import Tile
from rtaplatform.core.rollups import BOT_PREFIX, OTHER, PRODUCT_ATTRIBUTES, PRODUCT_ID, PRODUCTS, SEPARATOR
from rtaplatform.store.port import Cells, Listed, Listing, Place, Snapshot

WINDOWS_MAX = 32
CELLS_MAX = 3_000_000  # kept in all windows together
READ_AT_ONCE = 2  # buckets that are new, in one read: none keeps the store for long
CHOICES_MAX = 8  # filters of a window whose products' sums are kept
ENTERED_MAX = 1_000  # names that enter a bucket between two looks; of more, each is looked up
SPARE = 200  # products looked at beyond the limit, so that the next question finds its own among them


def may_run(plan: Plan, shape: SumsPlan) -> bool:
    """Whether the question is one of whole buckets of products, over one window."""
    is_product = shape.rollup == PRODUCTS.name and shape.fields is None and shape.wanted[0] is None
    return is_product and plan.query.interval == "none" and plan.query.compare is None


class Windows:
    """The windows that were asked for last, bounded in number and size."""

    def __init__(self) -> None:
        self._windows: dict[tuple[Any, ...], Window] = {}

    @asynccontextmanager
    async def turns(self, plans: Iterable[Plan]) -> AsyncIterator[None]:
        """Wait for the windows of all these questions; in one order, so that none waits for one that waits for it."""
        windows = {self.of(p, p.shape) for p in plans if isinstance(p.shape, SumsPlan) and may_run(p, p.shape)}
        async with AsyncExitStack() as turns:
            for window in sorted(windows, key=id):
                await turns.enter_async_context(window.turn)
            yield

    def of(self, plan: Plan, shape: SumsPlan) -> Window:
        query = plan.query
        name = (plan.project, shape.measure, shape.with_bots, query.start, query.end, query.timezone)
        window = self._windows.pop(name, None) or Window(shape.measure, shape.with_bots)
        self._windows[name] = window
        while len(self._windows) > 1 and (len(self._windows) > WINDOWS_MAX or self._size() > CELLS_MAX):
            del self._windows[next(iter(self._windows))]
        return window

    def _size(self) -> int:
        return sum(window.size for window in self._windows.values())

    def touch(self, projects: Container[str] | None) -> None:
        """What these projects count has probably moved; None: that of any project."""
        for (project, *_), window in self._windows.items():
            if projects is None or project.slug in projects:
                window.is_touched = True


class Window:
    """One measure of the products, by bucket and summed. `sums` has no zeros."""

    def __init__(self, measure: str, with_bots: bool) -> None:
        prefixes = ("", BOT_PREFIX) if with_bots else ("",)
        self._starts = tuple((prefix + measure + SEPARATOR).encode() for prefix in prefixes)
        # Revenue may fall and units may stand still: the orders that they come with do not.
        counted = dict.fromkeys((measure, "orders") if measure in ("units", "revenue") else (measure,))
        self._totals = tuple(prefix + name for prefix in prefixes for name in counted)
        self.sums: dict[str, int] = {}
        self.size = 0
        self.turn = asyncio.Lock()
        self.is_touched = True  # since it was last brought to a moment
        self._reset("", {})

    def _reset(self, generation: str, ledger: Mapping[Place, int]) -> None:
        self._generation, self._ledger = generation, dict(ledger)
        self._buckets: dict[Tile, tuple[tuple[int, ...], dict[bytes, bytes]]] = {}
        self._newest: Tile | None = None
        self._moving: dict[Tile, Listed] = {}  # not known to stand still, as listed last
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

    # Reading ------------------------------------------------------------------------------------------------------

    def missing(self, tiles: Sequence[Tile]) -> list[Sequence[Tile]]:
        """Buckets to be read before the question is asked, in portions; none where few are new."""
        new = [tile for tile in tiles if tile not in self._buckets]
        return [new[at : at + READ_AT_ONCE] for at in range(0, len(new), READ_AT_ONCE)] if len(new) > 4 else []

    def reads(self, tiles: Sequence[Tile]) -> list[Cells | Listing]:
        """The totals of all buckets, and whole those that are new or have probably moved."""
        whole = [tile for tile in tiles if tile not in self._buckets or (self.is_touched and tile in self._moving)]
        return [*cells_of(PRODUCTS.name, tiles, self._totals), *listings_of(PRODUCTS.name, whole)]

    def take(self, snapshot: Snapshot, tiles: Sequence[Tile], answers: Answers) -> bool:
        """Bring these buckets to the snapshot's moment; False where some must be read again, whole.

        `answers` has those to `reads` of the same buckets.
        """
        self._follow(snapshot)
        tokens = {tile: self._token({}) for tile in tiles}
        tokens |= {
            t: self._token(c) for t, c in table_of(cells_of(PRODUCTS.name, tiles, self._totals), answers).items()
        }
        listed = self._listed(answers)
        for tile in tiles:
            if tile in listed:
                self._put(tile, tokens[tile], listed[tile])
        moved = [tile for tile in tiles if tile not in self._buckets or tokens[tile] != self._buckets[tile][0]]
        self._moving |= {tile: [] for tile in moved if tile not in self._moving}
        self.is_touched = bool(moved)
        return not moved

    @staticmethod
    def _listed(answers: Answers) -> dict[Tile, Listed]:
        listings = [read for read in answers if isinstance(read, Listing) and read.rollup == PRODUCTS.name]
        return {(r.kind, start): found for r in listings for start, found in zip(r.starts, answers[r], strict=True)}

    def keep(self, tiles: Sequence[Tile]) -> None:
        """Drop the buckets that have left the window. The last one is expected to move on."""
        self._newest = tiles[-1] if tiles else None
        for tile in self._buckets.keys() - set(tiles):
            gone = self._buckets.pop(tile)[1]
            self.size -= len(gone)
            self._change([(self._names[name][1], -int(n)) for name, n in gone.items()])
            self._moving.pop(tile, None)

    def _follow(self, snapshot: Snapshot) -> None:
        ledger = {place: row.next_offset for place, row in snapshot.ledger.items()}
        is_behind = any(ledger.get(place, 0) < offset for place, offset in self._ledger.items())
        if snapshot.generation != self._generation or is_behind:
            self._reset(snapshot.generation, ledger)
        self._ledger = ledger

    def _token(self, cells: Mapping[str, int]) -> tuple[int, ...]:
        return tuple(cells.get(name, 0) for name in self._totals)

    def _put(self, tile: Tile, token: tuple[int, ...], listed: Listed) -> None:
        known, numbers = self._buckets.get(tile, (None, dict[bytes, bytes]()))
        if token != known:
            self.size -= len(numbers)
            self._change(self._bring_up(numbers, self._moving.get(tile, []), listed))
            self.size += len(numbers)
            self._buckets[tile] = token, numbers
        if tile == self._newest or known not in (None, token):
            self._moving[tile] = listed
        else:
            self._moving.pop(tile, None)

    def _bring_up(self, numbers: dict[bytes, bytes], last: Listed, listed: Listed) -> list[tuple[str, int]]:
        """Make `numbers`, what is known of a bucket, what it holds now; returns the changes of its products.

        Over all fields only what runs in C: a bucket has 10,000, and few have changed.
        """
        names, texts = listed[::2], listed[1::2]
        held = _in_order_of(names, last) if last else None
        moved = map(ne, texts, map(numbers.get, names) if held is None else held)
        pairs = list(compress(zip(names, texts, strict=True), moved))
        found = [pair for pair in pairs if pair[0].startswith(self._starts)]
        changes: list[tuple[str, int]] = []
        for read, text in found:
            name, product = self._names.get(read) or self._learn(read)
            changes.append((product, int(text) - int(numbers.get(name, 0))))
            numbers[name] = text
        # What is not ours is in no `numbers`, so it is always among the pairs, where these were compared.
        if held is not None or len(numbers) == len(names) - (len(pairs) - len(found)):
            return changes
        gone = numbers.keys() - set(names)
        return changes + [(self._names[name][1], -int(numbers.pop(name))) for name in gone]

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
            return Rows([_row((product,), n) for n, product in self._top(limit)], is_exact)
        if products is not None and set(breakdown) <= set(PRODUCT_ATTRIBUTES) and not plan.query.filters:
            found = self._grouped(breakdown, products)
        else:
            found = self._selected(shape, breakdown, products, shows_other)
        if not breakdown:
            return Rows([_row((), sum(found.values()))], is_exact)
        return Rows([_row(key, total) for key, total in _greatest(found, limit)], is_exact)

    def _top(self, limit: int) -> list[tuple[int, str]]:
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


def _in_order_of(names: list[bytes], last: Listed) -> list[bytes | None] | None:
    """The texts of `last` in the order of `names`, None for a name that is new; None where other names moved or went.

    A bucket's names keep their order, mostly, and new ones enter between them. To walk along both lists is several
    times as fast as to look up each name, which is somewhere else in memory.
    """
    held: list[bytes | None] = list(last[1::2])
    olds, news = last[::2], iter(names)
    old, at, entered = iter(olds), 0, 0
    while (equal := next(compress(count(), map(ne, old, news)), None)) is not None:
        first = at = at + equal
        expected = olds[at - entered]
        for name in news:
            at += 1
            if name == expected:
                break
        else:
            return None
        held[first:first] = [None] * (at - first)
        entered += at - first
        if entered > ENTERED_MAX:
            return None
        at += 1
    held += [None for _ in news]
    return held if len(held) == len(names) else None


def _greatest(found: Mapping[Key, int], limit: int) -> list[tuple[Key, int]]:
    """By total descending, then by key, without zeros. Only those that reach the last one's total are compared."""
    totals = sorted(filter(None, found.values()), reverse=True)[:limit]
    rows = [(key, total) for key, total in found.items() if total and total >= totals[-1]]
    return sorted(rows, key=lambda row: (-row[1], row[0]))[:limit]


def _row(key: Key, total: int) -> Row:
    return Row(key, total, None, [total])
