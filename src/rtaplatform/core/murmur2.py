"""murmur2 as Kafka's Java client computes it, to find a key's partition and its dedup slice.   Pure.

Source: the public-domain MurmurHash2 of Austin Appleby with the seed 0x9747b28c, as
`org.apache.kafka.common.utils.Utils.murmur2` and its default partitioner use it.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct

CACHED_BYTES_MAX = 128
_SEED, _M, _MASK = 0x9747B28C, 0x5BD1E995, 0xFFFFFFFF


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
    positive = _known(key) if len(key) <= CACHED_BYTES_MAX else murmur2(key) & 0x7FFFFFFF
    return positive % buckets


@lru_cache
def _words(number: int) -> Struct:
    return Struct(f"<{number}I")


@lru_cache(maxsize=65_536)
def _known(key: bytes) -> int:
    return murmur2(key) & 0x7FFFFFFF
