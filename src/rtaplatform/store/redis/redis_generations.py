"""Generations beside the one that is read, in Redis or Valkey: built, switched to, cleaned away.   Stage 4 of 6.

Promise: each call is atomic, and what it answers is what happened; of `Unavailable` nothing is known. What was
retired goes in portions, and each portion asks again whether it may.
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
from rtaplatform.store.redis.apply_payload import encode
from rtaplatform.store.redis.redis_errors import unavailable
from rtaplatform.store.redis.redis_replies import read_outcome
from rtaplatform.store.redis.redis_store import RedisStore

KEYS_LOOKED_AT = 1_000  # by one SCAN
SAMPLES = 500
SAMPLED_EVERY = 20
CLEANING_STEPS = 20  # of a thousand keys each, with each look of a worker's guard


class RedisGenerations:
    """`GenerationStore`, and `AggregateStore`'s reading side, over a `RedisStore`."""

    def __init__(self, store: RedisStore, shards: int) -> None:
        self._store, self._shards = store, shards
        self.state, self.blocks, self.persons, self.projects = store.state, store.blocks, store.persons, store.projects
        self.loose_ids, self.clock_s = store.loose_ids, store.clock_s

    # the port --------------------------------------------------------------------------------------------------

    def building(self, shard: int) -> ShardState | None:
        return self._store.read_generation(shard, "building")

    def begin_building(
        self, shard: int, *, expected: str, generation: str, topics: dict[str, str], starts: dict[PartitionId, int]
    ) -> str:
        fields: list[str | int] = [expected, generation, SCHEMA, self._shards]
        for name, topic_id in topics.items():
            fields += (f"topic:{name}", topic_id)
        for place, offset in starts.items():
            fields += (f"start:{redis_keys.place(place)}", offset)
        found: bytes = self._store.call("rta_begin_building_v1", shard, *fields)
        return found.decode()

    def build(self, shard: int, generation: str, delta: Delta) -> Outcome:
        return read_outcome(
            self._store.call("rta_build_v4", shard, encode(generation, delta, self._store.keeping)), delta
        )

    def erase(self, shard: int, generation: str, erasure: ErasedKeys) -> bool:
        where = (redis_keys.place(erasure.place), erasure.upto, erasure.project)
        return bool(self._store.call("rta_erase_v1", shard, generation, *where, *erasure.persons) == b"OK")

    def switch(self, shard: int, *, expected: str, generation: str, gone: dict[PartitionId, str]) -> SwitchOutcome:
        rows = [item for place, row in gone.items() for item in (redis_keys.place(place), row)]
        said, *more = self._store.call("rta_switch_v1", shard, expected, generation, *rows)
        words = [word.decode() for word in more]
        match said:
            case b"OK":
                return Switched()
            case b"BEHIND":
                return Behind([redis_keys.read_place(word) for word in words])
            case b"TORN":
                return Torn(words[0])
            case _:
                return Replaced(*words)

    # what is left behind ---------------------------------------------------------------------------------------

    def retired(self, shard: int) -> dict[str, int]:
        """Generations that are neither read nor built, and the second since 1970 from which their keys may go."""
        with unavailable():
            found = self._store.client.hgetall(redis_keys.retired_key(shard))
        return {bytes_of(name).decode(): int(at) for name, at in found.items()}

    def keep_retired(self, shard: int, generation: str, hours: int) -> None:
        """Let a retired generation go so many hours from now, instead of what its retirement said."""
        with unavailable():
            seconds, _ = self._store.client.time()
            if self._store.client.hexists(redis_keys.retired_key(shard), generation):
                self._store.client.hset(redis_keys.retired_key(shard), generation, seconds + hours * 3_600)

    def clean(self, shard: int) -> Iterator[int]:
        """Delete what was retired and may go; a step looks at KEYS_LOOKED_AT keys, and yields how many it deleted."""
        with unavailable():
            seconds, _ = self._store.client.time()
        for generation, at in self.retired(shard).items():
            if at <= seconds:
                yield from self._clean(shard, generation)

    def _clean(self, shard: int, generation: str) -> Iterator[int]:
        prefix = redis_keys.base(shard, generation).encode()
        for keys in self._portions(prefix):
            names = [key[len(prefix) :] for key in keys]
            if names and not self._store.call("rta_clean_v1", shard, generation, *names):
                return
            yield len(names)
        self._store.call("rta_clean_v1", shard, generation)

    def size(self, shard: int, generation: str) -> int:
        """About how many bytes a generation takes: the number of its keys times the mean of a sample."""
        keys, sample = 0, list[int]()
        for portion in self._portions(redis_keys.base(shard, generation).encode()):
            keys += len(portion)
            if len(sample) < SAMPLES:
                sample += self._bytes_of(portion[::SAMPLED_EVERY])
        return keys * sum(sample) // len(sample) if sample else 0

    def _bytes_of(self, keys: Sequence[bytes]) -> list[int]:
        with unavailable(), self._store.client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.memory_usage(key.decode())
            return [found or 0 for found in pipe.execute()]

    def room(self) -> tuple[int, int]:
        """Bytes that the server uses, and may use (0: no limit)."""
        return self._store.memory()

    def _portions(self, prefix: bytes) -> Iterator[list[bytes]]:
        """The keys below a prefix, as the server's SCAN brings them; often none in a portion."""
        cursor = 0
        while True:
            with unavailable():
                cursor, keys = self._store.client.scan(cursor, match=prefix + b"*", count=KEYS_LOOKED_AT)
            yield [bytes_of(key) for key in keys]
            if not cursor:
                return


class Cleaner:
    """Goes through what was retired, some steps at a time; a pass that was begun goes on with the next call."""

    def __init__(self, generations: RedisGenerations, shards: int) -> None:
        self._generations, self._shards = generations, shards
        self._steps: Iterator[int] | None = None

    def go_on(self, steps_max: int) -> int:
        """At most so many steps; after the end of a pass the next call begins another. Returns how many keys went."""
        gone = 0
        if self._steps is None:
            self._steps = (n for shard in range(self._shards) for n in self._generations.clean(shard))
        for _ in range(steps_max):
            step = next(self._steps, None)
            if step is None:
                self._steps = None
                break
            gone += step
        return gone


def guard_store(store: RedisStore, cleaner: Cleaner) -> None:
    """Look after the server's settings and what was retired; raises `Stopped` where the server may drop keys."""
    # A server that is away is the worker's to wait for; one that may drop keys is nobody's to use.
    with suppress(Unavailable):
        store.check()
        cleaner.go_on(CLEANING_STEPS)


def bytes_of(value: bytes | str) -> bytes:
    return value.encode() if isinstance(value, str) else value
