"""Poison records, which end a worker: find, count and finally quarantine them.   Stage 3 of 6.

A record that meets a bug of ours ends its worker, and every worker after it. So these ends are counted, and after
`ENDS_MAX` of them at one offset the record becomes a dead letter with the reason `internal`.

Promise: no good record is quarantined. An end is counted only if the record raises when it is read and folded alone,
without any server; if the store accepts an empty batch meanwhile; and if a harmless record in its place does not
raise. The record is tried once more before it is quarantined. Failures of servers, the machine or the installation
never count.
Pure but for `EndCounts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import NoReturn

import msgspec
from msgspec import Struct

from rtaplatform import __version__, telemetry
from rtaplatform.core.errors import NOT_OF_A_RECORD
from rtaplatform.core.events import Reason
from rtaplatform.core.ledger import PartitionId
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.sharding import find_shard
from rtaplatform.process.decode.commerce import NOTHING
from rtaplatform.process.decode.lenient import read_project
from rtaplatform.process.fold.decode_run import DecodedRecord, EventRun
from rtaplatform.process.fold.dedup import NO_LOOKUP, BlockCache, RepeatFilter
from rtaplatform.process.fold.job import DecodedRun, Job
from rtaplatform.process.fold.loose_ids import fetch_no_loose_ids
from rtaplatform.process.fold.person_state import PersonCache, PersonStates
from rtaplatform.process.worker.positions import Positions
from rtaplatform.store.port import EndCounts
from rtaplatform.stream.port import DeadLetter, Partition, RecordColumns

ENDS_MAX = 3
SUSPECTS_MAX = 100  # that are counted at once; the suspects behind them are counted at later ends

log_line = telemetry.make_logger("worker")


class RecordRaised(Exception):
    """Reading or folding has raised an error, and a record may be the reason."""

    def __init__(self, error: Exception) -> None:
        super().__init__(repr(error))
        self.error = error


class Poisoned(Exception):
    """These records raise when each is folded alone. This end has been counted for them."""


@contextmanager
def record_work() -> Iterator[None]:
    """Mark code that works on records only, and calls no server: only here can a record cause an exception."""
    try:
        yield
    except NOT_OF_A_RECORD:
        raise
    except Exception as error:
        raise RecordRaised(error) from error


class IsolatedFold(Struct, frozen=True):
    """Reads and folds a single record alone, to see whether it raises. Pure: nothing is kept, nothing applied."""

    job: Job
    projects: Mapping[str, ProjectSettings]
    shards: int
    server_s: int

    def find_error(self, run: RecordColumns, stream_time_ms: int) -> Exception | None:
        """Return what the run's only record raises, if anything. Raises errors that no record can cause."""
        try:
            with record_work():
                self._fold(run, stream_time_ms)
        except RecordRaised as record_error:
            return record_error.error
        return None

    def accepts_harmless_record(self, run: RecordColumns, stream_time_ms: int) -> bool:
        """Whether a harmless record of the same partition and project does not raise in its place."""
        slug = _find_project(run.values[0])
        project = slug if slug in self.projects else next(iter(self.projects), "harmless")
        event = {"projectId": project, "type": "page", "messageId": "harmless", "anonymousId": "harmless"}
        harmless = RecordColumns(
            run.partition, run.offsets, [stream_time_ms], run.keys, [msgspec.json.encode(event)], -1
        )
        return self.find_error(harmless, stream_time_ms) is None

    def _fold(self, run: RecordColumns, stream_time_ms: int) -> None:
        job = self.job
        decoded_run = job.decode(run, stream_time_ms, self.projects, self.shards)
        for items in filter(None, (decoded_run.select_items(shard, self.shards) for shard in range(self.shards))):
            blocks, persons = BlockCache(0), PersonCache(0)
            blocks.load(job.list_block_names(items), lambda names: [b""] * len(names))
            blocks.loose.load(job.list_loose_ids(items), fetch_no_loose_ids)
            persons.load(job.list_persons(items), lambda keys: [b""] * len(keys))
            fold = job.fold(self.projects, RepeatFilter(blocks), PersonStates(persons), self.server_s)
            fold.add("", items)
            fold.make_delta()


class Quarantine:
    """The records that have ended workers of this version, and what becomes of them."""

    def __init__(self, ends: EndCounts, version: str = __version__) -> None:
        self._ends, self._version = ends, version
        self._counts: dict[str, int] = {}  # of ends, by the record's name
        self._poison_offsets: dict[Partition, set[int]] = {}
        self._batch_runs: list[tuple[RecordColumns, int]] = []  # each with the stream time before it
        self.is_watching = False  # after the first exception: then the runs of the open batch are kept

    def load(self, positions: Positions) -> None:
        """Read which records have ended workers, and condemn those that did so `ENDS_MAX` times."""
        self._batch_runs = []
        self._counts = self._ends.read_ends()
        places = {extent.place: partition for partition, extent in positions.extents.items()}
        self._poison_offsets = {}
        for name, n in self._counts.items():
            version, place, offset = _read_name(name)
            if version == self._version and n >= ENDS_MAX and place in places:
                self._poison_offsets.setdefault(places[place], set()).add(offset)
        self.forget_passed(positions)

    def forget_passed(self, positions: Positions) -> None:
        """Forget the records that all shards have counted, so that no worker reads them again."""
        if not self._counts:
            return
        first_offsets = {e.place: positions.find_first_offset_read_again(p) for p, e in positions.extents.items()}
        names = [name for name in self._counts if _is_before(name, first_offsets)]
        if names:
            self._ends.forget_ends(names)
            for name in names:
                del self._counts[name]

    # a batch ---------------------------------------------------------------------------------------------------

    def keep(self, runs: Mapping[Partition, RecordColumns], positions: Positions) -> None:
        """Keep the runs until the batch is sent, once an exception has been raised."""
        if self.is_watching:
            self._batch_runs += [(run, positions.find_stream_time_ms(partition)) for partition, run in runs.items()]

    def release(self) -> None:
        self._batch_runs.clear()

    def decode(self, run: RecordColumns, stream_time_ms: int, trial: IsolatedFold) -> DecodedRun:
        """Decode a run. Condemned records that still raise become dead letters."""
        offsets = self._poison_offsets.get(run.partition)
        indexes = [i for i, offset in enumerate(run.offsets) if offset in offsets] if offsets else []
        if not indexes:
            return trial.job.decode(run, stream_time_ms, trial.projects, trial.shards)
        items: list[DecodedRecord] = []
        start = 0
        for index in (*indexes, len(run)):
            if index > start:
                items += self._decode_part(run.cut(start, index), stream_time_ms, trial)
                stream_time_ms = items[-1].stream_time_ms
            if index < len(run):
                items.append(self._decode_condemned(run.cut(index, index + 1), stream_time_ms, trial))
                stream_time_ms = items[-1].stream_time_ms
            start = index + 1
        return EventRun(run, items)

    def _decode_part(self, run: RecordColumns, stream_time_ms: int, trial: IsolatedFold) -> list[DecodedRecord]:
        decoded_run = trial.job.decode(run, stream_time_ms, trial.projects, trial.shards)
        assert isinstance(decoded_run, EventRun)
        return decoded_run.items

    def _decode_condemned(self, run: RecordColumns, stream_time_ms: int, trial: IsolatedFold) -> DecodedRecord:
        """Make a dead letter of the record if it still raises; else decode it."""
        error = trial.find_error(run, stream_time_ms)
        if error is None or not trial.accepts_harmless_record(run, stream_time_ms):
            return self._decode_part(run, stream_time_ms, trial)[0]
        kind = type(error).__name__
        detail = f"Version {self._version} raises {kind} when it counts this record: a bug of ours."
        log_line.error("record quarantined", record=f"{run.partition}:{run.offsets[0]}", reason="internal", raises=kind)
        return _make_dead_letter(run, max(stream_time_ms, run.timestamps_ms[0]), detail, trial)

    # an end ----------------------------------------------------------------------------------------------------

    def start_watching(self, record_error: RecordRaised) -> bool:
        """Keep the runs of open batches from the first exception on. Return False if this is not the first."""
        if self.is_watching:
            return False
        log_line.warning("reading batch again", error=str(record_error))
        self.is_watching = True
        return True

    def count_and_raise(
        self, record_error: RecordRaised, trial: IsolatedFold, positions: Positions, is_well: Callable[[], bool]
    ) -> NoReturn:
        """Count this end for the records of the open batch that raise alone, then raise `Poisoned` or the error.

        Nothing is counted if anything suggests another reason.
        """
        try:
            suspects = self._find_suspects(trial) if is_well() else []
            if suspects:
                places = {partition: positions.extents[partition].place for partition, _ in suspects}
                self._ends.count_ends([self._name(places[partition], offset) for partition, offset in suspects])
        except Exception as error:  # noqa: BLE001  # whatever it is, it is not proved that a record ends the worker
            log_line.warning("worker end not counted", reason=repr(error))
            raise record_error.error from None
        if not suspects:
            raise record_error.error
        raise Poisoned(", ".join(f"{partition}:{offset}" for partition, offset in suspects)) from record_error.error

    def _find_suspects(self, trial: IsolatedFold) -> list[tuple[Partition, int]]:
        """The records that raise alone, where a harmless record does not.

        Empty if they are many, and most of what was read: then this version cannot count these events at all.
        """
        suspects: list[tuple[Partition, int]] = []
        records = list(chain.from_iterable(_split(run, stream_time_ms) for run, stream_time_ms in self._batch_runs))
        for record, stream_time_ms in records:
            is_condemned = record.offsets[0] in self._poison_offsets.get(record.partition, ())  # it has not raised here
            if is_condemned or trial.find_error(record, stream_time_ms) is None:
                continue
            if not trial.accepts_harmless_record(record, stream_time_ms):
                return []
            suspects.append((record.partition, record.offsets[0]))
        return [] if len(suspects) > max(SUSPECTS_MAX, len(records) // 2) else suspects[:SUSPECTS_MAX]

    def _name(self, place: PartitionId, offset: int) -> str:
        return f"{self._version}|{place.topic_id}:{place.partition}:{offset}"


class EndsOfOneProcess:
    """`EndCounts` of this process only: for a rebuild, which retries by itself."""

    def __init__(self) -> None:
        self._ends: dict[str, int] = {}

    def read_ends(self) -> dict[str, int]:
        return dict(self._ends)

    def count_ends(self, names: Sequence[str]) -> None:
        self._ends |= {name: self._ends.get(name, 0) + 1 for name in names}

    def forget_ends(self, names: Sequence[str]) -> None:
        for name in names:
            self._ends.pop(name, None)


def _split(run: RecordColumns, stream_time_ms: int) -> Iterable[tuple[RecordColumns, int]]:
    """The records of a run, each as a run of its own with the stream time before it."""
    for index, timestamp_ms in enumerate(run.timestamps_ms):
        yield run.cut(index, index + 1), stream_time_ms
        stream_time_ms = max(stream_time_ms, timestamp_ms)


def _make_dead_letter(run: RecordColumns, stream_time_ms: int, detail: str, trial: IsolatedFold) -> DecodedRecord:
    """As for any dead letter (decision 4), the shard of the project that the record names counts it."""
    project = _find_project(run.values[0])
    dead_letter = DeadLetter(run.record(0), project if project in trial.projects else "", Reason.INTERNAL, detail)
    shard = find_shard(project, trial.shards) if project else 0
    return DecodedRecord(shard, stream_time_ms, None, NOTHING, dead_letter, NO_LOOKUP)


def _find_project(value: bytes | None) -> str:
    """The project that the record names, or "": finding it may be what raises."""
    try:
        with record_work():
            return read_project(value)
    except RecordRaised:
        return ""


def _read_name(name: str) -> tuple[str, PartitionId, int]:
    version, _, origin = name.rpartition("|")
    topic_id, partition, offset = origin.rsplit(":", 2)
    return version, PartitionId(topic_id, int(partition)), int(offset)


def _is_before(name: str, first_offsets: Mapping[PartitionId, int]) -> bool:
    _version, place, offset = _read_name(name)
    return offset < first_offsets.get(place, 0)
