"""Metrics that add up: which counters to read, and how to add them.   Stage 5 of 6, pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from rtaplatform.analytics.plan.plan import QueryPlan
from rtaplatform.analytics.plan.shapes import SumsPlan
from rtaplatform.analytics.plan.tiling import Tile
from rtaplatform.analytics.read.product_attributes import ProductTable, list_attributes
from rtaplatform.analytics.read.rows import (
    AnswerRow,
    AnswerRows,
    Answers,
    RowKey,
    find_sum_error,
    list_cell_reads,
    make_table,
)
from rtaplatform.core.caps import ANCHORS
from rtaplatform.core.rollups import BOT_PREFIX, BY_PRODUCT, FALLING, OTHER, PRODUCT_ID, SEPARATOR, SHORT_PREFIX
from rtaplatform.store.port import ReadFields

Sums = Mapping[RowKey, int]


class FieldMeaning(Struct, frozen=True):
    """What a field means to a question: `key` is its row, if it has one; `hides`: a part of a row may be in it."""

    key: RowKey | None = None
    hides: bool = False


NOTHING, HIDING = FieldMeaning(), FieldMeaning(hides=True)


def list_sum_reads(plan: QueryPlan, shape: SumsPlan) -> list[ReadFields]:
    return list_cell_reads(shape.rollup, (*plan.period.tiles, *(plan.period.previous or ())), shape.fields)


def build_sum_rows(
    plan: QueryPlan, shape: SumsPlan, answers: Answers, products: ProductTable | None = None
) -> AnswerRows:
    """`products` is required if the plan joins their attributes."""
    table = make_table(list_sum_reads(plan, shape), answers)
    if shape.fields is not None and shape.is_total:
        return _add_totals(plan, shape.fields, table)
    reading, meanings = FieldReading(plan, shape, products), dict[str, FieldMeaning]()
    buckets = {tile: add_fields(cells.items(), reading, meanings) for tile, cells in table.items()}
    point_sums = [_add_buckets(span.tiles, buckets) for span in plan.period.spans]
    previous_sums = None if plan.period.previous is None else _add_buckets(plan.period.previous, buckets)
    return build_rows(plan, point_sums, previous_sums, is_hiding=any(is_hiding for _, is_hiding in buckets.values()))


def build_rows(
    plan: QueryPlan, point_sums: Sequence[Sums], previous_sums: Sums | None, *, is_hiding: bool
) -> AnswerRows:
    """The rows with the greatest totals or weighted sums, from the sums of each point and of the previous period."""
    totals = dict.fromkeys(previous_sums or (), 0)
    for sums in point_sums:
        for key, number in sums.items():
            totals[key] = totals.get(key, 0) + number
    keys: Iterable[RowKey] = [()]
    if plan.query.breakdown:
        scores = _add_weighted(point_sums, plan.weights) if plan.weights else totals
        keys = heapq.nsmallest(plan.query.limit, totals, key=lambda key: (-scores.get(key, 0), key))
    rows = [
        AnswerRow(
            key,
            totals.get(key, 0),
            None if previous_sums is None else previous_sums.get(key, 0),
            PointsOfRow(point_sums, key),
        )
        for key in keys
    ]
    return AnswerRows(rows, find_sum_error(is_hiding))


def _add_weighted(point_sums: Sequence[Sums], weights: Sequence[int]) -> Sums:
    scores: dict[RowKey, int] = {}
    for sums, weight in zip(point_sums, weights, strict=True):
        for key, number in sums.items():
            scores[key] = scores.get(key, 0) + weight * number
    return scores


class PointsOfRow(Struct, frozen=True):
    """The points of a row, looked up when they are read: of 100,000 rows, few are shown."""

    point_sums: Sequence[Sums]
    key: RowKey

    def __iter__(self) -> Iterator[int]:
        return (sums.get(self.key, 0) for sums in self.point_sums)


def _add_totals(plan: QueryPlan, fields: tuple[str, ...], table: Mapping[Tile, Mapping[str, int]]) -> AnswerRows:
    """Rows of one field per bucket. There may be thousands of points, so nothing is grouped."""
    empty: Mapping[str, int] = {}

    def add_tiles(tiles: Iterable[Tile]) -> int:
        return sum([table.get(tile, empty).get(name, 0) for tile in tiles for name in fields])

    points = [add_tiles(span.tiles) for span in plan.period.spans]
    previous = None if plan.period.previous is None else add_tiles(plan.period.previous)
    is_short = any(SHORT_PREFIX + name in cells for cells in table.values() for name in fields)
    return AnswerRows([AnswerRow((), sum(points), previous, points)], find_sum_error(is_short))


class FieldReading:
    """Interprets the fields of a rollup for one question."""

    def __init__(self, plan: QueryPlan, shape: SumsPlan, products: ProductTable | None = None) -> None:
        self._shape, self._products = shape, products
        self._breakdown_indices = tuple(shape.dimensions.index(name) for name in plan.query.breakdown)
        # A value with a seat always has a field of this measure, which may be 0. Numbers of sessions may fall to 0.
        is_anchor = shape.rollup in BY_PRODUCT and shape.measure == ANCHORS[shape.rollup]
        self.may_be_empty = is_anchor or shape.rollup in FALLING

    def interpret_field(self, name: str) -> FieldMeaning:
        if name.startswith(SHORT_PREFIX):
            meaning = self.interpret_field(name[1:])
            return HIDING if meaning.key is not None or meaning.hides else NOTHING
        shape = self._shape
        if name.startswith(BOT_PREFIX):
            if not shape.with_bots:
                return NOTHING
            name = name[len(BOT_PREFIX) :]
        measure, *values = name.split(SEPARATOR)
        if measure == shape.shared_total and not values:
            return HIDING
        if measure != shape.measure or shape.is_total != (not values):
            return NOTHING
        return FieldMeaning(()) if shape.is_total else self._interpret_values(values)

    def _interpret_values(self, values: list[str]) -> FieldMeaning:
        """The meaning of a field with these values.

        `(other)` may include a value that the filter asks for, so it hides a part of the row.
        """
        shape = self._shape
        if shape.attributes:
            assert self._products is not None
            values += list_attributes(self._products, values[shape.dimensions.index(PRODUCT_ID)], shape.attributes)
        is_hidden = False
        for value, filter_values in zip(values, shape.filters, strict=True):
            if filter_values is not None and value not in filter_values:
                if value != OTHER:
                    return NOTHING
                is_hidden = True
        if is_hidden:
            return HIDING
        is_open = any(v == OTHER and w is not None for v, w in zip(values, shape.filters, strict=True))
        key = tuple(values[index] for index in self._breakdown_indices)
        return FieldMeaning(key, hides=is_open or OTHER in key)


def add_fields(
    fields: Iterable[tuple[str, int]], reading: FieldReading, meanings: dict[str, FieldMeaning]
) -> tuple[dict[RowKey, int], bool]:
    """Add up a bucket: its sums, and whether a part of them is hidden. `meanings` is a cache for the next bucket."""
    sums: dict[RowKey, int] = {}
    is_hiding = False
    for name, number in fields:
        meaning = meanings.get(name)
        if meaning is None:
            meaning = meanings[name] = reading.interpret_field(name)
        is_hiding = is_hiding or meaning.hides
        if meaning.key is not None and (number or not reading.may_be_empty):
            sums[meaning.key] = sums.get(meaning.key, 0) + number
    return sums, is_hiding


def _add_buckets(tiles: Iterable[Tile], buckets: Mapping[Tile, tuple[Sums, bool]]) -> dict[RowKey, int]:
    sums: dict[RowKey, int] = {}
    for tile in tiles:
        for key, number in buckets[tile][0].items() if tile in buckets else ():
            sums[key] = sums.get(key, 0) + number
    return sums
