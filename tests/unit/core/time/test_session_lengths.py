"""Log buckets of lengths."""

from __future__ import annotations

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtaplatform.core.time.session_lengths import LENGTH_BOUNDS_MS, LENGTH_ERROR, compute_middle_ms, find_length_index

MONTH_MS = 31 * 86_400_000


@given(length_ms=st.integers(0, MONTH_MS))
def test_a_length_is_known_within_five_percent(length_ms: int) -> None:
    assert compute_middle_ms(find_length_index(length_ms)) == pytest.approx(length_ms, rel=LENGTH_ERROR)


def test_lengths_of_a_few_milliseconds_are_exact() -> None:
    assert [compute_middle_ms(find_length_index(ms)) for ms in range(8)] == list(range(8))


def test_each_bucket_begins_a_tenth_above_the_one_before() -> None:
    assert all(find_length_index(bound) > find_length_index(bound - 1) for bound in LENGTH_BOUNDS_MS)
    assert [find_length_index(ceil(1.1**power)) for power in range(60, 200)] == list(range(61, 201))
    assert LENGTH_BOUNDS_MS[-1] > MONTH_MS
