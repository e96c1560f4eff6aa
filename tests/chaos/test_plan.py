"""The plan of faults: what a run of the check is made of."""

from __future__ import annotations

from collections import Counter

from tests.chaos.faults import KINDS, OVER_A_REBUILD
from tests.chaos.plan import make_plan


def test_a_check_has_forty_faults_of_every_kind_and_twenty_kills() -> None:
    counts = Counter(step.kind for step in make_plan(17, 40))
    assert counts == {name: kind.share for name, kind in KINDS.items()}
    assert sum(n for name, n in counts.items() if name.startswith("kill") or name == "lose the tail") >= 20


def test_each_round_counts_again_in_its_middle_under_kills_of_everything_that_it_needs() -> None:
    for seed in range(100):
        plan = make_plan(seed, 80)
        for of in (plan[:40], plan[40:]):
            over = [number for number, step in enumerate(of) if step.over_rebuild]
            assert sorted(of[number].kind for number in over) == sorted(OVER_A_REBUILD)
            assert over == list(range(over[0], over[0] + len(over)))
            assert 10 <= over[0] <= 16
    assert {"kill rebuild", "kill worker", "kill valkey"} <= set(OVER_A_REBUILD)
    assert not any(KINDS[kind].from_calm for kind in OVER_A_REBUILD)


def test_a_seed_says_everything_and_another_seed_something_else() -> None:
    assert make_plan(5, 90) == make_plan(5, 90)
    assert make_plan(5, 90) != make_plan(6, 90)
    assert make_plan(5, 90)[:50] == make_plan(5, 50)
