"""`rta rebuild`, put together: what is checked beforehand, the run, what it says.   Names adapters, like wiring.py."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from rtaplatform.core.errors import SetupError, Unavailable
from rtaplatform.core.ledger import next_offset
from rtaplatform.process.rebuild.rebuild import Rebuild, drop
from rtaplatform.process.rebuild.time_ordered_log import TimeOrderedLog
from rtaplatform.settings import KafkaSettings, StoreSettings, WorkerSettings
from rtaplatform.store.port import SCHEMA, ShardState
from rtaplatform.store.redis.redis_generations import Cleaner, RedisGenerations
from rtaplatform.store.redis.redis_store import RedisStore
from rtaplatform.stream.kafka.dead_letters import KafkaDeadLetters
from rtaplatform.stream.kafka.partition_reader import KafkaPartitions
from rtaplatform.stream.port import OffsetRange, Partition

ROOM_SECONDS = 2.0  # between looks at the server's memory
KEEP_OLD_HOURS = 24  # as a switch leaves it
FULL = 0.95  # of what the server may use: live workers need the rest
CLEANING_STEPS = 1_000


class RunningRebuild:
    """Call `check`, then `step` until it is false, then `summary`; `close` at the end, however it ends."""

    def __init__(
        self,
        kafka: KafkaSettings,
        store: StoreSettings,
        shard: int | None,
        *,
        worker: WorkerSettings,
        keep_old_hours: int = KEEP_OLD_HOURS,
    ) -> None:
        """`worker`: how much is taken at once, as a worker does. `shard` None: all of them."""
        if shard is not None and shard >= store.shards:
            raise SetupError(f"There is no shard {shard}: there are {store.shards}, from 0.", "See RTA_REDIS_SHARDS.")
        self._chosen = range(store.shards) if shard is None else range(shard, shard + 1)
        self._shards = store.shards
        self._store = RedisStore(store)
        self._generations = RedisGenerations(self._store, store.shards)
        self._reader = KafkaPartitions(kafka)
        self._log = TimeOrderedLog(
            self._reader, batch_max=worker.batch_events_max, batch_bytes_max=worker.batch_bytes_max
        )
        self._rebuild = Rebuild(
            self._log, KafkaDeadLetters(kafka), self._generations, shards=store.shards, only=self._chosen
        )
        self._keep_old_hours = keep_old_hours
        self._old: dict[int, str] = {}  # the generations that are read when it begins
        self._began = time.monotonic()
        self._room_at = self._ends_at = -ROOM_SECONDS
        self._first: dict[Partition, int] | None = None
        self._read: dict[Partition, int] = {}
        self._lows: dict[Partition, int] = {}
        self._ends: dict[Partition, int] = {}

    def close(self) -> None:
        self._reader.close()
        self._store.close()

    # beforehand ------------------------------------------------------------------------------------------------

    def check(self, *, partial: bool) -> list[str]:
        """What there is to say before it begins. Raises `SetupError` for what cannot be done."""
        Cleaner(self._generations, self._shards).go_on(CLEANING_STEPS)
        extents = self._extents()
        states = {shard: self._store.state(shard) for shard in self._chosen}
        lines = [line for shard, state in states.items() for line in self._check_shard(shard, state)]
        lost = [line for shard, state in states.items() for line in _what_is_lost(shard, state, extents)]
        if lost and not partial:
            raise SetupError(
                "The log no longer holds everything that the live totals include:\n  " + "\n  ".join(lost),
                "To leave that out of the new totals: rta rebuild --partial. The live ones stay until the switch.",
                exit_code=4,
            )
        self._old = {shard: state.generation for shard, state in states.items() if state}
        lines += self._check_room(self._old)
        return lines + [f"not in the new totals: {line}" for line in lost]

    def _check_shard(self, shard: int, state: ShardState | None) -> list[str]:
        if state is not None and (state.schema, state.shards) != (SCHEMA, self._shards):
            raise SetupError(
                f"Shard {shard} has schema {state.schema} and {state.shards} shards; this version has {SCHEMA}, and "
                f"RTA_REDIS_SHARDS is {self._shards}.",
                "Use the version and the setting that began it, or empty it: rta rebuild --empty",
                exit_code=4,
            )
        building = self._generations.building(shard)
        if building is None:
            return []
        done = sum(next_offset(row) for row in building.ledger.values())
        return [f"shard {shard}: an unfinished rebuild is there, at {done:,} records; it is gone on with if it can be"]

    def _check_room(self, generations: dict[int, str]) -> list[str]:
        """A new generation takes about as much as the old one: is there room for both?"""
        used, most = self._generations.room()
        begun = {shard: self._generations.building(shard) for shard in generations}
        needed = sum(self._generations.size(shard, name) for shard, name in generations.items())
        there = sum(self._generations.size(shard, state.generation) for shard, state in begun.items() if state)
        if most and used - there + needed > most * FULL:
            raise SetupError(
                f"Redis uses {_mb(used)} of {_mb(most)} MB, and the new totals need about {_mb(needed)} MB.",
                "Raise its maxmemory, take one shard at a time (--shard), or do without the old ones: --empty",
            )
        hours = self._keep_old_hours
        until = f"for {hours} hours after the switch; --keep-old 0 drops them at once" if hours else "until the switch"
        return [f"Redis holds the old totals and the new ones, about {_mb(needed)} MB more, {until}"]

    # the run ---------------------------------------------------------------------------------------------------

    def step(self) -> bool:
        """One turn; false once every shard has switched. A server that is away is waited for."""
        self._rebuild.step()
        self._read |= self._log.progress()
        if self._first is None and self._read:
            self._first = self._log.starts()
        self._keep_room()
        if not self._rebuild.remaining:
            self._let_old_go()
        return bool(self._rebuild.remaining)

    def _let_old_go(self) -> None:
        for shard, generation in self._old.items() if self._keep_old_hours != KEEP_OLD_HOURS else ():
            self._generations.keep_retired(shard, generation, self._keep_old_hours)
        Cleaner(self._generations, self._shards).go_on(CLEANING_STEPS)

    def _keep_room(self) -> None:
        """Where memory runs out the live workers come first: what was built goes."""
        if time.monotonic() - self._room_at < ROOM_SECONDS or not self._rebuild.remaining:
            return
        self._room_at = time.monotonic()
        used, most = 0, 0
        with suppress(Unavailable):  # it is waited for, and looked at again
            used, most = self._generations.room()
        if most and used > most * FULL:
            for shard in self._rebuild.remaining:
                drop(self._generations, shard)
            Cleaner(self._generations, self._shards).go_on(CLEANING_STEPS)
            raise SetupError(
                f"Redis has nearly no room left ({_mb(used)} of {_mb(most)} MB): what was built was dropped.",
                "Raise its maxmemory, take one shard at a time (--shard), or do without the old ones: --empty",
            )

    def progress(self) -> tuple[int, int]:
        """Records read, and records that there are, about: offsets, from where the log begins."""
        if time.monotonic() - self._ends_at >= ROOM_SECONDS:
            self._ends_at = time.monotonic()
            with suppress(Unavailable):  # it is waited for: what was there before is near enough
                extents = self._extents()
                self._lows = {partition: extent.low for partition, extent in extents.items()}
                self._ends = {partition: extent.high for partition, extent in extents.items()}
        read = sum(max(0, offset - self._lows.get(partition, 0)) for partition, offset in self._read.items())
        return read, sum(self._ends.values()) - sum(self._lows.values())

    def summary(self) -> dict[str, Any]:
        first = self._first or {}
        seconds = max(time.monotonic() - self._began, 0.001)
        records = sum(offset - first.get(partition, 0) for partition, offset in self._read.items())
        names = {str(shard): self._rebuild.names[shard] for shard in self._chosen}
        return {
            "generations": names,
            "resumed": sorted(self._rebuild.resumed),
            "records": records,
            "seconds": round(seconds, 1),
            "rate": round(records / seconds),
        }

    def _extents(self) -> dict[Partition, OffsetRange]:
        self._log.refresh_partitions()
        return self._log.extents(self._log.assignment()[1])


def abandon(store: StoreSettings, shard: int | None) -> list[str]:
    """Drop what an unfinished rebuild has built, and delete it. Returns a line a shard."""
    aggregates = RedisStore(store)
    generations = RedisGenerations(aggregates, store.shards)
    chosen = range(store.shards) if shard is None else [shard]
    dropped = {number: drop(generations, number) for number in chosen}
    Cleaner(generations, store.shards).go_on(CLEANING_STEPS)
    aggregates.close()
    return [
        f"shard {number}: {f'dropped {name}' if name else 'nothing was being built'}"
        for number, name in dropped.items()
    ]


def _what_is_lost(shard: int, state: ShardState | None, extents: dict[Partition, OffsetRange]) -> Iterable[str]:
    """What the live totals include, or included, and the log does not hold any more."""
    for partition, extent in sorted(extents.items()):
        known = state.topics.get(partition.topic) if state else None
        if state and known and known != extent.place.topic_id:
            yield f"shard {shard}: {partition} was made again; its log from before is gone"
            continue
        begun = state.starts.get(extent.place, 0) if state else 0
        if extent.low > begun:
            yield f"shard {shard}: {partition} begins at {extent.low:,} now, and began at {begun:,}"


def _mb(size: int) -> str:
    return f"{size / 1_000_000:,.0f}"
