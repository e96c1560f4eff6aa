"""A table with a row per bucket and a column per name, and the sum of each column.   Stage 5 of 6, pure.

Buckets may have 100,000 products. A bucket that does not change is packed into two arrays: column indices and numbers,
12 bytes per field. A bucket that changes is a dictionary until `pack_buckets` packs it again. Names without a bucket
are removed from time to time, so memory follows the buckets that are present. Numbers of more than 15 digits switch
the table to Python integers, which are exact at any size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from rtaplatform.analytics.plan.tiling import Tile

DIGITS_MAX = 15  # with at most so many, the sum over several thousand buckets fits into 64 bits
NUMBER_BYTES, DICT_ENTRY_BYTES, NAME_BYTES = 12, 120, 200
UNUSED_NAMES_MAX = 1_024  # in addition to as many unused names as used ones

Numbers = NDArray[Any]  # 64-bit or Python integers


class PackedBucket(Struct, frozen=True):
    """A bucket as arrays: distinct column indices, and the number of each."""

    columns: NDArray[np.int32]
    numbers: Numbers


class NumberColumns:
    """`names` and `sums` are indexed by column. An index stays valid until `reshape_count` changes."""

    def __init__(self) -> None:
        self.names: list[bytes] = []
        self.reshape_count = 0
        self._column_of: dict[bytes, int] = {}
        self._sums: Numbers = np.zeros(64, dtype=np.int64)  # longer than `names`, so that it seldom grows
        self._bucket_counts = np.zeros(64, dtype=np.int32)  # the number of buckets that have a column
        self._buckets: dict[Tile, PackedBucket | dict[int, int]] = {}

    @property
    def sums(self) -> Numbers:
        return self._sums[: len(self.names)]

    @property
    def size(self) -> int:
        """Approximate bytes."""
        dict_fields = sum(len(bucket) for bucket in self._buckets.values() if isinstance(bucket, dict))
        packed_fields = sum(
            len(bucket.columns) for bucket in self._buckets.values() if isinstance(bucket, PackedBucket)
        )
        return dict_fields * DICT_ENTRY_BYTES + packed_fields * NUMBER_BYTES + len(self.names) * NAME_BYTES

    def has_name(self, name: bytes) -> bool:
        """Whether any bucket has the name."""
        column = self._column_of.get(name)
        return column is not None and bool(self._bucket_counts[column])

    def find_column(self, name: bytes) -> int | None:
        return self._column_of.get(name)

    def count_fields(self, tile: Tile) -> int:
        bucket = self._buckets.get(tile, {})
        return len(bucket) if isinstance(bucket, dict) else len(bucket.columns)

    def put_bucket(self, tile: Tile, names: Sequence[bytes], texts: Sequence[bytes]) -> None:
        """Replace the whole bucket. The names are distinct."""
        self.drop_bucket(tile)
        self._add_names(names)
        if max(map(len, texts), default=0) > DIGITS_MAX:
            self._use_python_integers()
        columns = np.fromiter(map(self._column_of.__getitem__, names), dtype=np.int32, count=len(names))
        numbers = np.array(list(map(int, texts)), dtype=self._sums.dtype)
        self._buckets[tile] = PackedBucket(columns, numbers)
        self._sums[columns] += numbers
        self._bucket_counts[columns] += 1

    def change_bucket(self, tile: Tile, names: Sequence[bytes], texts: Sequence[bytes]) -> None:
        """Set some numbers of a bucket that is present. If a name repeats, its last number counts."""
        bucket = self._unpack_bucket(tile)
        self._add_names(names)
        if max(map(len, texts), default=0) > DIGITS_MAX:
            self._use_python_integers()
        for name, text in zip(names, texts, strict=True):
            column, number = self._column_of[name], int(text)
            old_number = bucket.get(column)
            if old_number is None:
                self._bucket_counts[column] += 1
            self._sums[column] += number - (old_number or 0)
            bucket[column] = number

    def drop_bucket(self, tile: Tile) -> None:
        bucket = self._pack_bucket(tile)
        if bucket is None:
            return
        del self._buckets[tile]
        self._sums[bucket.columns] -= bucket.numbers
        self._bucket_counts[bucket.columns] -= 1
        self._remove_unused_names()

    def pack_buckets(self, tiles: Iterable[Tile]) -> None:
        """Pack buckets that are not expected to change."""
        for tile in tiles:
            self._pack_bucket(tile)

    # Internal ---------------------------------------------------------------------------------------------------

    def _unpack_bucket(self, tile: Tile) -> dict[int, int]:
        bucket = self._buckets[tile]
        if isinstance(bucket, PackedBucket):
            bucket = self._buckets[tile] = dict(zip(bucket.columns.tolist(), bucket.numbers.tolist(), strict=True))
        return bucket

    def _pack_bucket(self, tile: Tile) -> PackedBucket | None:
        bucket = self._buckets.get(tile)
        if isinstance(bucket, dict):
            columns = np.fromiter(bucket, dtype=np.int32, count=len(bucket))
            bucket = PackedBucket(columns, np.array(list(bucket.values()), dtype=self._sums.dtype))
            self._buckets[tile] = bucket
        return bucket

    def _add_names(self, names: Iterable[bytes]) -> None:
        new_names = [name for name in dict.fromkeys(names) if name not in self._column_of]
        first, last = len(self.names), len(self.names) + len(new_names)
        self._column_of.update(zip(new_names, range(first, last), strict=True))
        self.names += new_names
        if len(self.names) > len(self._sums):
            growth = max(len(self.names), 2 * len(self._sums)) - len(self._sums)
            self._sums = np.concatenate([self._sums, np.zeros(growth, dtype=self._sums.dtype)])
            self._bucket_counts = np.concatenate([self._bucket_counts, np.zeros(growth, dtype=np.int32)])

    def _use_python_integers(self) -> None:
        if self._sums.dtype == object:
            return
        self._sums = self._sums.astype(object)
        for tile, bucket in self._buckets.items():
            if isinstance(bucket, PackedBucket):
                self._buckets[tile] = PackedBucket(bucket.columns, bucket.numbers.astype(object))

    def _remove_unused_names(self) -> None:
        """Remove the names that no bucket has, if they are many. All columns get new indices then."""
        used_columns = np.flatnonzero(self._bucket_counts[: len(self.names)])
        if len(self.names) <= 2 * len(used_columns) + UNUSED_NAMES_MAX:
            return
        new_columns = np.zeros(len(self.names), dtype=np.int32)
        new_columns[used_columns] = np.arange(len(used_columns), dtype=np.int32)
        for tile in self._buckets:
            bucket = self._pack_bucket(tile)
            assert bucket is not None
            self._buckets[tile] = PackedBucket(new_columns[bucket.columns], bucket.numbers)
        self._sums, self._bucket_counts = self._sums[used_columns].copy(), self._bucket_counts[used_columns].copy()
        self.names = [self.names[column] for column in used_columns.tolist()]
        self._column_of = dict(zip(self.names, range(len(self.names)), strict=True))
        self.reshape_count += 1


def find_greatest(values: Numbers, limit: int) -> list[int]:
    """Indices of the `limit` greatest values other than zero, in no order. Ties may make them more than `limit`."""
    indices = np.flatnonzero(values)
    if len(indices) <= limit:
        return [int(index) for index in indices]
    nonzero = values[indices]
    least = _find_nth_greatest(nonzero, limit)
    return [int(index) for index in indices[nonzero >= least]]


def _find_nth_greatest(values: Numbers, n: int) -> Any:
    if values.dtype == object:
        return sorted(values.tolist(), reverse=True)[n - 1]
    return np.partition(values, len(values) - n)[len(values) - n]


def sum_by_code(codes: NDArray[np.int32], values: Numbers, code_count: int) -> Numbers:
    """Add the values of each code from 0 to `code_count` - 1."""
    if values.dtype != object and float(np.abs(values.astype(np.float64)).sum()) < 2.0**52:
        return np.bincount(codes, weights=values, minlength=code_count).astype(
            np.int64
        )  # exact: all sums are within 2^53
    sums = np.zeros(code_count, dtype=object)
    np.add.at(sums, codes, values.astype(object))
    return sums
