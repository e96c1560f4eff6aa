"""The open batch: what was read since the previous batch was sent.   Stage 3 of 6: stream → [process] → store.

A batch arrives in portions. Each is folded while it is warm in the processor's caches, and then its records are
released. If the store must be asked something first, the portion and those after it wait, so that the store is asked
once a batch.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from rtaplatform.process.fold.dedup import without_expired
from rtaplatform.process.fold.job import BatchFold, DecodedRun, Job
from rtaplatform.process.fold.loose_ids import blank_expired
from rtaplatform.process.worker.limits import BATCH_RECORDS_LIMIT, BatchSize, StateIsStale, WorkerLimits
from rtaplatform.process.worker.poison import IsolatedFold, Quarantine, record_work
from rtaplatform.process.worker.positions import Positions
from rtaplatform.process.worker.project_lookup import ProjectLookup
from rtaplatform.process.worker.shard_caches import MissingCopies, ShardCaches
from rtaplatform.store.port import AggregateStore, Conflicted, Delta
from rtaplatform.stream.port import DeadLetter, LogRecord, Partition, RecordColumns

# The parts of a delta that do not change when persons or orders do.
COMPARED_BEFORE = ("moves", "projects_version", "blocks", "loose", "expired_blocks", "dead_before_ms")
DEAD_KEPT_MS = 400 * 86_400_000  # then the day bucket that counts the dead letter has expired


class PendingRun(Struct):
    """The part of a run that one shard has to fold, and what the store must be asked for first."""

    shard: int
    partition: Partition
    run: DecodedRun
    items: Sequence[Any]
    missing: MissingCopies


class ShardBatch(Struct):
    """One shard's part of an open batch.

    `last_records`: the last record of each partition, with its stream time. `folded`: the stream time up to which each
    partition is folded, for the partitions that had events of this shard.
    """

    fold: BatchFold
    last_records: dict[Partition, tuple[LogRecord, int]]
    folded: dict[Partition, int]


class BatchParts(Struct, frozen=True):
    """What every batch of a worker is read and folded with. `caches` has one entry for each shard."""

    store: AggregateStore
    job: Job
    limits: WorkerLimits
    caches: Sequence[ShardCaches]
    batch_size: BatchSize
    quarantine: Quarantine
    projects: ProjectLookup

    @property
    def shards(self) -> int:
        return len(self.caches)


class OpenBatch:
    """`records_max`: its size limit, by `BatchSize` or a conflict. `server_s`: the store's clock has passed it."""

    def __init__(self, parts: BatchParts, positions: Positions, server_s: int, records_max: int | None = None) -> None:
        self.parts, self.positions = parts, positions
        self.records_max = min(parts.batch_size.records_max, records_max or BATCH_RECORDS_LIMIT)
        self.records, self.opened_at = 0, 0.0
        self.shards: dict[int, ShardBatch] = {}  # what has been folded
        self._pending: list[PendingRun] = []  # what has not, in order
        self._server_s = server_s

    @property
    def is_full(self) -> bool:
        return self.records >= self.records_max

    def begin_next(self) -> OpenBatch:
        """Release what was kept for this batch, which has been sent, and begin another one."""
        self.parts.quarantine.release()
        self.parts.projects.begin_batch()
        for caches in self.parts.caches:
            caches.trim()
        return OpenBatch(self.parts, self.positions, self._server_s)

    def make_isolated_fold(self) -> IsolatedFold:
        """A way to read and fold single records of this batch."""
        return IsolatedFold(self.parts.job, self.positions.get_projects(), self.parts.shards, self._server_s)

    # reading ---------------------------------------------------------------------------------------------------

    def take(self, runs: Mapping[Partition, RecordColumns]) -> None:
        """Read a portion, and fold it unless the store must be asked something first."""
        if not runs:
            return
        if not self.records:
            self.opened_at = time.perf_counter()
        runs_decoded = self._decode(runs)
        with record_work():
            for partition, run in runs_decoded.items():
                parts = (self._find_part(shard, partition, run) for shard in self.positions.shards)
                self._pending += filter(None, parts)
        self.positions.advance(runs)
        self.records += sum(map(len, runs.values()))
        if not self._must_wait():
            self.fold()

    def _decode(self, runs: Mapping[Partition, RecordColumns]) -> dict[Partition, DecodedRun]:
        """Decode the runs; once more if a project that was unknown turns out to exist."""
        self.parts.quarantine.keep(runs, self.positions)
        runs_decoded = self._decode_once(runs)
        unknown = {name for run in runs_decoded.values() for name in run.list_unknown_projects()}
        return self._decode_once(runs) if self.parts.projects.learn(self.positions, unknown) else runs_decoded

    def _decode_once(self, runs: Mapping[Partition, RecordColumns]) -> dict[Partition, DecodedRun]:
        trial, decode = self.make_isolated_fold(), self.parts.quarantine.decode
        with record_work():
            return {p: decode(run, self.positions.find_stream_time_ms(p), trial) for p, run in runs.items()}

    def _find_part(self, shard: int, partition: Partition, run: DecodedRun) -> PendingRun | None:
        """The part of the run that the shard has not counted yet; None if it has counted all of it."""
        run = run.skip_to(self.positions.find_next_uncounted_offset(shard, partition))
        if not len(run):
            return None
        items = run.select_items(shard, self.parts.shards)
        missing_copies = self.parts.caches[shard].list_missing(self.parts.job, items)
        return PendingRun(shard, partition, run, items, missing_copies)

    def _must_wait(self) -> bool:
        has_missing = any(pending.missing for pending in self._pending)
        waiting_max = self.parts.limits.records_waiting_max
        return has_missing and sum(len(pending.items) for pending in self._pending) < waiting_max

    # folding ---------------------------------------------------------------------------------------------------

    def fold(self) -> None:
        """Fold everything that waits, after asking the store once for each shard."""
        for shard in dict.fromkeys(pending.shard for pending in self._pending):
            missing_copies = [pending.missing for pending in self._pending if pending.shard == shard]
            generation = self.positions.shards[shard].generation
            self.parts.caches[shard].load(self.parts.job, missing_copies, self.parts.store, shard, generation)
        for pending in self._pending:
            self._fold_run(pending)
        self._pending = []

    def _fold_run(self, pending: PendingRun) -> None:
        batch, run = self.shards.get(pending.shard) or self._open_shard(pending.shard), pending.run
        batch.last_records[pending.partition] = run.columns.record(-1), run.stream_time_ms
        if pending.items:
            place = self.positions.extents[pending.partition].place
            with record_work():
                batch.fold.add(f"{place.topic_id}:{place.partition}", pending.items)
            batch.folded[pending.partition] = run.stream_time_ms

    def _open_shard(self, shard: int) -> ShardBatch:
        projects = self.positions.shards[shard].projects
        fold = self.parts.caches[shard].begin_fold(self.parts.job, projects, self._server_s)
        batch = self.shards[shard] = ShardBatch(fold, {}, {})
        return batch

    # results ---------------------------------------------------------------------------------------------------

    def refuse_if_projects_were_made(self) -> None:
        """Look up unknown projects once more: events of a new project must not become dead letters."""
        if self.parts.projects.learn_whole_batch(self.positions):
            raise StateIsStale("a project was made while the batch was read")

    def list_dead_letters(self) -> list[DeadLetter]:
        """Of all shards."""
        return [dead_letter for batch in self.shards.values() for dead_letter in batch.fold.dead_letters]

    def make_delta(self, shard: int) -> Delta:
        """What the batch adds to the shard, with the moves of its ledger rows."""
        batch, positions = self.shards[shard], self.positions
        with record_work():
            delta = batch.fold.make_delta()
        delta.moves = [positions.move_past(shard, p, *last) for p, last in batch.last_records.items()]
        delta.sketches = self.parts.caches[shard].members.select_new(delta.sketches)
        delta.projects_version = positions.shards[shard].projects_version
        delta.expired_blocks = positions.list_expired_blocks(batch.folded)
        delta.blocks = without_expired(delta.blocks, delta.expired_blocks)
        delta.loose = blank_expired(delta.loose, delta.expired_blocks)
        delta.dead_before_ms = max(0, min(batch.folded.values()) - DEAD_KEPT_MS)
        return delta

    def make_delta_again(self, shard: int, old_delta: Delta, conflict: Conflicted) -> Delta:
        """The delta with persons and orders as the store has them now. All else is as the store has compared it."""
        batch, parts = self.shards[shard], self.parts
        caches, generation = parts.caches[shard], self.positions.shards[shard].generation
        with record_work():
            batch.fold.take_back()
        caches.learn(conflict, parts.job, parts.store, shard, generation)
        with record_work():
            delta = batch.fold.make_delta()
        delta.sketches = caches.members.select_new(delta.sketches)
        for name in COMPARED_BEFORE:
            setattr(delta, name, getattr(old_delta, name))
        caches.accept_again(delta)
        return delta
