"""Columns hold what dictionaries would, even with large numbers, and forget names without a bucket."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rtaplatform.analytics.cache.number_columns import UNUSED_NAMES_MAX, NumberColumns, find_greatest, sum_by_code
from rtaplatform.analytics.plan.tiling import Tile
from rtaplatform.core.time.buckets import BucketKind
from tests.examples import count_examples

NAME = st.sampled_from([b"a", b"b", b"c", "ü".encode(), b""])
NUMBER = st.integers(-9, 9) | st.sampled_from([2**53 + 1, -(2**62), 2**63 - 1, 10**15])
FIELDS = st.dictionaries(NAME, NUMBER, max_size=4)
STEP = st.tuples(st.sampled_from(["put", "change", "drop", "rest"]), st.integers(0, 3), FIELDS)


def tile(number: int) -> Tile:
    return BucketKind.MINUTE, number


def list_columns(fields: dict[bytes, int]) -> tuple[list[bytes], list[bytes]]:
    return list(fields), [b"%d" % n for n in fields.values()]


@settings(max_examples=count_examples(200))
@given(st.lists(STEP, max_size=20))
def test_columns_hold_what_dictionaries_would(steps: list[tuple[str, int, dict[bytes, int]]]) -> None:
    columns, plain = NumberColumns(), dict[int, dict[bytes, int]]()
    for act, number, fields in steps:
        if act == "put":
            columns.put_bucket(tile(number), *list_columns(fields))
            plain[number] = dict(fields)
        elif act == "change" and number in plain:
            columns.change_bucket(tile(number), *list_columns(fields))
            plain[number] |= fields
        elif act == "drop":
            columns.drop_bucket(tile(number))
            plain.pop(number, None)
        elif act == "rest":
            columns.pack_buckets([tile(number)])
        sums = Counter[bytes]()
        for bucket in plain.values():
            sums.update(bucket)
        sum_of = {name: int(n) for name, n in zip(columns.names, columns.sums, strict=True)}
        assert {name: n for name, n in sum_of.items() if n} == {name: n for name, n in sums.items() if n}
        assert {name for name in sum_of if columns.has_name(name)} == set().union(*plain.values())
        assert all(columns.count_fields(tile(number)) == len(bucket) for number, bucket in plain.items())


def test_names_without_a_bucket_are_forgotten() -> None:
    """The window slides over products that are new each minute."""
    columns, sizes = NumberColumns(), list[int]()
    for minute in range(2_000):
        names = [b"p-%d-%d" % (minute, n) for n in range(10)]
        columns.put_bucket(tile(minute), names, [b"1"] * 10)
        columns.drop_bucket(tile(minute - 60))
        sizes.append(columns.size)
        assert len(columns.names) <= 2 * 600 + UNUSED_NAMES_MAX + 10
    assert max(sizes[1_000:]) <= max(sizes[:1_000])
    assert int(columns.sums.sum()) == 600
    assert columns.reshape_count > 10


@given(st.lists(st.integers(-5, 5) | st.integers(-(10**18), 10**18), max_size=30), st.integers(1, 10))
def test_find_greatest_returns_exactly_the_greatest_and_their_ties(values: list[int], limit: int) -> None:
    for dtype in (np.int64, object):
        indices = find_greatest(np.array(values, dtype=dtype), limit)
        best = sorted((n for n in values if n), reverse=True)[:limit]
        assert sorted((values[at] for at in indices), reverse=True)[:limit] == best
        assert all(values[at] for at in indices)
        assert {at for at, n in enumerate(values) if n and best and n >= best[-1]} == set(indices)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-9, 9) | st.just(2**60)), max_size=20))
def test_sums_by_code_are_exact(pairs: list[tuple[int, int]]) -> None:
    codes = np.array([code for code, _ in pairs], dtype=np.int32)
    sums = sum_by_code(codes, np.array([n for _, n in pairs], dtype=np.int64), 4)
    assert [int(n) for n in sums] == [sum(n for c, n in pairs if c == code) for code in range(4)]
