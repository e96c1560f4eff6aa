"""Workers that were away for days count people as if they had not been, however the partitions differ."""

from __future__ import annotations

from rtaplatform.process.alignment.wait_times import WAIT_SECONDS
from rtaplatform.store.memory.memory_store import MemoryStore
from rtaplatform.stream.port import Partition
from tests.simulation.catch_up_world import CatchUpWorld
from tests.simulation.planted_catch_up import AlignmentForgotten
from tests.simulation.test_rebuild import make_digest

SERVER = Partition("rta.events.server", 0)
TURNS_MAX = 3_000


def test_workers_that_were_away_count_people_as_the_oracle_does(seed_of_absence: int) -> None:
    wrong = CatchUpWorld(seed_of_absence).run()
    assert not wrong, f"seed {seed_of_absence}: {len(wrong)} differences, the first:\n" + "\n".join(wrong[:20])


def test_what_the_log_delivers_would_be_read_too_late() -> None:
    """So that the worlds above show something."""
    wrong = CatchUpWorld(0, worker=AlignmentForgotten, fault_rate=0.0).run()
    assert "read too late" in wrong[-1]


def test_a_rebuild_counts_what_the_workers_have_counted() -> None:
    world = CatchUpWorld(1)
    assert world.run() == []
    assert isinstance(world.store, MemoryStore)
    live = [make_digest(shard.totals, without_quality=False) for shard in world.store.shards]
    assert world.rebuilds.finish(world.rebuilds.make_rebuild(fault_rate=0.0)) == []
    assert [make_digest(shard.totals, without_quality=False) for shard in world.store.shards] == live


def test_a_partition_that_nobody_reads_delays_the_others_for_half_a_minute() -> None:
    world = CatchUpWorld(2, fault_rate=0.0, steps=0)
    others = [partition for partition in world.broker.list_partitions() if partition != SERVER]
    for number, running in enumerate(world.workers):
        running.log.assign(others[number :: len(world.workers)])
    remaining = dict.fromkeys(others, 1)
    for turn in range(TURNS_MAX):
        world.let_work(turn % len(world.workers))
        remaining = {p: len(world.broker.records[p]) - world.find_counted_offset(p) for p in others}
        if not any(remaining.values()):
            break
    assert not any(remaining.values()), remaining
    assert world.clock > WAIT_SECONDS
    assert world.find_counted_offset(SERVER) == 0
    assert world.settle() == [], "then somebody reads it"
