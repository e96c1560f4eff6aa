"""What HyperLogLogs of the server's format hold, their union and its count.   Pure.   Read by the analytics.

The server counts the union of a few sketches at once; of thousands, asked for again and again, it is cheaper to keep
what they come to. Both ways lead to the same number: the estimate here is the server's, operation by operation.

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

ENCODING_AT = 4  # of the header: the byte that tells
DENSE, SPARSE = 0, 1
RANK_WIDTH, RANK_MASK = 6, 63
ALPHA = 0.721347520444481703680  # 0.5 / ln 2

Ranks = NDArray[np.uint8]  # of each register; REGISTERS of them, or rows of so many


class Registers(Struct, frozen=True):
    """Of some rows, the registers that are not 0: as a list (`places` is row · REGISTERS + register), or all of them.

    `rows` rise; whichever is smaller is kept.
    """

    rows: NDArray[np.int64]
    places: NDArray[np.int64]
    ranks: Ranks

    @property
    def is_whole(self) -> bool:
        return self.ranks.ndim > 1

    @property
    def size(self) -> int:
        """Bytes."""
        return self.rows.nbytes + self.places.nbytes + self.ranks.nbytes


def read_registers(sketches: Sequence[bytes], rows: Sequence[int]) -> Registers:
    """The unions of sketches, each of which belongs to a row.   Raises ValueError for what is no sketch."""
    sparse, dense = list[tuple[bytes, int]](), list[tuple[bytes, int]]()
    for sketch, row in zip(sketches, rows, strict=True):
        if len(sketch) < len(HEADER) or not sketch.startswith(b"HYLL") or sketch[ENCODING_AT] not in (DENSE, SPARSE):
            raise ValueError("no HyperLogLog")
        (sparse if sketch[ENCODING_AT] == SPARSE else dense).append((sketch, row))
    words = np.concatenate([_sparse_words(sparse), *(_dense_words(sketch, row) for sketch, row in dense)])
    words.sort()  # the greatest rank of a place is its last
    places = words >> RANK_WIDTH
    is_last = np.ones(len(places), dtype=np.bool_)
    is_last[:-1] = places[1:] != places[:-1]
    return _registers(places[is_last], (words[is_last] & RANK_MASK).astype(np.uint8))


def _registers(places: NDArray[np.int64], ranks: Ranks) -> Registers:
    row_of = places >> INDEX_BITS
    rows = np.unique(row_of)
    if len(places) * (places.itemsize + 1) < len(rows) * REGISTERS:
        return Registers(rows, places, ranks)
    whole = np.zeros((len(rows), REGISTERS), dtype=np.uint8)
    whole[np.searchsorted(rows, row_of), places & (REGISTERS - 1)] = ranks
    return Registers(rows, places[:0].copy(), whole)


def unite(found: Sequence[Registers], groups: NDArray[np.int64], many: int) -> Ranks:
    """Of each group from 0 to `many` the union of its rows; `groups` says which a row belongs to, -1 for none."""
    ranks = np.zeros((many, REGISTERS), dtype=np.uint8)
    flat, is_one_to_one = ranks.reshape(-1), np.bincount(groups[groups >= 0], minlength=1).max() <= 1
    for each in found:
        if each.is_whole:
            for at, group in enumerate(groups[each.rows].tolist()):
                if group >= 0:
                    np.maximum(ranks[group], each.ranks[at], out=ranks[group])
        else:
            group_of = groups[each.places >> INDEX_BITS]
            held = group_of >= 0
            at = group_of[held] << INDEX_BITS | each.places[held] & (REGISTERS - 1)
            if is_one_to_one:  # no place comes twice
                flat[at] = np.maximum(flat[at], each.ranks[held])
            else:
                np.maximum.at(flat, at, each.ranks[held])
    return ranks


def count(ranks: Ranks) -> int:
    """About how many persons these registers have seen: what PFCOUNT says."""
    held = ranks[ranks > 0]
    numbers = np.bincount(held, minlength=RANK_BITS + 2).tolist()
    z = REGISTERS * _tau((REGISTERS - numbers[RANK_BITS + 1]) / REGISTERS)
    for rank in range(RANK_BITS, 0, -1):
        z = (z + numbers[rank]) * 0.5
    z += REGISTERS * _sigma((REGISTERS - len(held)) / REGISTERS)
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


def _dense_words(sketch: bytes, row: int) -> NDArray[np.int64]:
    """Six bits each, the lowest first: four registers in three bytes."""
    a, b, c = np.frombuffer(sketch, np.uint8, offset=len(HEADER)).reshape(REGISTERS // 4, 3).T
    ranks = np.stack([a & 63, a >> 6 | (b & 15) << 2, b >> 4 | (c & 3) << 4, c >> 2], axis=1).reshape(REGISTERS)
    at = np.flatnonzero(ranks)
    return (row << INDEX_BITS | at) << RANK_WIDTH | ranks[at].astype(np.int64)


def _sparse_words(sketches: Sequence[tuple[bytes, int]]) -> NDArray[np.int64]:
    """Runs: 00nnnnnn is n + 1 zeros, 01nnnnnn nnnnnnnn as well, 1vvvvvnn n + 1 times v + 1. A sketch is REGISTERS."""
    body = np.frombuffer(b"".join([sketch[len(HEADER) :] for sketch, _ in sketches]), np.uint8)
    long = _long_runs(body)
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


def _long_runs(body: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Where runs of two bytes begin. Of bytes 01nnnnnn in a row each second one belongs to the one before."""
    alike = np.flatnonzero(body >> 6 == 1)
    is_first = np.ones(len(alike), dtype=np.bool_)
    is_first[1:] = alike[1:] != alike[:-1] + 1
    first = np.maximum.accumulate(np.where(is_first, alike, 0))
    begins: NDArray[np.int64] = alike[(alike - first) % 2 == 0]
    return begins
