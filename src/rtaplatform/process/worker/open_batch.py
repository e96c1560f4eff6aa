"""The batch that is open: what was read since the one before was sent.   Stage 3 of 6: stream → [process] → store.

It comes in portions. Each is folded while it is warm in the processor's caches, and then its records are let go. A
portion for which the store must be asked something waits, with those after it, so that the store is asked once a batch.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from rtaplatform.process.fold.dedup import without_expired
from rtaplatform.process.fold.job import BatchFold, DecodedRun, Job
from rtaplatform.process.fold.loose_ids import loose_without_expired
from rtaplatform.process.worker.limits import StateIsStale, WorkerLimits
from rtaplatform.process.worker.poison import Quarantine, RecordAlone, record_work
from rtaplatform.process.worker.positions import Positions
from rtaplatform.process.worker.project_lookup import ProjectLookup
from rtaplatform.process.worker.shard_caches import MissingCopies, ShardCaches
from rtaplatform.store.port import AggregateStore, Delta
from rtaplatform.stream.port import DeadLetter, LogRecord, Partition, RecordColumns

DEAD_KEPT_MS = 400 * 86_400_000  # an older dead letter could not count any more: its day's bucket is gone


class PendingRun(Struct):
    """What one shard has to fold of a run, and what the store must be asked for first."""

    shard: int
    partition: Partition
    chunk: DecodedRun
    items: Sequence[Any]
    missing: MissingCopies


class ShardBatch(Struct):
    """What an open batch is to one shard: the last record read of each partition, and the stream time at it.

    `folded`: the partitions that had anything for the shard, and the stream time up to which it is folded.
    """

    folding: BatchFold
    read: dict[Partition, tuple[LogRecord, int]]
    folded: dict[Partition, int]


class BatchParts(Struct, frozen=True):
    """What every batch of a worker is read and folded with. `caches` are by shard, all of them."""

    store: AggregateStore
    job: Job
    limits: WorkerLimits
    caches: Sequence[ShardCaches]
    quarantine: Quarantine
    projects: ProjectLookup

    @property
    def shards(self) -> int:
        return len(self.caches)


class OpenBatch:
    """`records_max`: how many make it full, after a conflict. `server_s`: what the store's clock has passed."""

    def __init__(self, parts: BatchParts, at: Positions, server_s: int, records_max: int | None = None) -> None:
        self.parts, self.at, self.records_max = parts, at, records_max
        self.records, self.opened_at = 0, 0.0
        self.shards: dict[int, ShardBatch] = {}  # what is folded
        self._waiting: list[PendingRun] = []  # what is not, in order
        self._server_s = server_s

    @property
    def is_full(self) -> bool:
        return self.records_max is not None and self.records >= self.records_max

    def next(self) -> OpenBatch:
        """This one is sent: what was kept for it is let go, and another one begins."""
        self.parts.quarantine.let_go()
        self.parts.projects.begin_batch()
        for caches in self.parts.caches:
            caches.trim()
        return OpenBatch(self.parts, self.at, self._server_s)

    def alone(self) -> RecordAlone:
        """How a record of this batch is read and folded by itself."""
        return RecordAlone(self.parts.job, self.at.projects(), self.parts.shards, self._server_s)

    # reading ---------------------------------------------------------------------------------------------------

    def take(self, runs: Mapping[Partition, RecordColumns]) -> None:
        """Read a portion, and fold it unless the store must be asked first."""
        if not runs:
            return
        if not self.records:
            self.opened_at = time.perf_counter()
        chunks = self._decode(runs)
        with record_work():
            for partition, chunk in chunks.items():
                self._waiting += filter(None, (self._pending(shard, partition, chunk) for shard in self.at.shards))
        self.at.advance(runs)
        self.records += sum(map(len, runs.values()))
        if not self._must_wait():
            self.fold()

    def _decode(self, runs: Mapping[Partition, RecordColumns]) -> dict[Partition, DecodedRun]:
        """Twice, where a project that is named has been made lately."""
        self.parts.quarantine.keep(runs, self.at)
        chunks = self._decode_once(runs)
        unknown = {name for chunk in chunks.values() for name in chunk.unknown_projects()}
        return self._decode_once(runs) if self.parts.projects.learn(self.at, unknown) else chunks

    def _decode_once(self, runs: Mapping[Partition, RecordColumns]) -> dict[Partition, DecodedRun]:
        alone, understand = self.alone(), self.parts.quarantine.understand
        with record_work():
            return {p: understand(run, self.at.stream_time_ms(p), alone) for p, run in runs.items()}

    def _pending(self, shard: int, partition: Partition, chunk: DecodedRun) -> PendingRun | None:
        """What the shard has not counted yet."""
        chunk = chunk.since(self.at.next_of(shard, partition))
        if not len(chunk):
            return None
        items = chunk.of(shard, self.parts.shards)
        missing = self.parts.caches[shard].missing(self.parts.job, items)
        return PendingRun(shard, partition, chunk, items, missing)

    def _must_wait(self) -> bool:
        is_known = not any(pending.missing for pending in self._waiting)
        waiting_max = self.parts.limits.records_waiting_max
        return not is_known and sum(len(pending.items) for pending in self._waiting) < waiting_max

    # folding ---------------------------------------------------------------------------------------------------

    def fold(self) -> None:
        """All that waits. The store is asked once for each shard."""
        for shard in dict.fromkeys(pending.shard for pending in self._waiting):
            missing = [pending.missing for pending in self._waiting if pending.shard == shard]
            self.parts.caches[shard].load(missing, self.parts.store, shard, self.at.shards[shard].generation)
        for pending in self._waiting:
            self._fold_run(pending)
        self._waiting = []

    def _fold_run(self, pending: PendingRun) -> None:
        part, chunk = self.shards.get(pending.shard) or self._open_shard(pending.shard), pending.chunk
        part.read[pending.partition] = chunk.run.record(-1), chunk.stream_time_ms
        if pending.items:
            place = self.at.extents[pending.partition].place
            with record_work():
                part.folding.add(f"{place.topic_id}:{place.partition}", pending.items)
            part.folded[pending.partition] = chunk.stream_time_ms

    def _open_shard(self, shard: int) -> ShardBatch:
        projects = self.at.shards[shard].projects
        folding = self.parts.caches[shard].begin_fold(self.parts.job, projects, self._server_s)
        part = self.shards[shard] = ShardBatch(folding, {}, {})
        return part

    # what comes of it ------------------------------------------------------------------------------------------

    def refuse_if_projects_were_made(self) -> None:
        """Ask for the unknown ones once more: their events must not become dead letters."""
        if self.parts.projects.learn_at_last(self.at):
            raise StateIsStale("a project was made while the batch was read")

    def dead_letters(self) -> list[DeadLetter]:
        """Of all shards."""
        return [dead_letter for part in self.shards.values() for dead_letter in part.folding.dead_letters]

    def delta(self, shard: int) -> Delta:
        """What the batch adds to the shard, and from where to where it moves its position."""
        part, at = self.shards[shard], self.at
        with record_work():
            delta = part.folding.delta()
        delta.moves = [at.move(shard, p, *last) for p, last in part.read.items()]
        delta.sketches = self.parts.caches[shard].members.only_new(delta.sketches)
        delta.projects_version = at.shards[shard].projects_version
        delta.expired_blocks = at.expired_blocks(part.folded)
        delta.blocks = without_expired(delta.blocks, delta.expired_blocks)
        delta.loose = loose_without_expired(delta.loose, delta.expired_blocks)
        delta.dead_before_ms = max(0, min(part.folded.values()) - DEAD_KEPT_MS)
        return delta
