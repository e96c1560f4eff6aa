"""What chance seldom leads to, a script does: the planted bug is found each time, and nothing where none is planted."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulation import planted, planted_orders, planted_rebuilds, planted_shared
from tests.simulation.world import World

pytestmark = pytest.mark.tester
SEEDS = range(6)  # of sizes of batches and caches: the script is the same
SCRIPTED = [
    (plant, world, module.make_planted_world)
    for module in (planted, planted_orders, planted_shared, planted_rebuilds)
    for plant, world in module.SCRIPTED.items()
]


@pytest.mark.parametrize(("plant", "world", "make_world"), SCRIPTED, ids=lambda of: getattr(of, "__name__", ""))
def test_a_script_shows_its_planted_bug_for_certain(plant: type[Any], world: type[World], make_world: Any) -> None:
    assert [bool(make_world(plant, seed).run()) for seed in SEEDS] == [True] * len(SEEDS), plant.__doc__
    assert [world(seed).run() for seed in SEEDS] == [[]] * len(SEEDS)
