"""Rows of answers, and the reads that all kinds of plans share.   Stage 5 of 6, pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from rtaplatform.analytics.plan.tiling import Tile
from rtaplatform.core.query import Number
from rtaplatform.core.time.buckets import BucketKind
from rtaplatform.store.port import Read, ReadBuckets, ReadFields, ReadPersonCounts, ReadPersonSketches

Answers = Mapping[Read, Any]
RowKey = tuple[str, ...]  # a row's values, in the order of the breakdown


class AnswerRow(Struct):
    """One combination of the breakdown's values, with numbers as stored."""

    key: RowKey
    total: int
    previous: int | None
    points: Iterable[int]


class AnswerRows(Struct):
    """The rows of one answer, sorted and limited. `error` as in `Meta`."""

    rows: list[AnswerRow]
    error: float | None


class ShownRow(Struct, frozen=True):
    """A row with numbers as the API shows them."""

    key: RowKey
    total: Number | None
    previous: Number | None
    points: list[Number | None]


class ShownRows(Struct, frozen=True):
    """As `AnswerRows`, ready to be shown."""

    rows: list[ShownRow]
    error: float | None


def scale_rows(stored_rows: AnswerRows, scale: int) -> ShownRows:
    """Divide the stored numbers by `scale`."""
    rows = [
        ShownRow(
            row.key,
            divide(row.total, scale),
            None if row.previous is None else divide(row.previous, scale),
            [divide(number, scale) for number in row.points],
        )
        for row in stored_rows.rows
    ]
    return ShownRows(rows, stored_rows.error)


def divide(upper: int, lower: int) -> Number:
    """An integer if the quotient is one."""
    return upper // lower if upper % lower == 0 else upper / lower


def list_cell_reads(rollup: str, tiles: Iterable[Tile], fields: tuple[str, ...] | None) -> list[ReadFields]:
    """One read per kind of bucket."""
    return [ReadFields(rollup, kind, starts, fields) for kind, starts in _group_by_kind(tiles)]


def list_bucket_reads(rollup: str, tiles: Iterable[Tile]) -> list[ReadBuckets]:
    return [ReadBuckets(rollup, kind, starts) for kind, starts in _group_by_kind(tiles)]


def list_person_count_reads(dimension: str, tiles: Iterable[Tile]) -> list[ReadPersonCounts]:
    return [ReadPersonCounts(dimension, kind, starts) for kind, starts in _group_by_kind(tiles)]


def list_sketch_reads(dimension: str, tiles: Iterable[Tile]) -> list[ReadPersonSketches]:
    return [ReadPersonSketches(dimension, kind, starts) for kind, starts in _group_by_kind(tiles)]


def _group_by_kind(tiles: Iterable[Tile]) -> list[tuple[BucketKind, tuple[int, ...]]]:
    starts: dict[BucketKind, list[int]] = {}
    for kind, start in tiles:
        starts.setdefault(kind, []).append(start)
    return [(kind, tuple(kind_starts)) for kind, kind_starts in starts.items()]


def merge_reads(reads: Iterable[Read]) -> dict[Read, Read]:
    """Map each read to the one that answers it: fields of the same buckets are read together."""
    fields: dict[tuple[str, BucketKind, tuple[int, ...]], dict[str, None] | None] = {}
    reads = list(dict.fromkeys(reads))
    for read in reads:
        if isinstance(read, ReadFields):
            group = (read.rollup, read.kind, read.starts)
            union = fields.setdefault(group, {})
            fields[group] = None if union is None or read.fields is None else union | dict.fromkeys(read.fields)
    return {read: _merge_read(read, fields) for read in reads}


def _merge_read(read: Read, fields: Mapping[tuple[str, BucketKind, tuple[int, ...]], dict[str, None] | None]) -> Read:
    if not isinstance(read, ReadFields):
        return read
    union = fields[read.rollup, read.kind, read.starts]
    return ReadFields(read.rollup, read.kind, read.starts, None if union is None else tuple(union))


def make_table(reads: Sequence[ReadFields], answers: Answers) -> dict[Tile, dict[str, int]]:
    return {
        (read.kind, start): cells
        for read in reads
        for start, cells in zip(read.starts, answers[read], strict=True)
        if cells
    }


def find_sum_error(is_hiding: bool) -> float | None:
    """The error of sums: 0, or unknown (None) if a cap has hidden a part of them."""
    return None if is_hiding else 0


def sort_and_limit(rows: list[AnswerRow], limit: int) -> list[AnswerRow]:
    return sorted(rows, key=lambda row: (-row.total, row.key))[:limit]
