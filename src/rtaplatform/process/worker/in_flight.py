"""The batch that was sent, while the store works on it.   Stage 3 of 6: stream → [process] → store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from time import perf_counter

from msgspec import Struct

from rtaplatform import telemetry
from rtaplatform.core.errors import Stopped, Unavailable
from rtaplatform.core.events import Outcome as RecordOutcome
from rtaplatform.process.worker.gauges import PartitionGauges
from rtaplatform.process.worker.limits import BatchConflict, StateIsStale
from rtaplatform.process.worker.open_batch import OpenBatch, ShardBatch
from rtaplatform.process.worker.positions import Positions
from rtaplatform.process.worker.stop_notices import StopNotices
from rtaplatform.store.port import AggregateStore, Applied, Conflicted, Delta, Moved, Outcome, Torn
from rtaplatform.stream.port import DeadLetter, DeadLetters, OffsetRange, Partition


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

    They are written by whichever of the batch's calls comes first. Where that fails, the others fail at once: each
    would wait for Kafka as long as the first did.
    """

    def __init__(self, dead_letters: Sequence[DeadLetter], to: DeadLetters) -> None:
        self._dead_letters, self._to = dead_letters, to
        self._is_there = False
        self._trouble: Unavailable | None = None

    def before(self, apply: Callable[[], Outcome]) -> Outcome:
        if self._trouble is not None:
            raise self._trouble
        if not self._is_there:
            try:
                self._to.quarantine(self._dead_letters)
            except Unavailable as trouble:
                self._trouble = trouble
                raise
            self._is_there = True
        return apply()


class InFlight:
    """The calls of one batch, one for each shard that has anything of it."""

    def __init__(
        self,
        store: AggregateStore,
        dead_letters: DeadLetters,
        begin: Begin,
        *,
        stops: StopNotices,
        gauges: PartitionGauges,
    ) -> None:
        self._store, self._dead_letters, self._begin = store, dead_letters, begin
        self._stops, self._gauges = stops, gauges
        self._calls: list[InFlightApply] = []
        self._batch: OpenBatch | None = None  # that was sent last

    def __bool__(self) -> bool:
        """Whether it is not known yet how the batch ended."""
        return bool(self._calls)

    def send(self, batch: OpenBatch) -> None:
        """Begin the calls of a whole batch. Positions and copies are from now on as if all had ended well."""
        found = batch.dead_letters()
        dead_letters = BatchDeadLetters(found, self._dead_letters) if found else None
        self._batch = batch
        for shard, part in batch.shards.items():
            if part.folded:  # else there were other shards' events only: the ledger follows with the next comparison
                self._calls.append(self._begin_apply(batch, shard, dead_letters))
        telemetry.WORKER_BATCH_RECORDS.set(batch.records)

    def _begin_apply(self, batch: OpenBatch, shard: int, dead_letters: BatchDeadLetters | None) -> InFlightApply:
        delta = batch.delta(shard)
        apply = partial(self._store.apply, shard, batch.at.shards[shard].generation, delta)
        outcome = self._begin(partial(dead_letters.before, apply) if dead_letters else apply)
        batch.parts.caches[shard].accept(delta)
        batch.at.accept(shard, delta.moves)
        return InFlightApply(shard, batch.shards[shard], delta, outcome)

    def wait(self) -> bool:
        """Until the store has applied the batch; whether there was one. Where a call did not end well, it raises."""
        batch = self._batch
        if batch is None or not self._calls:
            return False
        for call in self._calls:
            self._judge(batch, call, call.outcome())
        self._calls, self._batch = [], None
        telemetry.WORKER_BATCH_SECONDS.observe(perf_counter() - batch.opened_at)
        return True

    def _judge(self, batch: OpenBatch, call: InFlightApply, outcome: Outcome) -> None:
        telemetry.WORKER_APPLIES.labels(type(outcome).__name__.lower()).inc()
        match outcome:
            case Applied():
                _export_counts(call, batch.at.extents, self._gauges)
            case Conflicted(projects=True):
                raise StateIsStale("projects have changed")
            case Conflicted():
                for each in self._calls:
                    batch.parts.caches[each.shard].drop(each.delta)
                raise BatchConflict(batch.records)
            case Torn():
                why = "torn: a batch was written half; run `rta rebuild`"
                self._stops.add(batch.at.stops, f"shard {call.shard}", why)
                raise StateIsStale("a torn shard")
            case Moved():
                raise StateIsStale("another worker was here, or the store went back")

    def give_up(self) -> None:
        """Wait for the calls' ends, whatever they are: the ledgers are read after it."""
        calls, self._calls, self._batch = self._calls, [], None
        for call in calls:
            with suppress(Unavailable, Stopped):
                call.outcome()

    def is_well(self, at: Positions) -> bool:
        """Whether the calls end well, the ledgers can be read, and the store takes an empty batch."""
        apply = self._store.apply
        return (
            all(isinstance(call.outcome(), Applied) for call in self._calls)
            and all(self._store.state(shard) for shard in at.shards)
            and all(
                isinstance(apply(shard, state.generation, Delta([])), Applied) for shard, state in at.shards.items()
            )
        )


def _export_counts(call: InFlightApply, extents: Mapping[Partition, OffsetRange], gauges: PartitionGauges) -> None:
    """Say in the metrics what a call that ended well has counted."""
    places = [f"{place.topic_id}:{place.partition}" for place in (extents[p].place for p in call.part.folded)]
    for outcome in RecordOutcome:
        n = sum(call.delta.counts.get(f"{place}|{outcome}", 0) for place in places)
        if n:
            telemetry.WORKER_RECORDS.labels(str(outcome)).inc(n)
    for partition in call.part.folded:
        gauges.show_advance(partition)
