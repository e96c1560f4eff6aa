"""murmur2 as Kafka's Java client computes it, to find a key's partition and its dedup slice.   Pure.

Source: the public-domain MurmurHash2 of Austin Appleby with the seed 0x9747b28c, as
`org.apache.kafka.common.utils.Utils.murmur2` and its default partitioner use it.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Collection, Sequence
from functools import lru_cache
from struct import Struct
from typing import Any

_SEED, _M, _MASK = 0x9747B28C, 0x5BD1E995, 0xFFFFFFFF
FEW = 8  # so many keys of one length are hashed one by one
KNOWN_MAX = 100_000
KNOWN_BYTES_MAX = 128  # longer keys are seldom, and could fill the memory

_known: dict[bytes, int] = {}


def murmur2(data: bytes) -> int:
    """The hash as an unsigned 32-bit number."""
    whole = len(data) & ~3
    h = (_SEED ^ len(data)) & _MASK
    for word in _words(whole // 4).unpack_from(data):
        k = word * _M & _MASK
        h = (h * _M & _MASK) ^ ((k ^ k >> 24) * _M & _MASK)
    if len(data) > whole:
        h = (h ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15


def bucket_of(key: bytes, buckets: int) -> int:
    """`toPositive(murmur2(key)) % buckets`: a topic's partition, or a dedup slice."""
    return (murmur2(key) & 0x7FFFFFFF) % buckets


def buckets_of(keys: Sequence[bytes], buckets: int) -> list[int]:
    """`bucket_of` of each: people come back, so hashes are kept, and those of new keys are made together."""
    hashes: list[Any] = list(map(_known.get, keys))
    if None in hashes:
        missing = set(keys).difference(_known)
        if len(_known) > KNOWN_MAX:
            _known.clear()
            missing = set(keys)
        _learn(missing)
        hashes = list(map(_known.__getitem__, keys))
        for key in missing:
            if len(key) > KNOWN_BYTES_MAX:
                del _known[key]
    return [each % buckets for each in hashes]


def _learn(keys: Collection[bytes]) -> None:
    by_size: defaultdict[int, list[bytes]] = defaultdict(list)
    for key in keys:
        by_size[len(key)].append(key)
    for size, alike in by_size.items():
        hashes = map(murmur2, alike) if len(alike) <= FEW else _together(alike, size)
        _known.update(zip(alike, (h & 0x7FFFFFFF for h in hashes), strict=True))


def _together(keys: Sequence[bytes], size: int) -> Sequence[int]:
    """The hashes of keys of one length, each in a lane of 64 bits of one long integer: room for its products."""
    ones, masks, low_8, low_19, low_17 = _lanes((len(keys) - 1).bit_length())
    pad = bytes(-size % 4)
    words = memoryview(pad.join(keys) + pad).cast("I")
    width = len(words) // len(keys)
    h = ones * ((_SEED ^ size) & _MASK)
    for at in range(size // 4):
        k = _lane_ints(words[at::width]) * _M & masks
        h = (h * _M & masks) ^ ((k ^ k >> 24 & low_8) * _M & masks)
    if pad:
        h = (h ^ _lane_ints(words[width - 1 :: width])) * _M & masks
    h = (h ^ h >> 13 & low_19) * _M & masks
    h ^= h >> 15 & low_17
    hashes = array("Q", h.to_bytes(8 * (ones.bit_length() // 64 + 1), "little"))
    return hashes[: len(keys)]


@lru_cache
def _lanes(exponent: int) -> tuple[int, ...]:
    """In each of 2^exponent lanes: 1, and masks of the low 32, 8, 19 and 17 bits."""
    ones = int.from_bytes((b"\1" + bytes(7)) * 2**exponent, "little")
    return ones, *(ones * (2**bits - 1) for bits in (32, 8, 19, 17))


def _lane_ints(words: memoryview) -> int:
    return int.from_bytes(array("Q", words.tolist()).tobytes(), "little")


@lru_cache
def _words(number: int) -> Struct:
    return Struct(f"<{number}I")
