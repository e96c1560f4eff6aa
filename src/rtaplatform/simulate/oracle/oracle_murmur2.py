"""The oracle's murmur2, as in Kafka's Java client (org.apache.kafka.common.utils.Utils.murmur2)."""

from __future__ import annotations

from functools import lru_cache

_MASK = 0xFFFFFFFF
_M = 0x5BD1E995
_SEED = 0x9747B28C


def murmur2(data: bytes) -> int:
    """Return the hash as Java's signed 32-bit integer."""
    length = len(data)
    state = _SEED ^ length
    for start in range(0, length - length % 4, 4):
        state = ((state * _M) & _MASK) ^ _mix(int.from_bytes(data[start : start + 4], "little"))
    tail = data[length - length % 4 :]
    if tail:
        state = ((state ^ int.from_bytes(tail, "little")) * _M) & _MASK
    state = ((state ^ (state >> 13)) * _M) & _MASK
    state ^= state >> 15
    return state - (1 << 32) if state & 0x80000000 else state


@lru_cache(maxsize=1 << 16)
def hash_to_positive(data: bytes) -> int:
    """Return the hash without its sign bit, as the default partitioner takes it modulo the partitions."""
    return murmur2(data) & 0x7FFFFFFF


def _mix(word: int) -> int:
    word = (word * _M) & _MASK
    return ((word ^ (word >> 24)) * _M) & _MASK
