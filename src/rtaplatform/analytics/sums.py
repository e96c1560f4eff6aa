"""Metrics that add up: which cells to read, and how to add them.   Stage 5 of 6, pure."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence

from rtaplatform.analytics.join import ProductTable, attributes_of
from rtaplatform.analytics.plan import Plan, SumsPlan
from rtaplatform.analytics.rows import Answers, Key, Row, Rows, cells_of, table_of
from rtaplatform.analytics.tiling import Tile
from rtaplatform.core.rollups import BOT_PREFIX, OTHER, PRODUCT_ID, SEPARATOR
from rtaplatform.store.port import Cells

# The measures whose every event is the metric's own, so that what the cap left out belongs to it.
OF_ORDERS_ONLY = frozenset({"units", "revenue", "other_currencies"})

Sums = Mapping[Key, int]


def sums_reads(plan: Plan, shape: SumsPlan) -> list[Cells]:
    return cells_of(shape.rollup, (*plan.period.tiles, *(plan.period.previous or ())), shape.fields)


def sums_rows(plan: Plan, shape: SumsPlan, answers: Answers, products: ProductTable | None = None) -> Rows:
    """`products` is needed where the plan joins their attributes."""
    table = table_of(sums_reads(plan, shape), answers)
    if shape.fields is not None and shape.is_total:
        return _total_rows(plan, shape.fields, table)
    select = Selector(plan, shape, products)
    spans = [_add(span.tiles, table, select) for span in plan.period.spans]
    before = None if plan.period.previous is None else _add(plan.period.previous, table, select)
    return rows_of(plan, spans, before, is_exact=not select.has_hidden)


def rows_of(plan: Plan, spans: Sequence[Sums], before: Sums | None, *, is_exact: bool) -> Rows:
    """The rows of the greatest totals, from the sums of each point and of the period before."""
    totals = dict.fromkeys(before or (), 0)
    for found in spans:
        for key, number in found.items():
            totals[key] = totals.get(key, 0) + number
    keys: Iterable[Key] = [()]
    if plan.query.breakdown:
        keys = heapq.nsmallest(plan.query.limit, totals, key=lambda key: (-totals[key], key))
    rows = [
        Row(key, totals.get(key, 0), None if before is None else before.get(key, 0), [f.get(key, 0) for f in spans])
        for key in keys
    ]
    return Rows(rows, is_exact)


def _total_rows(plan: Plan, fields: tuple[str, ...], table: Mapping[Tile, Mapping[str, int]]) -> Rows:
    """Of one number a bucket: there may be thousands of points."""
    nothing: Mapping[str, int] = {}

    def total(tiles: Iterable[Tile]) -> int:
        return sum([table.get(tile, nothing).get(name, 0) for tile in tiles for name in fields])

    points = [total(span.tiles) for span in plan.period.spans]
    previous = None if plan.period.previous is None else total(plan.period.previous)
    return Rows([Row((), sum(points), previous, points)], is_exact=True)


class Selector:
    """Field → the key of its row, or None. Remembers each field, since every bucket has the same ones."""

    def __init__(self, plan: Plan, shape: SumsPlan, products: ProductTable | None = None) -> None:
        self._shape, self._products = shape, products
        self._picked = tuple(shape.dimensions.index(name) for name in plan.query.breakdown)
        self._shows_other = owns_other(plan, shape)
        self._known: dict[str, Key | None] = {}
        self.has_hidden = False

    def __call__(self, name: str) -> Key | None:
        if name not in self._known:
            self._known[name] = self.key(name)
        return self._known[name]

    def key(self, name: str) -> Key | None:
        shape = self._shape
        if name.startswith(BOT_PREFIX):
            if not shape.with_bots:
                return None
            name = name[len(BOT_PREFIX) :]
        measure, *values = name.split(SEPARATOR)
        if measure != shape.measure or shape.is_total != (not values):
            return None
        if shape.is_total:
            return ()
        if values == [OTHER]:
            self.has_hidden |= not self._shows_other
            return (OTHER,) * len(self._picked) if self._shows_other else None
        if shape.joined:
            assert self._products is not None
            values += attributes_of(self._products, values[shape.dimensions.index(PRODUCT_ID)], shape.joined)
        if any(w is not None and v not in w for v, w in zip(values, shape.wanted, strict=True)):
            return None
        return tuple(values[at] for at in self._picked)


def owns_other(plan: Plan, shape: SumsPlan) -> bool:
    """Whether all that the cap left out belongs to the answer."""
    return not plan.query.filters and (shape.measure in OF_ORDERS_ONLY or all(w is None for w in shape.wanted))


def _add(
    tiles: Iterable[Tile], table: dict[Tile, dict[str, int]], select: Callable[[str], Key | None]
) -> dict[Key, int]:
    sums: dict[Key, int] = {}
    for tile in tiles:
        for name, number in table.get(tile, {}).items():
            key = select(name)
            if key is not None:
                sums[key] = sums.get(key, 0) + number
    return sums
