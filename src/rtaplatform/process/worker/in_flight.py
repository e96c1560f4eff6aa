"""A batch on its way: what waits, what is open, what was sent.   Stage 3 of 6: stream → [process] → store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from msgspec import Struct

from rtaplatform import telemetry
from rtaplatform.core.errors import Unavailable
from rtaplatform.core.events import Outcome as RecordOutcome
from rtaplatform.process.fold.job import BatchFold, DecodedRun
from rtaplatform.process.worker.gauges import PartitionGauges
from rtaplatform.process.worker.shard_caches import MissingCopies
from rtaplatform.store.port import Delta, Outcome
from rtaplatform.stream.port import DeadLetter, DeadLetters, LogRecord, OffsetRange, Partition


class PendingRun(Struct):
    """What one shard has to fold of a run, and what the store must be asked for first."""

    shard: int
    partition: Partition
    chunk: DecodedRun
    items: Sequence[Any]
    missing: MissingCopies


class ShardBatch(Struct):
    """What an open batch is to one shard: the last record read of each partition, and the record time at it.

    `folded`: the partitions that had anything for the shard, and the record time up to which it is folded.
    """

    folding: BatchFold
    read: dict[Partition, tuple[LogRecord, int]]
    folded: dict[Partition, int]


class InFlightApply(Struct):
    """A part whose call is under way; `outcome` waits for it, and raises what it raises."""

    shard: int
    part: ShardBatch
    delta: Delta
    outcome: Callable[[], Outcome]


# Begins a call, and gives what waits for its end.
Begin = Callable[[Callable[[], Outcome]], Callable[[], Outcome]]


def in_a_thread() -> Begin:
    """One call after the other, beside the caller."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="apply")
    return lambda call: pool.submit(call).result


class BatchDeadLetters:
    """The dead letters of a batch, all shards'. Kafka holds them before any ledger moves past their events.

    They are set aside by whichever of the batch's calls comes first. Where that fails, the others fail at once: each
    would wait for Kafka as long as the first did.
    """

    def __init__(self, letters: Sequence[DeadLetter], to: DeadLetters) -> None:
        self._letters, self._to = letters, to
        self._is_there = False
        self._trouble: Unavailable | None = None

    def before(self, apply: Callable[[], Outcome]) -> Outcome:
        if self._trouble is not None:
            raise self._trouble
        if not self._is_there:
            try:
                self._to.set_aside(self._letters)
            except Unavailable as trouble:
                self._trouble = trouble
                raise
            self._is_there = True
        return apply()


def export_counts(sent: InFlightApply, extents: Mapping[Partition, OffsetRange], gauges: PartitionGauges) -> None:
    """Say in the metrics what a call that ended well has counted."""
    places = [f"{place.topic_id}:{place.partition}" for place in (extents[p].place for p in sent.part.folded)]
    for outcome in RecordOutcome:
        n = sum(sent.delta.counts.get(f"{place}|{outcome}", 0) for place in places)
        if n:
            telemetry.WORKER_RECORDS.labels(str(outcome)).inc(n)
    for partition in sent.part.folded:
        gauges.show_advance(partition)
