"""Metrics that add up: which cells to read, and how to add them.   Stage 5 of 6, pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from rtaplatform.analytics.plan.plan import QueryPlan, SumsPlan
from rtaplatform.analytics.plan.tiling import Tile
from rtaplatform.analytics.read.product_attributes import ProductTable, attributes_of
from rtaplatform.analytics.read.rows import AnswerRow, AnswerRows, Answers, Key, cells_of, error_of, table_of
from rtaplatform.core.caps import ANCHORS
from rtaplatform.core.rollups import BOT_PREFIX, OTHER, PRODUCT_ID, PRODUCTS, SEPARATOR, SHORT_PREFIX
from rtaplatform.store.port import ReadFields

Sums = Mapping[Key, int]


class FieldMeaning(Struct, frozen=True):
    """What a field says to a question: it belongs to a row, or hides something of its rows, or both, or neither."""

    key: Key | None = None
    hides: bool = False


NOTHING, HIDING = FieldMeaning(), FieldMeaning(hides=True)


def sums_reads(plan: QueryPlan, shape: SumsPlan) -> list[ReadFields]:
    return cells_of(shape.rollup, (*plan.period.tiles, *(plan.period.previous or ())), shape.fields)


def sums_rows(plan: QueryPlan, shape: SumsPlan, answers: Answers, products: ProductTable | None = None) -> AnswerRows:
    """`products` is needed where the plan joins their attributes."""
    table = table_of(sums_reads(plan, shape), answers)
    if shape.fields is not None and shape.is_total:
        return _total_rows(plan, shape.fields, table)
    reading, meanings = FieldReading(plan, shape, products), dict[str, FieldMeaning]()
    found = {tile: add_fields(cells.items(), reading, meanings) for tile, cells in table.items()}
    spans = [_united(span.tiles, found) for span in plan.period.spans]
    before = None if plan.period.previous is None else _united(plan.period.previous, found)
    return rows_of(plan, spans, before, is_hiding=any(is_hiding for _, is_hiding in found.values()))


def rows_of(plan: QueryPlan, spans: Sequence[Sums], before: Sums | None, *, is_hiding: bool) -> AnswerRows:
    """The rows of the greatest totals, or weighted sums, from the sums of each point and of the period before."""
    totals = dict.fromkeys(before or (), 0)
    for found in spans:
        for key, number in found.items():
            totals[key] = totals.get(key, 0) + number
    keys: Iterable[Key] = [()]
    if plan.query.breakdown:
        scores = _weighted(spans, plan.weights) if plan.weights else totals
        keys = heapq.nsmallest(plan.query.limit, totals, key=lambda key: (-scores.get(key, 0), key))
    rows = [
        AnswerRow(key, totals.get(key, 0), None if before is None else before.get(key, 0), PointsOfRow(spans, key))
        for key in keys
    ]
    return AnswerRows(rows, error_of(is_hiding))


def _weighted(spans: Sequence[Sums], weights: Sequence[int]) -> Sums:
    scores: dict[Key, int] = {}
    for found, weight in zip(spans, weights, strict=True):
        for key, number in found.items():
            scores[key] = scores.get(key, 0) + weight * number
    return scores


class PointsOfRow(Struct, frozen=True):
    """A row's points, looked up when they are read: of a hundred thousand rows a few are shown."""

    spans: Sequence[Sums]
    key: Key

    def __iter__(self) -> Iterator[int]:
        return (sums.get(self.key, 0) for sums in self.spans)


def _total_rows(plan: QueryPlan, fields: tuple[str, ...], table: Mapping[Tile, Mapping[str, int]]) -> AnswerRows:
    """Of one number a bucket: there may be thousands of points."""
    nothing: Mapping[str, int] = {}

    def total(tiles: Iterable[Tile]) -> int:
        return sum([table.get(tile, nothing).get(name, 0) for tile in tiles for name in fields])

    points = [total(span.tiles) for span in plan.period.spans]
    previous = None if plan.period.previous is None else total(plan.period.previous)
    is_short = any(SHORT_PREFIX + name in cells for cells in table.values() for name in fields)
    return AnswerRows([AnswerRow((), sum(points), previous, points)], error_of(is_short))


class FieldReading:
    """How a question reads the fields of its rollup."""

    def __init__(self, plan: QueryPlan, shape: SumsPlan, products: ProductTable | None = None) -> None:
        self._shape, self._products = shape, products
        self._picked = tuple(shape.dimensions.index(name) for name in plan.query.breakdown)
        # A value that has a seat has a field of this measure, also where nothing was added to it.
        self.may_be_empty = shape.rollup == PRODUCTS.name and shape.measure == ANCHORS[PRODUCTS.name]

    def meaning(self, name: str) -> FieldMeaning:
        if name.startswith(SHORT_PREFIX):
            lacking = self.meaning(name[1:])
            return HIDING if lacking.key is not None or lacking.hides else NOTHING
        shape = self._shape
        if name.startswith(BOT_PREFIX):
            if not shape.with_bots:
                return NOTHING
            name = name[len(BOT_PREFIX) :]
        measure, *values = name.split(SEPARATOR)
        if measure == shape.shared and not values:
            return HIDING
        if measure != shape.measure or shape.is_total != (not values):
            return NOTHING
        return FieldMeaning(()) if shape.is_total else self._of_values(values)

    def _of_values(self, values: list[str]) -> FieldMeaning:
        """What is not told apart any more may be what is asked for; it hides that unless it is asked for itself."""
        shape = self._shape
        if shape.joined:
            assert self._products is not None
            values += attributes_of(self._products, values[shape.dimensions.index(PRODUCT_ID)], shape.joined)
        is_hidden = False
        for value, wanted in zip(values, shape.wanted, strict=True):
            if wanted is not None and value not in wanted:
                if value != OTHER:
                    return NOTHING
                is_hidden = True
        if is_hidden:
            return HIDING
        is_open = any(v == OTHER and w is not None for v, w in zip(values, shape.wanted, strict=True))
        key = tuple(values[at] for at in self._picked)
        return FieldMeaning(key, hides=is_open or OTHER in key)


def add_fields(
    fields: Iterable[tuple[str, int]], reading: FieldReading, meanings: dict[str, FieldMeaning]
) -> tuple[dict[Key, int], bool]:
    """A bucket's sums, and whether anything of them is hidden. `meanings` are kept for the next bucket."""
    sums: dict[Key, int] = {}
    is_hiding = False
    for name, number in fields:
        meaning = meanings.get(name)
        if meaning is None:
            meaning = meanings[name] = reading.meaning(name)
        is_hiding = is_hiding or meaning.hides
        if meaning.key is not None and (number or not reading.may_be_empty):
            sums[meaning.key] = sums.get(meaning.key, 0) + number
    return sums, is_hiding


def _united(tiles: Iterable[Tile], found: Mapping[Tile, tuple[Sums, bool]]) -> dict[Key, int]:
    sums: dict[Key, int] = {}
    for tile in tiles:
        for key, number in found[tile][0].items() if tile in found else ():
            sums[key] = sums.get(key, 0) + number
    return sums
