"""The simulated world on the real server: its functions, its types, its roll-backs.

Time begins now, since Redis lets buckets go by the wall clock; sketches are compared within their error. Replay one:
`./rta test tests/simulation/test_redis.py --seed 7`.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from rtaplatform.local.servers.valkey import Valkey
from rtaplatform.process.fold.person_state import PersonKey
from rtaplatform.store import redis_keys
from rtaplatform.store.redis.redis_generations import RedisGenerations
from rtaplatform.store.redis.redis_store import RedisStore
from tests.comparison import SKETCH_ERROR_MAX, Totals, read_redis_totals
from tests.contract.conftest import store_settings
from tests.integration.servers import TESTER, Running, flush
from tests.simulation.persons import Values, select_values
from tests.simulation.world import HALF, PROJECTS, World

Dumped = dict[bytes, tuple[bytes, int]]  # key → what it holds, when it goes (ms; -1 never)


class RedisHome:
    """A `tests.simulation.world.Home`. The tester may dump, restore and delete any key."""

    def __init__(self, valkey: Running[Valkey], shards: int) -> None:
        flush(valkey)
        self.shards = shards
        self.store: Any = RedisStore(store_settings(valkey, shards))
        self.generations = RedisGenerations(self.store, shards)
        self.tester: Any = redis.Redis.from_url(valkey.server.make_url(TESTER))

    def set_projects(self, version: str) -> None:
        self.store.set_projects(PROJECTS)

    def touch_projects(self, version: str) -> None:
        for key in self.tester.scan_iter("rta:{s*}:projects"):
            self.tester.hset(key, ":version", version)

    def take_snapshot(self, shard: int) -> Dumped:
        keys = self._list_keys(shard)
        with self.tester.pipeline(transaction=True) as pipe:
            for key in keys:
                pipe.dump(key)
                pipe.pexpiretime(key.decode())
            replies = pipe.execute()
        return {key: (replies[2 * i], replies[2 * i + 1]) for i, key in enumerate(keys)}

    def restore(self, shard: int, past: Dumped) -> None:
        old_keys = self._list_keys(shard)
        with self.tester.pipeline(transaction=True) as pipe:
            for key in old_keys:
                pipe.delete(key)
            for key, (value, goes_ms) in past.items():
                pipe.restore(key, max(goes_ms, 0), value, absttl=goes_ms > 0)
            pipe.execute()

    def empty(self, shard: int) -> None:
        self.restore(shard, {})

    def tear(self, shard: int) -> None:
        state = self.store.read_state(shard)
        if state is not None:
            self.tester.set(f"{redis_keys.make_generation_prefix(shard, state.generation)}inflight", "half of a batch")
            self.tester.hincrby(f"{redis_keys.make_generation_prefix(shard, state.generation)}counts", HALF, 1)

    def read_totals(self) -> Totals:
        return read_redis_totals(self.tester)

    def read_values(self) -> Values:
        stored = dict[PersonKey, bytes]()
        for shard in range(self.shards):
            base = redis_keys.make_generation_prefix(shard, self.store.read_state(shard).generation)
            for key in self.tester.scan_iter(f"{base}person:*", count=1_000):
                project = key.decode().removeprefix(f"{base}person:")
                stored |= {(project, person): value for person, value in self.tester.hgetall(key).items()}
        return select_values(stored)

    def _list_keys(self, shard: int) -> list[bytes]:
        return sorted(set(self.tester.scan_iter(f"{redis_keys.make_shard_prefix(shard)}*", count=1_000)))


@pytest.fixture
def home(valkey_server: Running[Valkey]) -> Iterator[Callable[[int], RedisHome]]:
    homes: list[RedisHome] = []

    def make(shards: int) -> RedisHome:
        homes.append(RedisHome(valkey_server, shards))
        return homes[-1]

    yield make
    for redis_home in homes:
        redis_home.store.close()
        redis_home.tester.close()


def test_every_event_counts_once_on_the_real_server(seed_of_a_server: int, home: Callable[[int], RedisHome]) -> None:
    start_ms = time.time_ns() // 1_000_000
    wrong = World(seed_of_a_server, start_ms=start_ms, home=home).run(distinct_tolerance=SKETCH_ERROR_MAX)
    head = f"seed {seed_of_a_server}, from {start_ms}: {len(wrong)} differences, the first:\n"
    assert not wrong, head + "\n".join(wrong[:20])


def test_what_is_read_from_the_server_is_all_that_was_counted(home: Callable[[int], RedisHome]) -> None:
    """So that the comparison above is none of two empty things."""
    world = World(secrets.randbelow(1_000), steps=60, fault_rate=0.0, start_ms=time.time_ns() // 1_000_000, home=home)
    assert world.run(distinct_tolerance=SKETCH_ERROR_MAX) == []
    totals = world.home.read_totals()
    assert totals.cells
    assert totals.persons
    assert sum(n for name, n in totals.counts.items() if name.endswith("|consumed")) > 0
