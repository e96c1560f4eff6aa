"""Whatever happens on the way, the totals are the oracle's. Replay one: `./rta test tests/simulation --seed 17`."""

from __future__ import annotations

from tests.simulation.world import World


def test_every_event_counts_once_through_crashes_repeats_and_stale_workers(seed: int) -> None:
    wrong = World(seed).run()
    assert not wrong, f"seed {seed}: {len(wrong)} differences, the first:\n" + "\n".join(wrong[:20])
