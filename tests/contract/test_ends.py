"""How often a record has ended a worker: counted where the totals are, on every adapter alike."""

from __future__ import annotations

from rtaplatform.store.port import ENDS_KEPT_MAX
from tests.contract.conftest import Parts

A, B = "0.1.0|topic-web:0:17", "0.1.0|topic-web:0:18"


def test_each_name_is_counted_and_forgotten_by_itself(parts: Parts) -> None:
    assert parts.ends.read_ends() == {}
    parts.ends.count_ends([A])
    parts.ends.count_ends([A, B])
    assert parts.ends.read_ends() == {A: 2, B: 1}
    parts.ends.forget_ends([A, "never counted"])
    assert parts.ends.read_ends() == {B: 1}
    parts.ends.forget_ends([])
    parts.ends.count_ends([A])
    assert parts.ends.read_ends() == {A: 1, B: 1}


def test_they_outlive_a_generation_and_are_none_of_its_keys(parts: Parts) -> None:
    parts.ends.count_ends([A])
    state = parts.store.read_state(0)
    parts.generations.begin_building(0, expected="", generation="g2", topics={}, starts={})
    parts.generations.switch(0, expected="g1", generation="g2", lost={})
    assert parts.ends.read_ends() == {A: 1}
    assert state is not None


def test_they_are_bounded_and_what_comes_last_is_counted(parts: Parts) -> None:
    for first in range(0, 3 * ENDS_KEPT_MAX, 100):
        names = [f"0.1.0|topic-web:0:{offset}" for offset in range(first, first + 100)]
        parts.ends.count_ends(names)
        ends = parts.ends.read_ends()
        assert len(ends) <= ENDS_KEPT_MAX
        assert set(names) <= ends.keys()
