"""Distinct persons: which sketches to unite.   Stage 5 of 6, pure.

Each point and the total are separate unions, because persons do not add up. A breakdown first reads which values exist.
If they are more than the limit, it counts those that may be the greatest. The numbers of the answer are then read
again, in the same snapshot as everything else. A category or brand is the union of its products' sketches. The total is
united from the coarsest buckets that cover the period, whatever the points are.
"""

from __future__ import annotations

from collections.abc import Sequence

from rtaplatform.analytics.plan.plan import QueryPlan
from rtaplatform.analytics.plan.shapes import PersonsPlan
from rtaplatform.analytics.plan.tiling import Tile
from rtaplatform.analytics.read.portions import split_into_portions
from rtaplatform.analytics.read.product_attributes import ProductTable, list_attributes
from rtaplatform.analytics.read.rows import (
    AnswerRow,
    AnswerRows,
    Answers,
    RowKey,
    list_cell_reads,
    make_table,
    sort_and_limit,
)
from rtaplatform.core.query import SKETCH_ERROR
from rtaplatform.core.rollups import PERSONS, make_field
from rtaplatform.store.port import Read, ReadFields, ReadPersons, ReadPersonValues

Group = tuple[RowKey, tuple[str, ...]]  # a row's key, and the values whose sketches it unites

RANKED_AT_ONCE = 2_000  # sketches in one read, so that no read occupies the store for long


def needs_values(plan: QueryPlan, shape: PersonsPlan) -> bool:
    """Whether the values that have sketches must be read first."""
    return shape.values is None and bool(plan.query.breakdown or shape.attributes)


def make_values_read(plan: QueryPlan, shape: PersonsPlan) -> ReadPersonValues:
    return ReadPersonValues((*plan.period.tiles, *(plan.period.previous or ())), shape.kept_as)


def group_values(
    plan: QueryPlan, shape: PersonsPlan, values: Sequence[str], products: ProductTable | None = None
) -> tuple[Group, ...]:
    """The rows of the answer. `products` is required if the plan joins their attributes."""
    breakdown = plan.query.breakdown
    groups: dict[RowKey, list[str]] = {} if breakdown else {(): []}
    for value in values:
        attributes: list[str] = []
        if shape.attributes:
            assert products is not None
            attributes = list_attributes(products, value, shape.attributes)
        if all(allowed is None or v in allowed for v, allowed in zip(attributes, shape.filters, strict=True)):
            value_of = dict(zip((shape.dimension, *shape.attributes), (value, *attributes), strict=True))
            groups.setdefault(tuple(value_of[name] for name in breakdown), []).append(value)
    return tuple((key, tuple(group_values)) for key, group_values in groups.items())


def split_groups(plan: QueryPlan, groups: Sequence[Group]) -> list[list[Group]]:
    """Split the groups into portions. The totals of a portion are read at once."""
    return split_into_portions(((group, len(group[1]) * len(plan.period.whole)) for group in groups), RANKED_AT_ONCE)


def make_total_read(plan: QueryPlan, shape: PersonsPlan, group: Group) -> ReadPersons:
    return ReadPersons(plan.period.whole, shape.kept_as, group[1])


def list_person_reads(plan: QueryPlan, shape: PersonsPlan, groups: Sequence[Group]) -> list[Read]:
    period = plan.period
    unions = [period.whole, *list_point_tiles(plan), *([period.previous] if period.previous is not None else [])]
    union_reads = [ReadPersons(tiles, shape.kept_as, values) for _, values in groups for tiles in unions]
    return [*list_sketch_gap_reads(plan, shape), *union_reads]


def list_sketch_gap_reads(plan: QueryPlan, shape: PersonsPlan) -> list[ReadFields]:
    """The reads that show whether sketches are missing (no seat) or broken in any bucket."""
    period = plan.period
    tiles = dict.fromkeys((*period.whole, *period.tiles, *(period.previous or ())))
    return list_cell_reads(
        PERSONS.name, tiles, tuple(make_field(measure, shape.kept_as) for measure in ("left_out", "broken"))
    )


def find_persons_error(plan: QueryPlan, shape: PersonsPlan, answers: Answers) -> float | None:
    return None if make_table(list_sketch_gap_reads(plan, shape), answers) else SKETCH_ERROR


def build_person_rows(plan: QueryPlan, shape: PersonsPlan, groups: Sequence[Group], answers: Answers) -> AnswerRows:
    rows = [_make_row(plan, shape, group, answers) for group in groups]
    rows = [row for row in rows if not plan.query.breakdown or row.total or row.previous]
    return AnswerRows(sort_and_limit(rows, plan.query.limit), find_persons_error(plan, shape, answers))


def _make_row(plan: QueryPlan, shape: PersonsPlan, group: Group, answers: Answers) -> AnswerRow:
    key, values = group

    def count(tiles: tuple[Tile, ...]) -> int:
        return int(answers[ReadPersons(tiles, shape.kept_as, values)])

    previous = plan.period.previous
    return AnswerRow(
        key,
        count(plan.period.whole),
        None if previous is None else count(previous),
        [count(tiles) for tiles in list_point_tiles(plan)],
    )


def list_point_tiles(plan: QueryPlan) -> list[tuple[Tile, ...]]:
    return [] if plan.query.interval == "none" else [span.tiles for span in plan.period.spans]
