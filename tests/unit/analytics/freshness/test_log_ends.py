"""The samples of the logs' ends prove what a plain look through all of them would."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rtaplatform.analytics.freshness.log_ends import FALLEN_S, LogEndHistory, LogInstant
from rtaplatform.core.ledger import PartitionId

A, B, C = PartitionId("web-1", 0), PartitionId("web-1", 1), PartitionId("mobile-1", 0)
Ends = dict[PartitionId, int]


def make_instant(seconds: float) -> LogInstant:
    return LogInstant(round(seconds * 1000), seconds)


def grow_ends(steps: list[tuple[int, int, int, int]]) -> list[Ends]:
    """Ends that only grow; now and then a topic is not listed."""
    samples, a, b, c = [], 0, 0, 0
    for more_a, more_b, more_c, listed in steps:
        a, b, c = a + more_a, b + more_b, c + more_c
        web, mobile = {A: a, B: b}, {C: c}
        samples.append([web | mobile, web | mobile, web, mobile][listed])
    return samples


def find_proof_number(samples: list[Ends], offsets: Ends) -> float | None:
    for number in range(len(samples) - 1, -1, -1):
        ends = samples[number]
        if {A, C} <= ends.keys() and all(end <= offsets[place] for place, end in ends.items()):
            return number
    return None


small = st.integers(0, 3)


@given(st.lists(st.tuples(small, small, small, small), min_size=1, max_size=30), st.tuples(*[st.integers(0, 40)] * 3))
def test_the_newest_sample_whose_ends_lie_within_is_found(
    steps: list[tuple[int, int, int, int]], reached: tuple[int, int, int]
) -> None:
    samples, offsets = grow_ends(steps), dict(zip((A, B, C), reached, strict=True))
    ends = LogEndHistory()
    for number, sample in enumerate(samples):
        ends.add(make_instant(number), sample)
    proof = ends.find_proof(offsets, frozenset({"web-1", "mobile-1"}))
    assert (None if proof is None else proof.monotonic_s) == find_proof_number(samples, offsets)


def test_records_are_unread_since_the_first_sample_that_had_them() -> None:
    ends = LogEndHistory()
    for second, end in enumerate((5, 5, 8, 8, 9)):
        ends.add(make_instant(second), {A: end})
    assert ends.find_unread_since(A, 4) == 0
    assert ends.find_unread_since(A, 5) == 2
    assert ends.find_unread_since(A, 8) == 4
    assert ends.find_unread_since(A, 9) is None
    assert ends.find_unread_since(B, 0) is None


def test_an_end_that_was_lower_for_a_moment_has_not_fallen() -> None:
    ends = LogEndHistory()
    ends.add(make_instant(0), {A: 10})
    ends.add(make_instant(1), {A: 7})
    assert ends.add(make_instant(FALLEN_S), {A: 7}) == {}
    assert ends.add(make_instant(FALLEN_S + 0.5), {A: 11}) == {}
    assert ends.latest == {A: 11}


def test_an_end_that_stays_lower_has_fallen_in_all_samples() -> None:
    ends = LogEndHistory()
    ends.add(make_instant(0), {A: 10})
    ends.add(make_instant(1), {A: 7})
    assert ends.add(make_instant(1 + FALLEN_S), {A: 8}) == {A: 8}
    assert ends.latest == {A: 8}
    assert ends.find_proof({A: 8}, frozenset({"web-1"})) == make_instant(1 + FALLEN_S)
    assert ends.find_proof({A: 7}, frozenset({"web-1"})) is None
