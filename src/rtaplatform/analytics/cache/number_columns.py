"""Numbers of many names in some buckets, and their sums.   Stage 5 of 6, pure.

For buckets of 100,000 products. A name is a column; a bucket is a list of columns and their numbers, twelve bytes each.
A bucket that changes little by little is a dictionary until it stands still. Names that no bucket has any more
are forgotten. Numbers over 15 digits are kept as Python's, which are exact at any size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from rtaplatform.analytics.plan.tiling import Tile

DIGITS_MAX = 15  # with fewer, the sum of some thousand buckets is within 64 bits
NUMBER_BYTES, LIVE_BYTES, NAME_BYTES = 12, 120, 200
FORGOTTEN_AT = 1_024  # names without a bucket, beyond as many as are in use

Numbers = NDArray[Any]  # 64 bits, or Python's own


class UnchangedBuckets(Struct, frozen=True):
    """A bucket that stands still: columns, each once, and their numbers."""

    columns: NDArray[np.int32]
    numbers: Numbers


class NumberColumns:
    """`names` and `sums` are by column. Neither list is changed but at its end; `reshaped` counts new ones."""

    def __init__(self) -> None:
        self.names: list[bytes] = []
        self.reshaped = 0
        self._at: dict[bytes, int] = {}
        self._room: Numbers = np.zeros(64, dtype=np.int64)
        self._uses = np.zeros(64, dtype=np.int32)  # in how many buckets
        self._buckets: dict[Tile, UnchangedBuckets | dict[int, int]] = {}

    @property
    def sums(self) -> Numbers:
        return self._room[: len(self.names)]

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        live = sum(len(bucket) for bucket in self._buckets.values() if isinstance(bucket, dict))
        still = sum(len(bucket.columns) for bucket in self._buckets.values() if isinstance(bucket, UnchangedBuckets))
        return live * LIVE_BYTES + still * NUMBER_BYTES + len(self.names) * NAME_BYTES

    def is_in(self, name: bytes) -> bool:
        """Whether a bucket has it."""
        at = self._at.get(name)
        return at is not None and bool(self._uses[at])

    def column(self, name: bytes) -> int | None:
        return self._at.get(name)

    def count(self, tile: Tile) -> int:
        bucket = self._buckets.get(tile, {})
        return len(bucket) if isinstance(bucket, dict) else len(bucket.columns)

    def put(self, tile: Tile, names: Sequence[bytes], texts: Sequence[bytes]) -> None:
        """The whole bucket; a name comes once."""
        self.drop(tile)
        self._learn(names)
        if max(map(len, texts), default=0) > DIGITS_MAX:
            self._widen()
        columns = np.fromiter(map(self._at.__getitem__, names), dtype=np.int32, count=len(names))
        numbers = np.array(list(map(int, texts)), dtype=self._room.dtype)
        self._buckets[tile] = UnchangedBuckets(columns, numbers)
        self._room[columns] += numbers
        self._uses[columns] += 1

    def change(self, tile: Tile, names: Sequence[bytes], texts: Sequence[bytes]) -> None:
        """New numbers of some names of a bucket that is there. The last one counts."""
        bucket = self._live(tile)
        self._learn(names)
        if max(map(len, texts), default=0) > DIGITS_MAX:
            self._widen()
        for name, text in zip(names, texts, strict=True):
            at, number = self._at[name], int(text)
            before = bucket.get(at)
            if before is None:
                self._uses[at] += 1
            self._room[at] += number - (before or 0)
            bucket[at] = number

    def drop(self, tile: Tile) -> None:
        bucket = self._still(tile)
        if bucket is None:
            return
        del self._buckets[tile]
        self._room[bucket.columns] -= bucket.numbers
        self._uses[bucket.columns] -= 1
        self._forget()

    def rest(self, tiles: Iterable[Tile]) -> None:
        """These are not expected to change."""
        for tile in tiles:
            self._still(tile)

    # Inside -----------------------------------------------------------------------------------------------------

    def _live(self, tile: Tile) -> dict[int, int]:
        bucket = self._buckets[tile]
        if isinstance(bucket, UnchangedBuckets):
            bucket = self._buckets[tile] = dict(zip(bucket.columns.tolist(), bucket.numbers.tolist(), strict=True))
        return bucket

    def _still(self, tile: Tile) -> UnchangedBuckets | None:
        bucket = self._buckets.get(tile)
        if isinstance(bucket, dict):
            columns = np.fromiter(bucket, dtype=np.int32, count=len(bucket))
            bucket = UnchangedBuckets(columns, np.array(list(bucket.values()), dtype=self._room.dtype))
            self._buckets[tile] = bucket
        return bucket

    def _learn(self, names: Iterable[bytes]) -> None:
        new = [name for name in dict.fromkeys(names) if name not in self._at]
        self._at.update(zip(new, range(len(self.names), len(self.names) + len(new)), strict=True))
        self.names += new
        if len(self.names) > len(self._room):
            more = max(len(self.names), 2 * len(self._room)) - len(self._room)
            self._room = np.concatenate([self._room, np.zeros(more, dtype=self._room.dtype)])
            self._uses = np.concatenate([self._uses, np.zeros(more, dtype=np.int32)])

    def _widen(self) -> None:
        if self._room.dtype == object:
            return
        self._room = self._room.astype(object)
        for tile, bucket in self._buckets.items():
            if isinstance(bucket, UnchangedBuckets):
                self._buckets[tile] = UnchangedBuckets(bucket.columns, bucket.numbers.astype(object))

    def _forget(self) -> None:
        """Names that no bucket has, once they are many."""
        uses = self._uses[: len(self.names)]
        kept = np.flatnonzero(uses)
        if len(self.names) <= 2 * len(kept) + FORGOTTEN_AT:
            return
        new = np.zeros(len(uses), dtype=np.int32)
        new[kept] = np.arange(len(kept), dtype=np.int32)
        for tile in self._buckets:
            bucket = self._still(tile)
            assert bucket is not None
            self._buckets[tile] = UnchangedBuckets(new[bucket.columns], bucket.numbers)
        self._room, self._uses = self._room[kept].copy(), self._uses[kept].copy()
        self.names = [self.names[at] for at in kept.tolist()]
        self._at = dict(zip(self.names, range(len(self.names)), strict=True))
        self.reshaped += 1


def greatest(values: Numbers, limit: int) -> list[int]:
    """Places that reach the `limit`-th greatest value; zeros are none. There may be more of them, in no order."""
    found = np.flatnonzero(values)
    if len(found) <= limit:
        return [int(at) for at in found]
    held = values[found]
    least = sorted(held.tolist(), reverse=True)[limit - 1] if held.dtype == object else _nth(held, limit)
    return [int(at) for at in found[held >= least]]


def _nth(values: Numbers, limit: int) -> Any:
    return np.partition(values, len(values) - limit)[len(values) - limit]


def add_by(codes: NDArray[np.int32], values: Numbers, many: int) -> Numbers:
    """The sums of the values of each code from 0 to `many`."""
    if values.dtype != object and float(np.abs(values.astype(np.float64)).sum()) < 2.0**52:
        return np.bincount(codes, weights=values, minlength=many).astype(np.int64)  # exact: all are within 2^53
    sums = np.zeros(many, dtype=object)
    np.add.at(sums, codes, values.astype(object))
    return sums
