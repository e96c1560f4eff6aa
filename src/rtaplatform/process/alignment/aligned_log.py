"""The log as a worker reads it: no partition is read far ahead of another.   Stage 3 of 6: stream → [process] → store.

Persons take events that are read up to 24 hours late. So a worker that was down for days must not read one partition to
its end while another one waits at its beginning. This log hands out no record whose stream time is more than
`apart_ms_max` ahead of the slowest partition that has more to read, whoever reads that. What was read too early is held
here, and if it is much, the log is told to hold the partition back. Flink calls this watermark alignment
(nightlies.apache.org/flink, "Generating Watermarks").

Promise: each partition's records are handed out in order, each once. The partition that is furthest behind is never
held, so some worker always goes on. Limits: `wait_times.py` has for how long others wait for a partition that does not
advance. Each worker looks at the ledgers once a second, so it may wait that long for another one. What is handed out at
once may span more than `apart_ms_max`: a batch is folded person by person, each person's events in order of time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from math import inf

from msgspec import structs

from rtaplatform import telemetry
from rtaplatform.process.alignment.backlog import Backlog, Ledgers
from rtaplatform.process.alignment.held_records import HeldRecords, measure_bytes, take_in_order
from rtaplatform.process.alignment.wait_times import LaggingPartition, WaitTimes
from rtaplatform.process.worker.limits import WorkerLimits
from rtaplatform.process.worker.positions import Positions
from rtaplatform.stream.port import PORTION, EventLog, OffsetRange, Partition, PollResult, RecordColumns

RESUME_SHARE = 0.25  # of what a partition may hold, so that a partition is seldom held back


class OpenBatchSize:
    """How much of the open batch is handed out. The log bounds a batch by what it reads, not by what was held."""

    def __init__(self, limits: WorkerLimits) -> None:
        self._limits = limits
        self._records = self._bytes = 0

    def begin(self) -> None:
        self._records = self._bytes = 0

    def add(self, runs: Iterable[RecordColumns], *, is_whole: bool) -> bool:
        """Whether the batch ends with these records; then the next one has begun."""
        for run in runs:
            self._records += len(run)
            self._bytes += measure_bytes(run)
        is_full = self._records >= self._limits.batch_records_max or self._bytes >= self._limits.batch_bytes_max
        if is_whole or is_full:
            self.begin()
        return is_whole or is_full


class AlignedLog:
    """An `EventLog`, but that it is told `Positions` when it seeks. `clock` is in seconds."""

    def __init__(self, log: EventLog, ledgers: Ledgers, limits: WorkerLimits, clock: Callable[[], float]) -> None:
        self._log, self._limits = log, limits
        self._backlog, self._wait_times = Backlog(log, ledgers, clock), WaitTimes(clock)
        self._positions = Positions({}, {}, {}, {}, {})
        self._held_records: dict[Partition, HeldRecords] = {}
        self._full: frozenset[Partition] = frozenset()  # those that the log holds back
        self._is_blocked = False  # the last poll could hand out nothing of what is held
        self.is_idle = False  # the log had nothing when it was asked last
        self._batch_size = OpenBatchSize(limits)

    @property
    def held(self) -> Collection[Partition]:
        """The partitions of which records were read and not yet handed out."""
        return self._held_records.keys()

    def seek(self, positions: Positions) -> None:
        """Read on from there. What is held is dropped: it is read again."""
        self._held_records.clear()
        self._full, self._is_blocked = frozenset(), False
        self._batch_size.begin()
        telemetry.WORKER_HELD_PARTITIONS.set(0)
        self._log.seek(positions.starts)
        self._positions = positions
        if self._limits.apart_ms_max < inf:
            self._backlog.begin(positions)

    def poll(self, at_most: int | None = None) -> PollResult:
        """As in `EventLog`."""
        if self._limits.apart_ms_max < inf:
            self._backlog.look(is_blocked=self._is_blocked)
        count_max = min(PORTION, at_most or PORTION)
        if self._held_records:
            answer = self._give_out(count_max, {}, is_whole=False)
            if answer.runs:
                self._is_blocked = False
                return answer
        portion = self._log.poll(at_most)
        self.is_idle = not portion.runs
        newest_ms = {run.partition: max(run.timestamps_ms) for run in portion.runs}
        self._backlog.look_after_jump(max(newest_ms.values(), default=0), self._limits.apart_ms_max)
        if not self._held_records and self._is_together(newest_ms):
            is_whole = self._batch_size.add(portion.runs, is_whole=portion.is_whole)
            return portion if is_whole == portion.is_whole else structs.replace(portion, is_whole=is_whole)
        ends = self._hold(portion)
        answer = self._give_out(count_max, ends, is_whole=portion.is_whole)
        self._note_waiting(is_blocked=not answer.runs)
        return answer

    def read_assignment(self) -> tuple[int, frozenset[Partition]]:
        return self._log.read_assignment()

    def read_extents(self, partitions: Iterable[Partition]) -> dict[Partition, OffsetRange]:
        return self._log.read_extents(partitions)

    def rejoin(self) -> None:
        self._log.rejoin()

    def commit(self, positions: Mapping[Partition, int]) -> None:
        self._log.commit(positions)

    # inside ----------------------------------------------------------------------------------------------------

    def _is_together(self, newest_ms: Mapping[Partition, int]) -> bool:
        """Whether no record that was read is far ahead of another one, or of a partition that others wait for.

        So it mostly is. `newest_ms`: the greatest timestamp of each partition's records.
        """
        if not self._backlog.list_lagging():
            return True
        reached_ms = {
            partition: max(self._positions.find_stream_time_ms(partition), time_ms)
            for partition, time_ms in newest_ms.items()
            if partition in self._positions.extents  # else it is not ours any more
        }
        times_ms = {p: at.stream_time_ms for p, at in self._list_waited_for().items()} | reached_ms
        return max(reached_ms.values(), default=0) <= min(times_ms.values(), default=0) + self._limits.apart_ms_max

    def _hold(self, portion: PollResult) -> dict[Partition, int]:
        """Hold what was read. Return the ends of partitions of which nothing is held: other ends wait for records.

        Also where there is nothing to read before the first record that is held, such as a transaction's marker: other
        workers learn only by the ledger that it is passed.
        """
        passed_offsets = {}
        for run in portion.runs:
            if run.partition in self._held_records:
                self._held_records[run.partition].put(run)
            elif run.partition in self._positions.extents:  # else it is not ours any more
                self._held_records[run.partition] = HeldRecords(self._positions.find_stream_time_ms(run.partition))
                self._held_records[run.partition].put(run)
                passed_offsets[run.partition] = run.offsets[0]
        for partition in portion.ends.keys() & self._held_records.keys():
            self._held_records[partition].end = portion.ends[partition]
        return {p: end for p, end in portion.ends.items() if p not in self._held_records} | passed_offsets

    def _find_limit_ms(self) -> float:
        """The stream time up to which records may be handed out now, if they are in order."""
        reached_ms = [records.reach_ms for records in self._held_records.values()]
        lagging_ms = [at.stream_time_ms for at in self._list_waited_for().values()]
        return min([*reached_ms, *lagging_ms], default=inf) + self._limits.apart_ms_max

    def _list_waited_for(self) -> dict[Partition, LaggingPartition]:
        """The partitions of which something must arrive before what is far ahead is handed out."""
        lagging_partitions = {p: at for p, at in self._backlog.list_lagging().items() if p not in self._held_records}
        return self._wait_times.select_waited_for(lagging_partitions)

    def _give_out(self, at_most: int, ends: Mapping[Partition, int], *, is_whole: bool) -> PollResult:
        """Hand out what may be, with the ends of partitions of which nothing is held any more."""
        limit_ms, apart_ms_max = self._find_limit_ms(), self._limits.apart_ms_max
        runs = take_in_order(self._held_records.values(), limit_ms, apart_ms_max, at_most)
        drained = {p: records.end for p, records in self._held_records.items() if not records.count}
        for partition in drained:
            del self._held_records[partition]
        # What was read goes into one batch if it fits, also in several steps.
        earliest_ms = min((records.head_ms for records in self._held_records.values()), default=inf)
        is_whole = is_whole and not (self._held_records and earliest_ms <= self._find_limit_ms())
        is_whole = self._batch_size.add(runs, is_whole=is_whole)
        self._hold_back_full()
        telemetry.WORKER_HELD_PARTITIONS.set(len(self._held_records))
        return PollResult(
            runs, {**ends, **{p: end for p, end in drained.items() if end is not None}}, is_whole=is_whole
        )

    def _hold_back_full(self) -> None:
        """Have the log hold back partitions of which much is held, until most of that is handed out."""
        partition_count = len(self._positions.extents) or 1
        records_max, bytes_max = (
            self._limits.held_records_max / partition_count,
            self._limits.held_bytes_max / partition_count,
        )
        full = set()
        for partition, records in self._held_records.items():
            share = RESUME_SHARE if partition in self._full else 1.0
            if records.count > share * records_max or records.bytes > share * bytes_max:
                full.add(partition)
        if full != self._full:
            self._log.hold_back(full)
            self._full = frozenset(full)

    def _note_waiting(self, *, is_blocked: bool) -> None:
        """Note which partitions the others wait for."""
        self._is_blocked = is_blocked and bool(self._held_records)
        if self._held_records:
            earliest_ms = min(records.head_ms for records in self._held_records.values())
            blocking = {
                p: at
                for p, at in self._list_waited_for().items()
                if at.stream_time_ms + self._limits.apart_ms_max < earliest_ms
                # While the log delivers others of our partitions, this one may only be waiting for its turn.
                and (self.is_idle or p not in self._positions.extents)
            }
            self._wait_times.note(blocking)
