"""`rta rebuild`: the checks before it, the run, and its summary.   Names adapters, like wiring."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from rtaplatform.core.errors import SetupError, Unavailable
from rtaplatform.core.ledger import read_next_offset
from rtaplatform.process.rebuild.rebuild import Rebuild, drop
from rtaplatform.process.rebuild.time_ordered_log import TimeOrderedLog
from rtaplatform.process.worker.limits import BatchSize
from rtaplatform.settings import KafkaSettings, StoreSettings, WorkerSettings
from rtaplatform.store.port import SCHEMA, ShardState
from rtaplatform.store.redis.redis_generations import Cleaner, RedisGenerations
from rtaplatform.store.redis.redis_store import RedisStore
from rtaplatform.stream.kafka.dead_letters import KafkaDeadLetters
from rtaplatform.stream.kafka.partition_reader import KafkaPartitions
from rtaplatform.stream.port import OffsetRange, Partition

ROOM_SECONDS = 2.0  # between checks of the server's memory
KEEP_OLD_HOURS = 24  # the default of a switch
FULL = 0.95  # share of the server's memory that a rebuild may fill: live workers need the rest
CLEANING_STEPS = 1_000


class RebuildRun:
    """Call `check`, then `step` until it returns False, then `summarise`. Always call `close` at the end."""

    def __init__(
        self,
        kafka: KafkaSettings,
        store: StoreSettings,
        shard: int | None,
        *,
        worker: WorkerSettings,
        keep_old_hours: int = KEEP_OLD_HOURS,
    ) -> None:
        """`worker` has the limits of a batch. `shard` is None for all shards."""
        if shard is not None and shard >= store.shards:
            raise SetupError(f"There is no shard {shard}: there are {store.shards}, from 0.", "See RTA_REDIS_SHARDS.")
        self._shard_range = range(store.shards) if shard is None else range(shard, shard + 1)
        self._shards = store.shards
        batch_size = BatchSize()
        self._store = RedisStore(store, note_call=batch_size.note_call)
        self._generations = RedisGenerations(self._store, store.shards)
        self._reader = KafkaPartitions(kafka)
        self._log = TimeOrderedLog(
            self._reader, batch_max=worker.batch_events_max, batch_bytes_max=worker.batch_bytes_max
        )
        self._rebuild = Rebuild(
            self._log,
            KafkaDeadLetters(kafka),
            self._generations,
            shards=store.shards,
            only=self._shard_range,
            batch_size=batch_size,
        )
        self._keep_old_hours = keep_old_hours
        self._old_generations: dict[int, str] = {}  # the generations that are live at the start
        self._started_at = time.monotonic()
        self._room_at = self._ends_at = -ROOM_SECONDS
        self._start_offsets: dict[Partition, int] | None = None
        self._next_offsets: dict[Partition, int] = {}
        self._lows: dict[Partition, int] = {}
        self._highs: dict[Partition, int] = {}

    def close(self) -> None:
        self._reader.close()
        self._store.close()

    # before the run ----------------------------------------------------------------------------------------------

    def check(self, *, partial: bool) -> list[str]:
        """Check whether the rebuild can run. Returns lines to print. Raises SetupError if it cannot."""
        Cleaner(self._generations, self._shards).run_steps(CLEANING_STEPS)
        extents = self._read_extents()
        states = {shard: self._store.read_state(shard) for shard in self._shard_range}
        lines = [line for shard, state in states.items() for line in self._check_shard(shard, state)]
        losses = [line for shard, state in states.items() for line in _list_losses(shard, state, extents)]
        if losses and not partial:
            raise SetupError(
                "The log no longer holds everything that the live totals include:\n  " + "\n  ".join(losses),
                "To leave that out of the new totals: rta rebuild --partial. The live ones stay until the switch.",
                exit_code=4,
            )
        self._old_generations = {shard: state.generation for shard, state in states.items() if state}
        lines += self._check_room(self._old_generations)
        return lines + [f"not in the new totals: {line}" for line in losses]

    def _check_shard(self, shard: int, state: ShardState | None) -> list[str]:
        if state is not None and (state.schema, state.shards) != (SCHEMA, self._shards):
            raise SetupError(
                f"Shard {shard} has schema {state.schema} and {state.shards} shards; this version has {SCHEMA}, and "
                f"RTA_REDIS_SHARDS is {self._shards}.",
                "Use the version and the setting that began it, or empty it: rta rebuild --empty",
                exit_code=4,
            )
        building = self._generations.read_building(shard)
        if building is None:
            return []
        records = sum(read_next_offset(row) for row in building.ledger.values())
        return [f"shard {shard}: there is an unfinished rebuild, at {records:,} records; it is continued if possible"]

    def _check_room(self, generations: dict[int, str]) -> list[str]:
        """Raise SetupError if there is no room for another generation of about the same size."""
        bytes_used, bytes_max = self._generations.read_room()
        building = {shard: self._generations.read_building(shard) for shard in generations}
        bytes_needed = sum(self._generations.measure(shard, name) for shard, name in generations.items())
        bytes_built = sum(
            self._generations.measure(shard, state.generation) for shard, state in building.items() if state
        )
        if bytes_max and bytes_used - bytes_built + bytes_needed > bytes_max * FULL:
            raise SetupError(
                f"Redis uses {_to_megabytes(bytes_used)} of {_to_megabytes(bytes_max)} MB, "
                f"and the new totals need about {_to_megabytes(bytes_needed)} MB.",
                "Raise its maxmemory, take one shard at a time (--shard), or do without the old ones: --empty",
            )
        hours = self._keep_old_hours
        until = f"for {hours} hours after the switch; --keep-old 0 drops them at once" if hours else "until the switch"
        return [f"Redis holds the old totals and the new ones, about {_to_megabytes(bytes_needed)} MB more, {until}"]

    # the run ---------------------------------------------------------------------------------------------------

    def step(self) -> bool:
        """Take one turn. Returns False once every shard has switched. Waits for a server that is away."""
        self._rebuild.step()
        self._next_offsets |= self._log.read_progress()
        if self._start_offsets is None and self._next_offsets:
            self._start_offsets = self._log.list_starts()
        self._keep_room()
        if not self._rebuild.remaining:
            self._retire_old_generations()
        return bool(self._rebuild.remaining)

    def _retire_old_generations(self) -> None:
        for shard, generation in self._old_generations.items() if self._keep_old_hours != KEEP_OLD_HOURS else ():
            self._generations.keep_retired(shard, generation, self._keep_old_hours)
        Cleaner(self._generations, self._shards).run_steps(CLEANING_STEPS)

    def _keep_room(self) -> None:
        """If memory runs out, drop the new generation: the live workers come first."""
        if time.monotonic() - self._room_at < ROOM_SECONDS or not self._rebuild.remaining:
            return
        self._room_at = time.monotonic()
        bytes_used, bytes_max = 0, 0
        with suppress(Unavailable):  # checked again later
            bytes_used, bytes_max = self._generations.read_room()
        if bytes_max and bytes_used > bytes_max * FULL:
            for shard in self._rebuild.remaining:
                drop(self._generations, shard)
            Cleaner(self._generations, self._shards).run_steps(CLEANING_STEPS)
            raise SetupError(
                f"Redis is nearly full ({_to_megabytes(bytes_used)} of {_to_megabytes(bytes_max)} MB): "
                "the new totals were dropped.",
                "Raise its maxmemory, take one shard at a time (--shard), or do without the old ones: --empty",
            )

    def read_progress(self) -> tuple[int, int]:
        """Roughly the records read, and the records in the log: differences of offsets."""
        if time.monotonic() - self._ends_at >= ROOM_SECONDS:
            self._ends_at = time.monotonic()
            with suppress(Unavailable):  # the ends from before are good enough
                extents = self._read_extents()
                self._lows = {partition: extent.low for partition, extent in extents.items()}
                self._highs = {partition: extent.high for partition, extent in extents.items()}
        records_read = sum(
            max(0, offset - self._lows.get(partition, 0)) for partition, offset in self._next_offsets.items()
        )
        return records_read, sum(self._highs.values()) - sum(self._lows.values())

    def summarise(self) -> dict[str, Any]:
        start_offsets = self._start_offsets or {}
        seconds = max(time.monotonic() - self._started_at, 0.001)
        records = sum(offset - start_offsets.get(partition, 0) for partition, offset in self._next_offsets.items())
        names = {str(shard): self._rebuild.names[shard] for shard in self._shard_range}
        return {
            "generations": names,
            "resumed": sorted(self._rebuild.resumed),
            "records": records,
            "seconds": round(seconds, 1),
            "rate": round(records / seconds),
        }

    def _read_extents(self) -> dict[Partition, OffsetRange]:
        self._log.refresh_partitions()
        return self._log.read_extents(self._log.read_assignment()[1])


def abandon(store: StoreSettings, shard: int | None) -> list[str]:
    """Drop and delete the generation of an unfinished rebuild. Returns one line per shard."""
    aggregates = RedisStore(store)
    generations = RedisGenerations(aggregates, store.shards)
    shards = range(store.shards) if shard is None else [shard]
    generations_dropped = {number: drop(generations, number) for number in shards}
    Cleaner(generations, store.shards).run_steps(CLEANING_STEPS)
    aggregates.close()
    return [
        f"shard {number}: {f'dropped {name}' if name else 'nothing was being built'}"
        for number, name in generations_dropped.items()
    ]


def _list_losses(shard: int, state: ShardState | None, extents: dict[Partition, OffsetRange]) -> Iterable[str]:
    """Parts of the live totals that the log no longer holds, one line each."""
    for partition, extent in sorted(extents.items()):
        counted_topic_id = state.topics.get(partition.topic) if state else None
        if state and counted_topic_id and counted_topic_id != extent.place.topic_id:
            yield f"shard {shard}: {partition} was re-created; its earlier log is gone"
            continue
        start = state.starts.get(extent.place, 0) if state else 0
        if extent.low > start:
            yield f"shard {shard}: {partition} begins at {extent.low:,} now, and began at {start:,}"


def _to_megabytes(size: int) -> str:
    return f"{size / 1_000_000:,.0f}"
