"""Registers of HyperLogLogs in the server's format, their union and its count.   Pure.   Read by the analytics.

The server counts the union of a few sketches at once. For thousands of sketches that are asked for again and again, it
is cheaper to keep their union. Both ways lead to the same number: the estimate here repeats the server's operations.

Source: Ertl, New cardinality estimation algorithms for HyperLogLog sketches (2017); the formats, sparse and dense, are
those of Redis's hyperloglog.c.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from rtaplatform.core.sketches.hyperloglog import HEADER, INDEX_BITS, RANK_BITS, REGISTERS

ENCODING_INDEX = 4  # the byte of the header that tells the encoding
DENSE, SPARSE = 0, 1
RANK_WIDTH, RANK_MASK = 6, 63
ALPHA = 0.721347520444481703680  # 0.5 / ln 2

Ranks = NDArray[np.uint8]  # of REGISTERS registers, or of rows of them


class Registers(Struct, frozen=True):
    """The registers of some rows, in whichever form is smaller: only those that are not 0, or all of them.

    In the first form, `places` has row · REGISTERS + register of each. `rows` are in ascending order.
    """

    rows: NDArray[np.int64]
    places: NDArray[np.int64]
    ranks: Ranks

    @property
    def is_whole(self) -> bool:
        return self.ranks.ndim > 1

    @property
    def size(self) -> int:
        """The size in bytes."""
        return self.rows.nbytes + self.places.nbytes + self.ranks.nbytes


def read_registers(sketches: Sequence[bytes], rows: Sequence[int]) -> Registers:
    """Unite the sketches of each row; `rows` names the row of each sketch. Raises ValueError for an invalid sketch."""
    sparse, dense = list[tuple[bytes, int]](), list[tuple[bytes, int]]()
    for sketch, row in zip(sketches, rows, strict=True):
        if len(sketch) < len(HEADER) or not sketch.startswith(b"HYLL") or sketch[ENCODING_INDEX] not in (DENSE, SPARSE):
            raise ValueError("no HyperLogLog")
        (sparse if sketch[ENCODING_INDEX] == SPARSE else dense).append((sketch, row))
    words = np.concatenate([_unpack_sparse(sparse), *(_unpack_dense(sketch, row) for sketch, row in dense)])
    words.sort()  # the last word of each place has its greatest rank
    places = words >> RANK_WIDTH
    is_last = np.ones(len(places), dtype=np.bool_)
    is_last[:-1] = places[1:] != places[:-1]
    return _make_registers(places[is_last], (words[is_last] & RANK_MASK).astype(np.uint8))


def _make_registers(places: NDArray[np.int64], ranks: Ranks) -> Registers:
    row_of = places >> INDEX_BITS
    rows = np.unique(row_of)
    if len(places) * (places.itemsize + 1) < len(rows) * REGISTERS:
        return Registers(rows, places, ranks)
    whole = np.zeros((len(rows), REGISTERS), dtype=np.uint8)
    whole[np.searchsorted(rows, row_of), places & (REGISTERS - 1)] = ranks
    return Registers(rows, places[:0].copy(), whole)


def unite(parts: Sequence[Registers], groups: NDArray[np.int64], group_count: int) -> Ranks:
    """The union of the rows of each group. `groups` names the group of each row, -1 for none."""
    ranks = np.zeros((group_count, REGISTERS), dtype=np.uint8)
    flat, is_one_to_one = ranks.reshape(-1), np.bincount(groups[groups >= 0], minlength=1).max() <= 1
    for part in parts:
        if part.is_whole:
            for index, group in enumerate(groups[part.rows].tolist()):
                if group >= 0:
                    np.maximum(ranks[group], part.ranks[index], out=ranks[group])
        else:
            part_groups = groups[part.places >> INDEX_BITS]
            is_grouped = part_groups >= 0
            places = part_groups[is_grouped] << INDEX_BITS | part.places[is_grouped] & (REGISTERS - 1)
            if is_one_to_one:  # no place comes twice
                flat[places] = np.maximum(flat[places], part.ranks[is_grouped])
            else:
                np.maximum.at(flat, places, part.ranks[is_grouped])
    return ranks


def count(ranks: Ranks) -> int:
    """Estimate how many persons these registers have seen, as PFCOUNT does."""
    set_ranks = ranks[ranks > 0]
    counts = np.bincount(set_ranks, minlength=RANK_BITS + 2).tolist()
    z = REGISTERS * _tau((REGISTERS - counts[RANK_BITS + 1]) / REGISTERS)
    for rank in range(RANK_BITS, 0, -1):
        z = (z + counts[rank]) * 0.5
    z += REGISTERS * _sigma((REGISTERS - len(set_ranks)) / REGISTERS)
    return math.floor(ALPHA * REGISTERS * REGISTERS / z + 0.5)


def _tau(x: float) -> float:
    if x in (0.0, 1.0):
        return 0.0
    y, z, before = 1.0, 1 - x, math.nan
    while z != before:
        x, before, y = math.sqrt(x), z, y * 0.5
        z -= (1 - x) ** 2 * y
    return z / 3


def _sigma(x: float) -> float:
    if x == 1.0:
        return math.inf
    y, z, before = 1.0, x, math.nan
    while z != before:
        x, before = x * x, z
        z, y = z + x * y, y + y
    return z


def _unpack_dense(sketch: bytes, row: int) -> NDArray[np.int64]:
    """Unpack six bits for each register, the lowest first: four registers in three bytes."""
    a, b, c = np.frombuffer(sketch, np.uint8, offset=len(HEADER)).reshape(REGISTERS // 4, 3).T
    ranks = np.stack([a & 63, a >> 6 | (b & 15) << 2, b >> 4 | (c & 3) << 4, c >> 2], axis=1).reshape(REGISTERS)
    indexes = np.flatnonzero(ranks)
    return (row << INDEX_BITS | indexes) << RANK_WIDTH | ranks[indexes].astype(np.int64)


def _unpack_sparse(sketches: Sequence[tuple[bytes, int]]) -> NDArray[np.int64]:
    """Runs: 00nnnnnn and 01nnnnnn nnnnnnnn are n + 1 zeros, 1vvvvvnn is n + 1 times v + 1; REGISTERS in a sketch."""
    body = np.frombuffer(b"".join([sketch[len(HEADER) :] for sketch, _ in sketches]), np.uint8)
    long = _find_long_runs(body)
    is_code = np.ones(len(body), dtype=np.bool_)
    is_code[long + 1] = False
    codes, lengths = body[is_code], _LENGTHS[body]
    lengths[long] += body[long + 1]
    lengths = lengths[is_code]
    ends = np.cumsum(lengths)
    if len(sketches) * REGISTERS != (ends[-1] if len(ends) else 0):
        raise ValueError("no HyperLogLog")
    values = np.flatnonzero(codes & 0x80)
    codes, lengths = codes[values], lengths[values]
    at = ends[values] - lengths
    row = np.array([row for _, row in sketches], dtype=np.int64)[at >> INDEX_BITS]
    words = (row << INDEX_BITS | at & (REGISTERS - 1)) << RANK_WIDTH | (codes >> 2 & 31) + 1
    longer = [words[lengths > more] + (more << RANK_WIDTH) for more in range(1, 4)]
    return np.concatenate([words, *longer])


_LENGTHS = np.array(
    [
        (code & 63) + 1 if code < 0x40 else ((code & 63) << 8) + 1 if code < 0x80 else (code & 3) + 1
        for code in range(256)
    ]
)


def _find_long_runs(body: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Where runs of two bytes begin. Of consecutive bytes 01nnnnnn, every second one belongs to the one before."""
    candidates = np.flatnonzero(body >> 6 == 1)
    is_first = np.ones(len(candidates), dtype=np.bool_)
    is_first[1:] = candidates[1:] != candidates[:-1] + 1
    first = np.maximum.accumulate(np.where(is_first, candidates, 0))
    begins: NDArray[np.int64] = candidates[(candidates - first) % 2 == 0]
    return begins
