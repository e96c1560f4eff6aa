"""Counts of the last 5 minutes: what is old leaves, and little is held."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rtaplatform.core.time.sliding_counts import SlidingCounts


def test_what_is_older_than_the_window_is_not_counted() -> None:
    counts = SlidingCounts(1_000)
    counts.add("dead", 3, 1_000)
    counts.add("dead", 2, 1_100)
    counts.add("applied", 7, 1_100)
    assert [counts.count("dead", now) for now in (1_100, 1_299, 1_300, 1_399, 1_400)] == [5, 5, 2, 2, 0]
    assert counts.count("applied", 1_399) == 7
    assert counts.count("late", 1_399) == 0


def test_it_says_how_much_of_the_window_has_passed() -> None:
    counts = SlidingCounts(1_000)
    assert [counts.measure_covered_seconds(now) for now in (1_000, 1_040, 1_300, 9_000)] == [0, 40, 300, 300]


def test_it_holds_no_more_than_the_window_and_one_slice() -> None:
    counts = SlidingCounts(0)
    for now in range(10_000):
        counts.add("applied", 1, now)
    assert len(counts._slices) <= 61
    assert counts.count("applied", 9_999) == 300


@given(st.lists(st.tuples(st.floats(0, 400), st.integers(1, 9))), st.floats(0, 2_000))
def test_the_count_lies_between_those_of_the_window_and_of_one_slice_less(
    steps: list[tuple[float, int]], pause: float
) -> None:
    counts, now, history = SlidingCounts(0), 0.0, list[tuple[float, int]]()
    for step, n in steps:
        now += step
        counts.add("dead", n, now)
        history.append((now, n))
    now += pause
    most, least = (sum(n for at, n in history if at > now - seconds) for seconds in (300, 295))
    assert least <= counts.count("dead", now) <= most
