"""Generations beside the current one, in Redis or Valkey: build, switch, clean up.   Stage 4 of 6.

Promise: each call is atomic, and its reply says what happened; after `Unavailable` the outcome is unknown.
A retired generation is deleted in chunks. Each chunk checks again that the generation may be deleted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from rtaplatform.core.errors import Unavailable
from rtaplatform.core.ledger import PartitionId
from rtaplatform.store import redis_keys
from rtaplatform.store.port import (
    SCHEMA,
    Behind,
    Delta,
    ErasedKeys,
    Outcome,
    Replaced,
    ShardState,
    Switched,
    SwitchOutcome,
    Torn,
)
from rtaplatform.store.redis.person_erasure import TOKEN_BYTES, find_other_ids, make_pairs
from rtaplatform.store.redis.redis_errors import translating_errors
from rtaplatform.store.redis.redis_store import RedisStore

SCAN_COUNT = 1_000  # keys that one SCAN looks at
SAMPLES = 500
SAMPLED_EVERY = 20  # of a chunk every 20th key
CLEANING_STEPS = 20  # of SCAN_COUNT keys each, whenever a worker looks after the store


class RedisGenerations:
    """`GenerationStore` and the reads of `AggregateStore`, over a `RedisStore`."""

    def __init__(self, store: RedisStore, shards: int) -> None:
        self._store, self._shards = store, shards
        self.read_state, self.read_projects, self.read_clock_s = (
            store.read_state,
            store.read_projects,
            store.read_clock_s,
        )
        self.read_blocks, self.read_loose_ids = store.read_blocks, store.read_loose_ids
        self.read_persons = store.read_persons

    # the port --------------------------------------------------------------------------------------------------

    def read_building(self, shard: int) -> ShardState | None:
        return self._store.read_generation(shard, "building")

    def begin_building(
        self, shard: int, *, expected: str, generation: str, topics: dict[str, str], starts: dict[PartitionId, int]
    ) -> str:
        fields: list[str | int] = [expected, generation, SCHEMA, self._shards]
        for name, topic_id in topics.items():
            fields += (f"topic:{name}", topic_id)
        for place, offset in starts.items():
            fields += (f"start:{redis_keys.write_place(place)}", offset)
        name_built: bytes = self._store.call("rta_begin_building_v1", shard, *fields)
        return name_built.decode()

    def build(self, shard: int, generation: str, delta: Delta) -> Outcome:
        return self._store.write_batch("rta_build_v6", shard, generation, delta)

    def erase(self, shard: int, generation: str, erasure: ErasedKeys) -> bool:
        record = (redis_keys.write_place(erasure.place), erasure.upto, erasure.project)
        values = self._store.read_persons(shard, generation, [(erasure.project, person) for person in erasure.persons])
        other_ids = find_other_ids([value[TOKEN_BYTES:] for value in values], erasure.tombstone)
        pairs = [*make_pairs(erasure.persons, erasure.tombstone), *((other, b"") for other in other_ids)]
        items = [item for pair in pairs for item in pair]
        return bool(self._store.call("rta_erase_v2", shard, generation, *record, *items) == b"OK")

    def switch(self, shard: int, *, expected: str, generation: str, lost: dict[PartitionId, str]) -> SwitchOutcome:
        rows = [item for place, row in lost.items() for item in (redis_keys.write_place(place), row)]
        status, *arguments = self._store.call("rta_switch_v1", shard, expected, generation, *rows)
        words = [argument.decode() for argument in arguments]
        match status:
            case b"OK":
                return Switched()
            case b"BEHIND":
                return Behind([redis_keys.read_place(word) for word in words])
            case b"TORN":
                return Torn(words[0])
            case _:
                return Replaced(*words)

    # retired generations ---------------------------------------------------------------------------------------

    def read_retired(self, shard: int) -> dict[str, int]:
        """Read the retired generations: name → the second since 1970 from which its keys may be deleted."""
        with translating_errors():
            due_seconds = self._store.client.hgetall(redis_keys.make_retired_key(shard))
        return {to_bytes(name).decode(): int(due_s) for name, due_s in due_seconds.items()}

    def keep_retired(self, shard: int, generation: str, hours: int) -> None:
        """Keep a retired generation for this many hours from now, instead of the usual time."""
        with translating_errors():
            seconds, _ = self._store.client.time()
            if self._store.client.hexists(redis_keys.make_retired_key(shard), generation):
                self._store.client.hset(redis_keys.make_retired_key(shard), generation, seconds + hours * 3_600)

    def clean(self, shard: int) -> Iterator[int]:
        """Delete retired generations that are due. Each step scans SCAN_COUNT keys and yields how many it deleted."""
        with translating_errors():
            seconds, _ = self._store.client.time()
        for generation, due_s in self.read_retired(shard).items():
            if due_s <= seconds:
                yield from self._clean(shard, generation)

    def _clean(self, shard: int, generation: str) -> Iterator[int]:
        prefix = redis_keys.make_generation_prefix(shard, generation).encode()
        for keys in self._scan(prefix):
            names = [key[len(prefix) :] for key in keys]
            if names and not self._store.call("rta_clean_v1", shard, generation, *names):
                return
            yield len(names)
        self._store.call("rta_clean_v1", shard, generation)

    def measure(self, shard: int, generation: str) -> int:
        """Estimate the bytes of a generation: the number of its keys times the mean size of a sample."""
        count, sample = 0, list[int]()
        for keys in self._scan(redis_keys.make_generation_prefix(shard, generation).encode()):
            count += len(keys)
            if len(sample) < SAMPLES:
                sample += self._read_sizes(keys[::SAMPLED_EVERY])
        return count * sum(sample) // len(sample) if sample else 0

    def _read_sizes(self, keys: Sequence[bytes]) -> list[int]:
        with translating_errors(), self._store.client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.memory_usage(key.decode())
            return [size or 0 for size in pipe.execute()]

    def read_room(self) -> tuple[int, int]:
        """Read how many bytes the server uses, and how many it may use (0: no limit)."""
        return self._store.read_memory()

    def _scan(self, prefix: bytes) -> Iterator[list[bytes]]:
        """Scan for the keys below a prefix. Many chunks are empty."""
        cursor = 0
        while True:
            with translating_errors():
                cursor, keys = self._store.client.scan(cursor, match=prefix + b"*", count=SCAN_COUNT)
            yield [to_bytes(key) for key in keys]
            if not cursor:
                return


class Cleaner:
    """Deletes retired generations a few steps at a time. The next call continues an unfinished pass."""

    def __init__(self, generations: RedisGenerations, shards: int) -> None:
        self._generations, self._shards = generations, shards
        self._steps: Iterator[int] | None = None

    def run_steps(self, steps_max: int) -> int:
        """Take at most `steps_max` steps and return how many keys were deleted. After a pass the next one begins."""
        keys_deleted = 0
        if self._steps is None:
            self._steps = (n for shard in range(self._shards) for n in self._generations.clean(shard))
        for _ in range(steps_max):
            step = next(self._steps, None)
            if step is None:
                self._steps = None
                break
            keys_deleted += step
        return keys_deleted


def guard_store(store: RedisStore, cleaner: Cleaner) -> None:
    """Check the server's settings and clean up. Raises `Stopped` if the server may evict keys."""
    # An unreachable server is no error here: the worker itself waits for it.
    with suppress(Unavailable):
        store.check()
        cleaner.run_steps(CLEANING_STEPS)


def to_bytes(value: bytes | str) -> bytes:
    return value.encode() if isinstance(value, str) else value
