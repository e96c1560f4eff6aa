"""The oracle's visitors by trait: one for each person, and no more than their ids and events allow."""

from __future__ import annotations

from rtaplatform.simulate.oracle.origins.oracle_canonical import OracleId, list_counted_ids
from rtaplatform.simulate.oracle.origins.oracle_traits import (
    OracleTraitEvent,
    TraitNumbers,
    TraitTruth,
)
from tests.comparison_of_traits import find_wrong_persons

A, B, U = ("a", "a"), ("a", "b"), ("u", "u")
DAY = ("day", 0)


def make_event(*ids: OracleId, time: int = 1, partition: int = 0, **traits: str) -> OracleTraitEvent:
    place = ("web", partition)
    return OracleTraitEvent(place, "$page", False, time, ids, traits, {"count": 1}, [DAY], [DAY])


def settle(*events: OracleTraitEvent) -> TraitNumbers:
    return TraitTruth(["plan"], list(events)).settle()


def find_faults(truth: TraitNumbers, **counts: int) -> list[str]:
    sketches = {("demo", "d", 0, "user.plan", value.strip("_")): n for value, n in counts.items()}
    return list(find_wrong_persons(sketches, {}, "demo", truth, 0.0))


def test_an_event_counts_under_the_canonical_id_of_then_or_of_later() -> None:
    events = [([A], 5), ([U], 3), ([U, A], 6), ([U], 7), ([U, B], 2), ([A], 8)]
    assert list_counted_ids(events) == [{A, U, B}, {U, B}, {U, B}, {U, B}, {B}, {B}]
    assert list_counted_ids([([U], 1), ([U, A], 1), ([U, B], 1)]) == [{U, A, B}, {A, B}, {A, B}]


def test_a_person_with_two_ids_is_one_visitor_at_least() -> None:
    """Both ids are counted alone where a batch ends before the link; in one batch they are one."""
    truth = settle(make_event(U, time=2), make_event(A), make_event(U, A), make_event(U))
    assert truth.persons["day", 0, "plan", "(none)"] == (1, 2)
    assert find_faults(truth, _=1) == find_faults(truth, _=2) == []
    assert find_faults(truth, _=3) != []
    assert find_faults(truth) != []


def test_a_link_that_is_known_leaves_one_id() -> None:
    truth = settle(make_event(U, A), make_event(U, time=2, plan="pro"), make_event(A, time=3))
    assert truth.persons["day", 0, "plan", "pro"] == (1, 1)
    assert find_faults(truth, _=1, pro=2) != []


def test_a_person_in_two_partitions_may_be_counted_under_each_of_their_ids() -> None:
    """Some events without the anonymous id are read before the link, and others after it."""
    truth = settle(make_event(U, time=2), make_event(U, time=3), make_event(U, A, partition=1, plan="pro"))
    assert truth.open_persons["day", 0, "plan"] == (1, 2)
    assert find_faults(truth, _=2) == find_faults(truth, _=2, pro=1) == find_faults(truth, pro=1) == []
    assert find_faults(truth, _=3) != []
    assert find_faults(truth) == ["persons demo ('day', 0, 'plan'): 0 in all values together, and there are 1"]
