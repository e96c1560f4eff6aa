"""Records that raise are quarantined as `internal`, and nothing else ever is, whatever ends the workers."""

from __future__ import annotations

from collections import Counter

import pytest

from rtaplatform.core.events import Reason
from tests.simulation.poisoned import PoisonedWorld


def test_what_raises_is_quarantined_and_no_good_record_ever_is(seed_of_poison: int) -> None:
    wrong = PoisonedWorld(seed_of_poison).run()
    assert not wrong, f"seed {seed_of_poison}: {len(wrong)} differences, the first:\n" + "\n".join(wrong[:20])


@pytest.mark.tester
def test_the_poisoned_worlds_hold_what_they_are_made_for() -> None:
    counts: Counter[str] = Counter()
    for seed in range(6):
        world = PoisonedWorld(seed)
        assert not world.run()
        counts["ill"] += world.ill
        counts["internal"] += sum(
            dead_letter.reason is Reason.INTERNAL for dead_letter in world.broker.dead_letters.values()
        )
        counts["rebuilt"] += world.rebuilds.switches
    assert min(counts["ill"], counts["internal"]) >= 10, counts
    assert counts["rebuilt"] >= 1, counts
