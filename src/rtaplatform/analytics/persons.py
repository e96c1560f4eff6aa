"""Distinct persons: which sketches to unite.   Stage 5 of 6, pure.

A point and the whole are unions of their own, since persons do not add up. A breakdown first asks which values
there are, then (only where they are more than the limit) counts each to find the greatest; the numbers shown
are read again with everything else, in one moment.
"""

from __future__ import annotations

from collections.abc import Sequence

from rtaplatform.analytics.plan import PersonsPlan, Plan
from rtaplatform.analytics.rows import Answers, Row, Rows, sort_and_limit
from rtaplatform.analytics.tiling import Tile
from rtaplatform.core.errors import InvalidParameter
from rtaplatform.store.port import Persons, PersonValues, Read

SKETCHES_MAX = 50_000  # in one answer
RANKED_AT_ONCE = 2_000  # sketches in one read, so that none keeps the store for long


def values_read(plan: Plan, shape: PersonsPlan) -> PersonValues:
    return PersonValues((*plan.period.tiles, *(plan.period.previous or ())), shape.dimension)


def ranking_reads(plan: Plan, shape: PersonsPlan, values: Sequence[str]) -> list[list[Read]]:
    """Reads of the totals of all values, in portions."""
    tiles = plan.period.tiles
    size = max(1, RANKED_AT_ONCE // max(1, len(tiles)))
    reads: list[Read] = [Persons(tiles, shape.dimension, (value,)) for value in values]
    return [reads[at : at + size] for at in range(0, len(reads), size)]


def persons_reads(plan: Plan, shape: PersonsPlan, values: Sequence[str]) -> list[Read]:
    groups = _groups(plan, shape, values)
    period = plan.period
    asked = [period.tiles, *_point_tiles(plan), *([period.previous] if period.previous is not None else [])]
    if sum(map(len, asked)) * sum(map(len, groups)) > SKETCHES_MAX:
        raise InvalidParameter(
            "This would unite too many sketches of persons at once.",
            field="breakdown" if plan.query.breakdown else "interval", allowed=f"{SKETCHES_MAX} sketches",
            hint="Use a shorter period, a longer interval or a smaller `limit`.",
        )  # fmt: skip
    return [Persons(tiles, shape.dimension, group) for group in groups for tiles in asked]


def persons_rows(plan: Plan, shape: PersonsPlan, values: Sequence[str], answers: Answers) -> Rows:
    rows = [_row(plan, shape, group, answers) for group in _groups(plan, shape, values)]
    kept = [row for row in rows if not plan.query.breakdown or row.total or row.previous]
    return Rows(sort_and_limit(kept, plan.query.limit), is_exact=False)


def _groups(plan: Plan, shape: PersonsPlan, values: Sequence[str]) -> list[tuple[str, ...]]:
    """The values of each row: one each in a breakdown, else all that are asked for."""
    if plan.query.breakdown:
        return [(value,) for value in values]
    return [shape.values or ("",)]


def _row(plan: Plan, shape: PersonsPlan, group: tuple[str, ...], answers: Answers) -> Row:
    def count(tiles: tuple[Tile, ...]) -> int:
        return int(answers[Persons(tiles, shape.dimension, group)])

    previous = plan.period.previous
    return Row(
        group if plan.query.breakdown else (),
        count(plan.period.tiles),
        None if previous is None else count(previous),
        [count(tiles) for tiles in _point_tiles(plan)],
    )


def _point_tiles(plan: Plan) -> list[tuple[Tile, ...]]:
    return [] if plan.query.interval == "none" else [span.tiles for span in plan.period.spans]
