"""murmur2 as in Kafka's Java client, to find the partition and the dedup partition of a key.   Pure.

Source: the public-domain MurmurHash2 of Austin Appleby with the seed 0x9747b28c, as
`org.apache.kafka.common.utils.Utils.murmur2` and its default partitioner use it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from struct import Struct

_SEED, _M, _MASK = 0x9747B28C, 0x5BD1E995, 0xFFFFFFFF
FEW = 20  # up to so many keys of one length are hashed one by one, so workers of small sites need no NumPy


def murmur2(data: bytes) -> int:
    """The hash as an unsigned 32-bit number."""
    whole = len(data) & ~3
    h = (_SEED ^ len(data)) & _MASK
    for word in _make_word_struct(whole // 4).unpack_from(data):
        k = word * _M & _MASK
        h = (h * _M & _MASK) ^ ((k ^ k >> 24) * _M & _MASK)
    if len(data) > whole:
        h = (h ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15


def find_bucket(key: bytes, buckets: int) -> int:
    """`toPositive(murmur2(key)) % buckets`: a topic's partition, or a dedup partition."""
    return (murmur2(key) & 0x7FFFFFFF) % buckets


def find_buckets(keys: Sequence[bytes], buckets: int) -> list[int]:
    """`find_bucket` for each key. If there are many keys, those of one length are hashed together."""
    if len(keys) <= FEW:
        return [find_bucket(key, buckets) for key in keys]
    sizes = list(map(len, keys))
    if sizes.count(sizes[0]) == len(sizes):
        return _hash_together(keys, buckets)
    results = [0] * len(keys)
    by_size: defaultdict[int, list[int]] = defaultdict(list)
    for index, size in enumerate(sizes):
        by_size[size].append(index)
    for indexes in by_size.values():
        group = [keys[index] for index in indexes]
        numbers = [find_bucket(key, buckets) for key in group] if len(group) <= FEW else _hash_together(group, buckets)
        for index, bucket in zip(indexes, numbers, strict=True):
            results[index] = bucket
    return results


def _hash_together(keys: Sequence[bytes], buckets: int) -> list[int]:
    """`find_bucket` for keys of one length, in 32-bit lanes, whose products overflow as the hash needs it."""
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
def _make_word_struct(number: int) -> Struct:
    return Struct(f"<{number}I")
