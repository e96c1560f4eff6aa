"""The tester is tested: each planted bug is found within SEEDS_MAX seeds."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulation.planted import PLANTS, planted_world

SEEDS_MAX = 60


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(plant: type[Any]) -> None:
    assert any(planted_world(plant, number).run() for number in range(SEEDS_MAX)), plant.__doc__


def test_there_are_enough_plants() -> None:
    assert len(PLANTS) >= 20
