"""The batch in flight: it was sent, and the store works on it.   Stage 3 of 6: stream → [process] → store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from time import perf_counter

from msgspec import Struct

from rtaplatform import telemetry
from rtaplatform.core.errors import Stopped, Unavailable
from rtaplatform.core.events import PersonNote, RecordOutcome
from rtaplatform.process.worker.gauges import PartitionGauges, RecentOutcomes
from rtaplatform.process.worker.limits import BatchConflict, StateIsStale
from rtaplatform.process.worker.open_batch import OpenBatch, ShardBatch
from rtaplatform.process.worker.poison import RecordRaised
from rtaplatform.process.worker.positions import SHARD_IS_TORN, Positions
from rtaplatform.process.worker.stop_notices import StopNotices
from rtaplatform.store.port import AggregateStore, Applied, Conflicted, Delta, Moved, Outcome, Torn
from rtaplatform.stream.port import DeadLetter, DeadLetters, OffsetRange, Partition

CONFLICTS_MAX = 8  # of one delta that is made again with what the store has; then its records are read again


class InFlightApply(Struct):
    """One shard's call. `outcome` waits for its end, and raises what the call raises."""

    shard: int
    batch: ShardBatch
    delta: Delta
    outcome: Callable[[], Outcome]


# Starts a call, and returns a function that waits for its end.
CallStarter = Callable[[Callable[[], Outcome]], Callable[[], Outcome]]


def start_calls_in_thread() -> CallStarter:
    """Run calls one after the other, in a second thread."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="apply")
    return lambda call: pool.submit(call).result


class BatchDeadLetters:
    """The dead letters of a batch, of all shards. Kafka holds them before any ledger moves past their events.

    The first of the batch's calls writes them. If that fails, the other calls fail at once: each would wait for Kafka
    as long as the first did.
    """

    def __init__(self, dead_letters: Sequence[DeadLetter], topic: DeadLetters) -> None:
        self._dead_letters, self._topic = dead_letters, topic
        self._is_written = False
        self._error: Unavailable | None = None

    def write_before(self, apply: Callable[[], Outcome]) -> Outcome:
        if self._error is not None:
            raise self._error
        if not self._is_written:
            try:
                self._topic.quarantine(self._dead_letters)
            except Unavailable as error:
                self._error = error
                raise
            self._is_written = True
        return apply()


class InFlight:
    """The calls of one batch, one for each shard that has events of it."""

    def __init__(
        self,
        store: AggregateStore,
        dead_letters: DeadLetters,
        start_call: CallStarter,
        *,
        stops: StopNotices,
        gauges: PartitionGauges,
    ) -> None:
        self._store, self._dead_letters, self._start_call = store, dead_letters, start_call
        self._stops, self._gauges = stops, gauges
        self._recent = RecentOutcomes()
        self._calls: list[InFlightApply] = []
        self._batch: OpenBatch | None = None

    def __bool__(self) -> bool:
        """Whether a batch is in flight, so that its outcome is not known yet."""
        return bool(self._calls)

    def send(self, batch: OpenBatch) -> None:
        """Start the calls of a whole batch. Positions and caches are updated as if all had been applied."""
        letters = batch.list_dead_letters()
        dead_letters = BatchDeadLetters(letters, self._dead_letters) if letters else None
        self._batch = batch
        for shard, shard_batch in batch.shards.items():
            if shard_batch.folded:  # without events of the shard, its ledger follows with the next comparison
                self._calls.append(self._start_apply(batch, shard, dead_letters))
        telemetry.WORKER_BATCH_RECORDS.set(batch.records)

    def _start_apply(self, batch: OpenBatch, shard: int, dead_letters: BatchDeadLetters | None) -> InFlightApply:
        delta = batch.make_delta(shard)
        apply = partial(self._store.apply, shard, batch.positions.shards[shard].generation, delta)
        outcome = self._start_call(partial(dead_letters.write_before, apply) if dead_letters else apply)
        batch.parts.caches[shard].accept(delta)
        batch.positions.accept(shard, delta.moves)
        return InFlightApply(shard, batch.shards[shard], delta, outcome)

    def wait(self) -> bool:
        """Wait until the store has applied the batch; return whether there was one. Raises if a call has failed."""
        batch = self._batch
        if batch is None or not self._calls:
            return False
        for call in self._calls:
            self._handle_outcome(batch, call, self._find_outcome(batch, call))
        self._calls, self._batch = [], None
        batch.parts.batch_size.adapt(batch.records, is_applied=True)
        telemetry.WORKER_BATCH_SECONDS.observe(perf_counter() - batch.opened_at)
        return True

    def _find_outcome(self, batch: OpenBatch, call: InFlightApply) -> Outcome:
        """The call's outcome. Where only persons or orders differ, the delta is made again with what the store has."""
        outcome = call.outcome()
        for _ in range(CONFLICTS_MAX):
            if not isinstance(outcome, Conflicted) or outcome.needs_records:
                break
            telemetry.WORKER_APPLIES.labels("conflicted").inc()
            try:
                call.delta = batch.make_delta_again(call.shard, call.delta, outcome)
            except RecordRaised as error:
                raise BatchConflict(batch.records) from error  # it is raised again where the records are at hand
            generation = batch.positions.shards[call.shard].generation
            outcome = self._start_call(partial(self._store.apply, call.shard, generation, call.delta))()
        return outcome

    def _handle_outcome(self, batch: OpenBatch, call: InFlightApply, outcome: Outcome) -> None:
        telemetry.WORKER_APPLIES.labels(type(outcome).__name__.lower()).inc()
        match outcome:
            case Applied():
                batch.parts.caches[call.shard].members.accept(call.delta.sketches)
                _export_counts(call, batch.positions.extents, self._recent)
                for partition in call.batch.folded:
                    self._gauges.show_advance(partition)
            case Conflicted(projects=True):
                raise StateIsStale("projects have changed")
            case Conflicted(orders=stored_orders, replayed=origins):
                for other in self._calls:
                    batch.parts.caches[other.shard].drop(other.delta)
                batch.parts.caches[call.shard].orders.learn(stored_orders)
                batch.parts.caches[call.shard].settled_replays.learn(origins)
                raise BatchConflict(batch.records)
            case Torn():
                self._stops.add(batch.positions.stops, f"shard {call.shard}", SHARD_IS_TORN)
                raise StateIsStale("a torn shard")
            case Moved():
                raise StateIsStale("another worker has moved the ledger, or the store lost its last writes")

    def abandon(self) -> None:
        """Wait until the calls have ended, with whatever outcome: the ledgers are read next."""
        calls, batch, self._calls, self._batch = self._calls, self._batch, [], None
        for call in calls:
            with suppress(Unavailable, Stopped):
                call.outcome()
        if batch is not None:
            batch.parts.batch_size.adapt(batch.records, is_applied=False)

    def is_well(self, positions: Positions) -> bool:
        """Whether the calls end well, the ledgers can be read, and the store applies an empty delta."""
        apply = self._store.apply
        return (
            all(isinstance(call.outcome(), Applied) for call in self._calls)
            and all(self._store.read_state(shard) for shard in positions.shards)
            and all(
                isinstance(apply(shard, state.generation, Delta([])), Applied)
                for shard, state in positions.shards.items()
            )
        )


_PERSON_NOTES = frozenset(map(str, PersonNote))


def _export_counts(call: InFlightApply, extents: Mapping[Partition, OffsetRange], recent: RecentOutcomes) -> None:
    """Add what an applied call has counted to the signals."""
    places = [f"{place.topic_id}:{place.partition}" for place in (extents[p].place for p in call.batch.folded)]
    for outcome in RecordOutcome:
        n = sum(call.delta.counts.get(f"{place}|{outcome}", 0) for place in places)
        if n:
            telemetry.WORKER_RECORDS.labels(str(outcome)).inc(n)
            recent.add(outcome, n)
    for reason, n in Counter(letter.reason for letter in call.batch.fold.dead_letters).items():
        telemetry.WORKER_DEAD_LETTERS.labels(str(reason)).inc(n)
    for name, n in call.delta.counts.items():
        note = name.rpartition("|")[2]
        if note in _PERSON_NOTES:
            telemetry.WORKER_PERSON_NOTES.labels(note).inc(n)
