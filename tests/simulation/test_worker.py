"""Whatever happens on the way, the totals are the oracle's. Replay one: `./rta test tests/simulation --seed 17`."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.simulation.world import World


def test_every_event_counts_once_through_crashes_repeats_and_stale_workers(seed: int) -> None:
    wrong = World(seed).run()
    assert not wrong, f"seed {seed}: {len(wrong)} differences, the first:\n" + "\n".join(wrong[:20])


@pytest.mark.tester
def test_the_worlds_hold_what_they_are_made_for() -> None:
    """Each answer that a worker may get is met: what never happens would be shown by nothing."""
    outcomes: Counter[str] = Counter()
    for seed in range(40):
        world = World(seed)
        for _ in range(world.steps):
            world.step()
        outcomes += world.outcomes
    parts = ("blocks", "orders", "persons", "projects")
    for outcome in ("Applied", "Moved", "Torn", *(f"conflict of {part}" for part in parts)):
        assert outcomes[outcome] >= 3, (outcome, outcomes)
