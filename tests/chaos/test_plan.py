"""The plan of faults: what a run of the check is made of."""

from __future__ import annotations

from collections import Counter

from tests.chaos.faults import KINDS
from tests.chaos.plan import make_plan


def test_a_check_has_forty_faults_of_every_kind_and_twenty_kills() -> None:
    done = Counter(step.kind for step in make_plan(17, 40))
    assert done == {name: kind.share for name, kind in KINDS.items()}
    assert sum(n for name, n in done.items() if name.startswith("kill") or name == "lose the tail") >= 20


def test_a_seed_says_everything_and_another_seed_something_else() -> None:
    assert make_plan(5, 90) == make_plan(5, 90)
    assert make_plan(5, 90) != make_plan(6, 90)
    assert make_plan(5, 90)[:50] == make_plan(5, 50)
