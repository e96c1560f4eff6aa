"""Topics made again, cut off and expired: workers stop, an operator accepts it, and what is counted is what was there.

Replay one: `./rta test tests/simulation/test_damage.py --seed 17`.
"""

from __future__ import annotations

from tests.simulation.damage import DamagedWorld


def test_what_is_counted_is_what_the_log_had(seed: int) -> None:
    world = DamagedWorld(seed)
    wrong = world.run()
    assert not wrong, f"seed {seed}: {len(wrong)} differences, the first:\n" + "\n".join(wrong[:20])


def test_the_log_is_damaged_and_the_damage_accepted() -> None:
    """So that the comparison above is none of logs that nothing happened to."""
    worlds = [DamagedWorld(seed) for seed in range(12)]
    assert [world.run() for world in worlds] == [[]] * 12
    assert sum(world.damages for world in worlds) >= 20
    assert sum(len(shard.gaps) for world in worlds for shard in world.store.shards) >= 5
