"""murmur2 as Kafka's Java client computes it, to find a key's partition and its dedup partition.   Pure.

Source: the public-domain MurmurHash2 of Austin Appleby with the seed 0x9747b28c, as
`org.apache.kafka.common.utils.Utils.murmur2` and its default partitioner use it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from struct import Struct

_SEED, _M, _MASK = 0x9747B28C, 0x5BD1E995, 0xFFFFFFFF
FEW = 20  # so many keys of one length are as soon hashed one by one, and small sites' workers need no NumPy


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
    """`toPositive(murmur2(key)) % buckets`: a topic's partition, or a dedup partition."""
    return (murmur2(key) & 0x7FFFFFFF) % buckets


def buckets_of(keys: Sequence[bytes], buckets: int) -> list[int]:
    """`bucket_of` of each. Of many keys, those of one length are hashed together."""
    if len(keys) <= FEW:
        return [bucket_of(key, buckets) for key in keys]
    sizes = list(map(len, keys))
    if sizes.count(sizes[0]) == len(sizes):
        return _together(keys, buckets)
    found = [0] * len(keys)
    by_size: defaultdict[int, list[int]] = defaultdict(list)
    for at, size in enumerate(sizes):
        by_size[size].append(at)
    for places in by_size.values():
        alike = [keys[at] for at in places]
        theirs = [bucket_of(key, buckets) for key in alike] if len(alike) <= FEW else _together(alike, buckets)
        for at, bucket in zip(places, theirs, strict=True):
            found[at] = bucket
    return found


def _together(keys: Sequence[bytes], buckets: int) -> list[int]:
    """Those of keys of one length: 32-bit lanes, whose products wrap as the hash wants them to."""
    import numpy as np

    size = len(keys[0])
    pad = bytes(-size % 4)
    rows = np.frombuffer(pad.join(keys) + pad, "<u4").reshape(len(keys), -1)
    m = np.uint32(_M)
    h = np.full(len(keys), (_SEED ^ size) & _MASK, np.uint32)
    for column in np.ascontiguousarray(rows.T)[: size // 4]:
        k = column * m
        k ^= k >> np.uint32(24)
        h = (h * m) ^ (k * m)
    if pad:
        h = (h ^ rows[:, -1]) * m
    h ^= h >> np.uint32(13)
    h *= m
    h ^= h >> np.uint32(15)
    positive: list[int] = ((h & np.uint32(0x7FFFFFFF)) % buckets).tolist()
    return positive


@lru_cache
def _words(number: int) -> Struct:
    return Struct(f"<{number}I")
