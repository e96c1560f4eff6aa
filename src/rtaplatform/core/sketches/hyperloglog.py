"""Many persons as one HyperLogLog, in the server's own format.   Pure.   Read by the store and the analytics.

`PFADD` takes persons one by one, and the server must create, hash and free a text for each. A few thousand persons are
smaller and faster as the registers of a sketch, which one `PFMERGE` takes. Both ways lead to the same registers: the
hash here is the server's.

Source: Flajolet et al., HyperLogLog (2007); the format, the hash and its seed are those of Redis's hyperloglog.c.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

PERSON_BYTES = 8
INDEX_BITS = 14
REGISTERS = 1 << INDEX_BITS
RANK_BITS = 64 - INDEX_BITS
# Magic, dense encoding, three unused bytes, and eight bytes of a cached count whose last bit marks it as outdated.
HEADER = b"HYLL\x00\x00\x00\x00" + b"\x00" * 7 + b"\x80"
BYTES = len(HEADER) + REGISTERS * 6 // 8

_MULTIPLIER = np.uint64(0xC6A4A7935BD1E995)
_SHIFT = np.uint64(47)
_START = np.array([0xADC83B19 ^ (PERSON_BYTES * 0xC6A4A7935BD1E995 % 2**64)], dtype=np.uint64)


def hyperloglog(persons: Iterable[bytes]) -> bytes:
    """Make the sketch of these persons, 8 bytes each, as the server would. Returns BYTES bytes.

    Raises ValueError if the total size is no multiple of 8; the caller must make sure that each person has 8 bytes.
    """
    hashes = _murmur64a(np.frombuffer(b"".join(persons), dtype="<u8"))
    registers = np.zeros(REGISTERS, dtype=np.uint8)
    np.maximum.at(registers, hashes & np.uint64(REGISTERS - 1), _compute_ranks(hashes >> np.uint64(INDEX_BITS)))
    return HEADER + _pack(registers)


def _murmur64a(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """MurmurHash64A of texts of one 8-byte word each. Source: Appleby, MurmurHash2, the 64-bit variant."""
    mixed_words = words * _MULTIPLIER
    mixed_words ^= mixed_words >> _SHIFT
    mixed_words *= _MULTIPLIER
    mixed_words ^= _START
    mixed_words *= _MULTIPLIER
    mixed_words ^= mixed_words >> _SHIFT
    mixed_words *= _MULTIPLIER
    mixed_words ^= mixed_words >> _SHIFT
    return mixed_words


def _compute_ranks(rests: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """The position of the lowest set bit, from 1 on; RANK_BITS + 1 if no bit is set."""
    rests = rests | np.uint64(1 << RANK_BITS)
    lowest = rests & (~rests + np.uint64(1))
    _mantissas, exponents = np.frexp(lowest.astype(np.float64))  # exact: a power of two
    return exponents.astype(np.uint8)


def _pack(registers: NDArray[np.uint8]) -> bytes:
    """Pack six bits of each, the lowest first: four registers in three bytes."""
    a, b, c, d = registers.reshape(-1, 4).T
    packed_registers = np.empty((REGISTERS // 4, 3), dtype=np.uint8)
    packed_registers[:, 0] = a | b << 6
    packed_registers[:, 1] = b >> 2 | c << 4
    packed_registers[:, 2] = c >> 4 | d << 2
    return packed_registers.tobytes()
