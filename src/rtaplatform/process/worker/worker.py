"""The worker's loop: resume from the ledger, fold, apply, compare.   Stage 3 of 6: stream → [process] → store.

`Worker.turn` is the whole loop. A batch arrives in portions, and each portion is folded as it arrives. Once the batch
is whole, the worker waits until the previous batch has been applied, and then starts this one's calls. While the store
works on them, the worker reads and folds the next batch as if they had already succeeded. After a conflict of
persons or orders it makes the delta again; after any other it reads the same records again, in smaller batches.

Promise: every record takes effect once in each shard. The position lives in the shard, beside the totals. One atomic
call moves both, and only from the position that the worker expects. So after a crash, a repeated call, a second worker
or a store that lost its last writes, a batch may be refused or read again, but it is never counted twice.
The store decides: on any doubt the worker drops everything it has cached and reads the ledger again.

The worker runs in one thread, with a second one for its calls of the store. At most one batch is open, and one in
flight.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from functools import partial

from rtaplatform import telemetry
from rtaplatform.core.errors import Stopped, Unavailable
from rtaplatform.process.alignment.aligned_log import AlignedLog
from rtaplatform.process.fold.job import ECOMMERCE_JOB, Job
from rtaplatform.process.worker.back_off import BackOff
from rtaplatform.process.worker.checks import Checks, CheckTimes
from rtaplatform.process.worker.in_flight import CallStarter, InFlight, start_calls_in_thread
from rtaplatform.process.worker.limits import BatchConflict, BatchSize, StateIsStale, WorkerLimits
from rtaplatform.process.worker.open_batch import BatchParts, OpenBatch
from rtaplatform.process.worker.poison import EndsOfOneProcess, Quarantine, RecordRaised
from rtaplatform.process.worker.positions import Positions
from rtaplatform.process.worker.project_lookup import ProjectLookup
from rtaplatform.process.worker.shard_caches import ShardCaches
from rtaplatform.process.worker.stop_notices import StopNotices
from rtaplatform.store.port import AggregateStore, Applied, Delta
from rtaplatform.stream.port import DeadLetters, EventLog, Partition, RecordColumns

log_line = telemetry.make_logger("worker")


class Worker:
    """One worker over its partitions and all shards, or `only` some. Call `turn` for ever; it raises only for bugs."""

    def __init__(
        self,
        log: EventLog,
        dead_letters: DeadLetters,
        store: AggregateStore,
        *,
        shards: int,
        only: Collection[int] | None = None,
        limits: WorkerLimits = WorkerLimits(),  # noqa: B008  (frozen)
        job: Job = ECOMMERCE_JOB,
        start_call: CallStarter | None = None,
        quarantine: Quarantine | None = None,
        batch_size: BatchSize | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = AlignedLog(log, store, limits, clock)
        self._shards = range(shards) if only is None else sorted(only)
        caches = [ShardCaches(limits, shards) for _ in range(shards)]
        quarantine = quarantine or Quarantine(EndsOfOneProcess())
        projects, batch_size = ProjectLookup(store, shards), batch_size or BatchSize()
        self._parts = BatchParts(store, job, limits, caches, batch_size, quarantine, projects)
        self._checks = Checks(log, store, self._shards, shards)
        self._check_times = CheckTimes(clock, limits.idle_compare_seconds)
        self._stops = StopNotices(store, self._shards)
        self._positions = Positions({}, {}, {}, {}, {})
        self._assignment_version: int | None = None  # that `_positions` were found for; None: find them again
        self._batch = OpenBatch(self._parts, self._positions, server_s=0)
        self._in_flight = InFlight(
            store, dead_letters, start_call or start_calls_in_thread(), stops=self._stops, gauges=self._checks.gauges
        )
        self._keeps_copies = False  # of blocks and persons, after a conflict
        self._is_after_conflict = False
        self._back_off = BackOff(sleep)

    @property
    def positions(self) -> Positions:
        return self._positions

    @property
    def is_settled(self) -> bool:
        """Whether everything that was read has been applied, and the assignment is still the one it was read for."""
        is_busy = self._batch.records or self._in_flight or self._log.held
        return not is_busy and not self._must_resume()

    def compare_soon(self) -> None:
        """Settle and compare after the next whole batch, however recent the last comparison is."""
        self._check_times.compare_soon()

    def turn(self) -> None:
        """Do one step: read a portion of a batch, compare while idle, or recover from trouble."""
        try:
            try:
                self._read_portion()
            except RecordRaised as error:
                self._read_again_or_end(error)
        except BatchConflict as conflict:
            # If a single record conflicts again, nothing that is cached here can be trusted.
            self._keeps_copies, self._is_after_conflict = conflict.records > 1, True
            self._batch.records_max = max(1, conflict.records // 2)
            self._assignment_version = None
        except StateIsStale as error:
            log_line.info("positions dropped", reason=str(error))
            self._assignment_version = None
        except (Unavailable, Stopped) as error:
            log_line.warning("waiting for server", reason=str(error))
            self._assignment_version = None
            self._back_off.wait()

    def _read_portion(self) -> None:
        """Read on; send the batch once it is whole."""
        if self._must_resume():
            self._resume_from_ledger()
        portion = self._log.poll(max(1, self._batch.records_max - self._batch.records))
        if self._must_resume():
            return
        self._batch.take(self._select_expected(portion.runs))
        self._positions.skip_to_ends(portion.ends)
        if portion.is_whole or self._batch.is_full:
            self._settle()
            self._batch.fold()
            # One atomic call a shard moves totals and position, and only from where we believe them to be.
            self._send()
            if self._check_times.is_comparison_due():
                self._settle()
                self._compare(is_idle=self._log.is_idle)
        if not self._in_flight:  # with a batch in flight, it is not known yet whether the servers are well
            self._back_off.reset()

    # recovery --------------------------------------------------------------------------------------------------

    def _must_resume(self) -> bool:
        """Whether the assignment has changed, or what is cached here is in doubt."""
        return self._assignment_version != self._log.read_assignment()[0]

    def _resume_from_ledger(self) -> None:
        """Read the ledgers, compare them with the log, and seek to the lowest position of any shard."""
        store = self._parts.store
        self._parts.projects.begin_batch()
        self._in_flight.abandon()
        for caches in self._parts.caches:
            if not self._is_after_conflict:  # the store may have lost its last writes
                caches.settled_replays.clear()
            if self._keeps_copies:
                caches.clear_uncompared()
            else:
                caches.clear()
        self._keeps_copies = self._is_after_conflict = False
        version, partitions = self._log.read_assignment()
        states = {shard: store.read_state(shard) for shard in self._shards}
        server_s = store.read_clock_s()
        self._positions = Positions.find(
            partitions, states, self._log.read_extents(partitions), len(self._parts.caches)
        )
        self._batch = OpenBatch(self._parts, self._positions, server_s, self._batch.records_max)
        self._parts.quarantine.load(self._positions)
        self._stops.publish(self._positions.stops, partitions)
        self._log.seek(self._positions)
        self._assignment_version = version
        self._check_times.begin()
        self._checks.gauges.keep_only(partitions)
        log_line.info(
            "partitions assigned",
            partitions=len(partitions),
            running=len(self._positions.starts),
            stops=self._positions.stops,
        )

    def _read_again_or_end(self, record_error: RecordRaised) -> None:
        """The first time, read the batch again and keep its records. The second time, let the error end the worker.

        If the batch before has not ended well, that comes first: its records are read again, and this one after them.
        """
        quarantine = self._parts.quarantine
        if quarantine.start_watching(record_error):
            self._assignment_version = None
        else:
            self._settle()
            is_well = partial(self._in_flight.is_well, self._positions)
            quarantine.count_and_raise(record_error, self._batch.make_isolated_fold(), self._positions, is_well)

    # a batch ---------------------------------------------------------------------------------------------------

    def _select_expected(self, runs: Iterable[RecordColumns]) -> dict[Partition, RecordColumns]:
        return {run.partition: run for run in runs if self._is_expected(run)}

    def _is_expected(self, run: RecordColumns) -> bool:
        """Whether the run's partition may advance, and its records match the fingerprints in the ledgers."""
        partition = run.partition
        if partition not in self._positions.extents or str(partition) in self._positions.stops:
            return False
        mismatch = self._positions.find_mismatch(run)
        if mismatch is not None:
            reason = f"another log: the record at {mismatch} is not the one that was counted; run `rta rebuild`"
            self._stops.add(self._positions.stops, str(partition), reason)
        return mismatch is None

    def _settle(self) -> None:
        """Wait for the batch in flight. If it did not end well, everything that was built on it is dropped."""
        if self._in_flight.wait():
            self._back_off.reset()

    def _send(self) -> None:
        if self._batch.records:
            self._batch.refuse_if_projects_were_made()
            self._in_flight.send(self._batch)
            self._batch = self._batch.begin_next()

    # while idle ------------------------------------------------------------------------------------------------

    def _compare(self, *, is_idle: bool) -> None:
        """Compare generation and position with an empty delta, and let the ledgers of quiet shards catch up."""
        self._check_times.note_comparison()
        for shard, state in self._positions.shards.items():
            moves = self._positions.list_all_moves(shard)
            outcome = self._parts.store.apply(shard, state.generation, Delta(moves))
            if not isinstance(outcome, Applied):
                raise StateIsStale(f"a comparison found {type(outcome).__name__}")
            self._positions.accept(shard, moves)
        self._parts.quarantine.forget_passed(self._positions)
        self._log.commit(self._positions.list_offsets_to_commit())
        if self._check_times.is_look_due():
            self._look(is_idle=is_idle)

    def _look(self, *, is_idle: bool) -> None:
        """Notice topics that changed, and stopped partitions or shards that may go on."""
        now = self._check_times.note_look()
        if self._log.read_assignment()[1]:
            reason = self._checks.look(
                self._positions,
                now,
                started_at=self._check_times.started_at,
                is_idle=is_idle,
                held_partitions=self._log.held,
            )
            if reason:
                raise StateIsStale(reason)
        elif self._checks.must_rejoin(now):
            log_line.warning("rejoining group", reason="no worker advances these partitions, and this one has none")
            self._log.rejoin()
