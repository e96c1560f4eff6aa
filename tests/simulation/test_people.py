"""People in the simulated world: the oracle's totals, values and online set, and each planted bug is found."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.simulation.people_world import PeopleWorld
from tests.simulation.planted_people import PLANTS, make_planted_world

SEEDS_MAX = 30


def test_people_are_the_oracles_through_crashes_repeats_and_stale_workers(seed_of_people: int) -> None:
    wrong = PeopleWorld(seed_of_people).run()
    assert not wrong, f"seed {seed_of_people}: {len(wrong)} differences, the first:\n" + "\n".join(wrong[:20])


def test_a_fifth_of_all_calls_may_conflict() -> None:
    """Three workers with the same few people: what one has read another has changed."""
    outcomes: Counter[str] = Counter()
    for seed in range(4):
        world = PeopleWorld(seed, fault_rate=0.0, steps=0)
        world.work_in_turns(150)
        outcomes += world.outcomes
        assert world.run() == []
    assert outcomes["conflict of persons"] >= 0.2 * outcomes["Applied"], outcomes


@pytest.mark.tester
@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_of_people_is_found(plant: type[Any]) -> None:
    assert any(make_planted_world(plant, number).run() for number in range(SEEDS_MAX)), plant.__doc__
