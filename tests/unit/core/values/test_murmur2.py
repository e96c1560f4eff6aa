"""murmur2 gives the same number as Kafka's Java client; else duplicates would be looked up in the wrong place."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtaplatform.core.values import murmur2 as module
from rtaplatform.core.values.murmur2 import find_bucket, find_buckets, murmur2
from rtaplatform.simulate.oracle import oracle_murmur2

# From org.apache.kafka.common.utils.UtilsTest.testMurmur2.
VECTORS = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("key", "signed"), VECTORS.items())
def test_the_hash_is_kafkas(key: bytes, signed: int) -> None:
    assert murmur2(key) == signed % 2**32
    assert find_bucket(key, 16) == (signed & 0x7FFFFFFF) % 16


@given(st.binary(max_size=40), st.sampled_from([1, 2, 4, 16, 12]))
def test_a_bucket_is_in_range_and_the_same_as_the_oracles(key: bytes, buckets: int) -> None:
    assert 0 <= find_bucket(key, buckets) < buckets
    assert find_bucket(key, buckets) == oracle_murmur2.hash_to_positive(key) % buckets


@given(st.binary(max_size=40), st.integers(0, 4))
def test_a_dedup_partition_lies_in_one_partition_of_any_power_of_two(key: bytes, doublings: int) -> None:
    assert find_bucket(key, 16) % 2**doublings == find_bucket(key, 2**doublings)


@pytest.mark.parametrize("few", [0, 2, 20])
@given(st.lists(st.integers(0, 9).flatmap(lambda size: st.binary(min_size=size, max_size=size)), max_size=60))
def test_many_keys_at_once_have_the_same_buckets(few: int, keys: list[bytes]) -> None:
    """Of few lengths, so that many are hashed together."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FEW", few)
        assert find_buckets(keys, 16) == [oracle_murmur2.hash_to_positive(key) % 16 for key in keys]


def test_long_keys_have_the_same_buckets() -> None:
    keys = [bytes([n]) * size for n in range(40) for size in (128, 129, 100_000)]
    assert find_buckets(keys, 16) == [oracle_murmur2.hash_to_positive(key) % 16 for key in keys]


@pytest.mark.parametrize("size", [0, 1, 3, 4, 7, 19, 64])
def test_a_portion_of_one_length_has_the_same_buckets(size: int) -> None:
    keys = [random.Random(size + n).randbytes(size) for n in range(1_000)]
    assert find_buckets(keys, 2**31) == [oracle_murmur2.hash_to_positive(key) for key in keys]
