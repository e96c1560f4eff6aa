"""Records that end a worker: found, counted, and quarantined in the end.   Stage 3 of 6: stream → [process] → store.

A record that meets a bug of ours ends its worker, and would end the next one, for ever. So such ends are counted, and
after `ENDS_MAX` of them at one offset the record becomes a dead letter with the reason `internal`.

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
from typing import NoReturn, Protocol

import msgspec
from msgspec import Struct

from rtaplatform import __version__, telemetry
from rtaplatform.core.errors import PlatformError
from rtaplatform.core.events import Reason
from rtaplatform.core.ledger import PartitionId
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.sharding import shard_of
from rtaplatform.process.decode.commerce import NOTHING
from rtaplatform.process.decode.lenient import project_of
from rtaplatform.process.fold.decode_run import DecodedRecord, EventRun
from rtaplatform.process.fold.dedup import NOWHERE, BlockCache, RepeatFilter
from rtaplatform.process.fold.job import DecodedRun as AnyChunk
from rtaplatform.process.fold.job import Job
from rtaplatform.process.fold.loose_ids import none_of
from rtaplatform.process.fold.person_state import PersonCache, PersonStates
from rtaplatform.process.worker.positions import Positions
from rtaplatform.stream.port import DeadLetter, Partition, RecordColumns

ENDS_MAX = 3
SUSPECTS_MAX = 100  # that are counted at once; what is behind them comes after them
# These tell of the machine, of a server or of an installation, whichever record they meet.
NOT_OF_A_RECORD = (PlatformError, MemoryError, OSError, ImportError, SyntaxError, SystemError)

log_line = telemetry.logger("worker")


class EndCounts(Protocol):
    """How often a record has ended a worker, by name: kept where the totals are, bounded in number."""

    def ends(self) -> dict[str, int]: ...
    def count_ends(self, names: Sequence[str]) -> None: ...
    def forget_ends(self, names: Sequence[str]) -> None: ...


class RecordRaised(Exception):
    """Reading or folding has raised an error that a record may be the reason of."""

    def __init__(self, error: Exception) -> None:
        super().__init__(repr(error))
        self.error = error


class Poisoned(Exception):
    """These records raise by themselves. That they ended a worker is counted."""


@contextmanager
def record_work() -> Iterator[None]:
    """Around what works on records alone, and asks nobody: only here can a record be the reason of an exception."""
    try:
        yield
    except NOT_OF_A_RECORD:
        raise
    except Exception as error:
        raise RecordRaised(error) from error


class RecordAlone(Struct, frozen=True):
    """One record, read and folded by itself: pure, nothing is remembered, nothing applied."""

    counting: Job
    projects: Mapping[str, ProjectSettings]
    shards: int
    server_s: int

    def find_error(self, run: RecordColumns, stream_time_ms: int) -> Exception | None:
        """What the only record of the run raises. What is not of a record is raised."""
        try:
            with record_work():
                self._process(run, stream_time_ms)
        except RecordRaised as raised:
            return raised.error
        return None

    def has_good_neighbour(self, run: RecordColumns, stream_time_ms: int) -> bool:
        """Whether a harmless record of the same partition and project would do better in its place."""
        named = _project_named(run.values[0])
        project = named if named in self.projects else next(iter(self.projects), "neighbour")
        event = {"projectId": project, "type": "page", "messageId": "neighbour", "anonymousId": "neighbour"}
        neighbour = RecordColumns(
            run.partition, run.offsets, [stream_time_ms], run.keys, [msgspec.json.encode(event)], -1
        )
        return self.find_error(neighbour, stream_time_ms) is None

    def _process(self, run: RecordColumns, stream_time_ms: int) -> None:
        counting = self.counting
        chunk = counting.understand(run, stream_time_ms, self.projects, self.shards)
        for items in filter(None, (chunk.of(shard, self.shards) for shard in range(self.shards))):
            blocks, people = BlockCache(0), PersonCache(0)
            blocks.load(counting.block_names(items), lambda names: [b""] * len(names))
            blocks.loose.load(counting.loose_ids(items), none_of)
            people.load(counting.persons(items), lambda keys: [b""] * len(keys))
            folding = counting.fold(self.projects, RepeatFilter(blocks), PersonStates(people), self.server_s)
            folding.add("", items)
            folding.delta()


class Quarantine:
    """What a worker knows of records that have ended workers of this version."""

    def __init__(self, ends: EndCounts, version: str = __version__) -> None:
        self._ends, self._version = ends, version
        self._counted: dict[str, int] = {}
        self._condemned: dict[Partition, set[int]] = {}
        self._kept: list[tuple[RecordColumns, int]] = []  # of the open batch, and the stream time before each
        self.is_watching = False  # after the first exception: then what is read is kept

    def begin(self, at: Positions) -> None:
        """Read which records have ended workers often enough."""
        self._kept = []
        self._counted = self._ends.ends()
        places = {extent.place: partition for partition, extent in at.extents.items()}
        self._condemned = {}
        for name, n in self._counted.items():
            version, place, offset = _read_name(name)
            if version == self._version and n >= ENDS_MAX and place in places:
                self._condemned.setdefault(places[place], set()).add(offset)
        self.forget_passed(at)

    def forget_passed(self, at: Positions) -> None:
        """Whom all shards have behind them, so that nobody reads it again."""
        if not self._counted:
            return
        first = {extent.place: at.first_read_again(partition) for partition, extent in at.extents.items()}
        passed = [name for name in self._counted if _is_before(name, first)]
        if passed:
            self._ends.forget_ends(passed)
            for name in passed:
                del self._counted[name]

    # a batch ---------------------------------------------------------------------------------------------------

    def keep(self, runs: Mapping[Partition, RecordColumns], at: Positions) -> None:
        if self.is_watching:
            self._kept += [(run, at.stream_time_ms(partition)) for partition, run in runs.items()]

    def let_go(self) -> None:
        self._kept.clear()

    def understand(self, run: RecordColumns, stream_time_ms: int, alone: RecordAlone) -> AnyChunk:
        """Read a run; of what is condemned, that which still raises is quarantined."""
        condemned = self._condemned.get(run.partition)
        found = [i for i, offset in enumerate(run.offsets) if offset in condemned] if condemned else []
        if not found:
            return alone.counting.understand(run, stream_time_ms, alone.projects, alone.shards)
        items: list[DecodedRecord] = []
        done = 0
        for index in (*found, len(run)):
            if index > done:
                items += self._read(run.part(done, index), stream_time_ms, alone)
                stream_time_ms = items[-1].stream_time_ms
            if index < len(run):
                items.append(self._judge(run.part(index, index + 1), stream_time_ms, alone))
                stream_time_ms = items[-1].stream_time_ms
            done = index + 1
        return EventRun(run, items)

    def _read(self, run: RecordColumns, stream_time_ms: int, alone: RecordAlone) -> list[DecodedRecord]:
        chunk = alone.counting.understand(run, stream_time_ms, alone.projects, alone.shards)
        assert isinstance(chunk, EventRun)
        return chunk.items

    def _judge(self, run: RecordColumns, stream_time_ms: int, alone: RecordAlone) -> DecodedRecord:
        """Quarantine it, if it still raises."""
        error = alone.find_error(run, stream_time_ms)
        if error is None or not alone.has_good_neighbour(run, stream_time_ms):
            return self._read(run, stream_time_ms, alone)[0]
        kind = type(error).__name__
        detail = f"Version {self._version} raises {kind} when it counts this record: a bug of ours."
        log_line.error("quarantined", record=f"{run.partition}:{run.offsets[0]}", reason="internal", raises=kind)
        return _dead_letter(run, max(stream_time_ms, run.timestamps_ms[0]), detail, alone)

    # an end ----------------------------------------------------------------------------------------------------

    def watch(self, raised: RecordRaised) -> bool:
        """From the first exception on. False where it is not the first."""
        if self.is_watching:
            return False
        log_line.warning("reading again", raised=str(raised))
        self.is_watching = True
        return True

    def end(self, raised: RecordRaised, alone: RecordAlone, at: Positions, is_well: Callable[[], bool]) -> NoReturn:
        """Count it for what raises by itself in the open batch, then raise: `Poisoned`, or the error itself.

        Where anything speaks against it, nothing is counted.
        """
        try:
            found = self._suspects(alone) if is_well() else []
            if found:
                places = {partition: at.extents[partition].place for partition, _ in found}
                self._ends.count_ends([self._name(places[partition], offset) for partition, offset in found])
        except Exception as error:  # noqa: BLE001  # whatever it is: it is not proved that a record ends the worker
            log_line.warning("an end is not counted", why=repr(error))
            raise raised.error from None
        if not found:
            raise raised.error
        raise Poisoned(", ".join(f"{partition}:{offset}" for partition, offset in found)) from raised.error

    def _suspects(self, alone: RecordAlone) -> list[tuple[Partition, int]]:
        """Those that raise by themselves, where a harmless record does not.

        None where they are many, and most of what was read: then this version is not fit for these events at all.
        """
        found: list[tuple[Partition, int]] = []
        n = 0
        for one, stream_time_ms in chain.from_iterable(
            _one_by_one(run, stream_time_ms) for run, stream_time_ms in self._kept
        ):
            n += 1
            is_known = one.offsets[0] in self._condemned.get(one.partition, ())  # it is not what has raised
            if is_known or alone.find_error(one, stream_time_ms) is None:
                continue
            if not alone.has_good_neighbour(one, stream_time_ms):
                return []
            found.append((one.partition, one.offsets[0]))
        return [] if len(found) > max(SUSPECTS_MAX, n // 2) else found[:SUSPECTS_MAX]

    def _name(self, place: PartitionId, offset: int) -> str:
        return f"{self._version}|{place.topic_id}:{place.partition}:{offset}"


class EndsOfOneProcess:
    """`EndCounts` that nobody else sees: for a rebuild, which tries again by itself."""

    def __init__(self) -> None:
        self._ends: dict[str, int] = {}

    def ends(self) -> dict[str, int]:
        return dict(self._ends)

    def count_ends(self, names: Sequence[str]) -> None:
        self._ends |= {name: self._ends.get(name, 0) + 1 for name in names}

    def forget_ends(self, names: Sequence[str]) -> None:
        for name in names:
            self._ends.pop(name, None)


def _one_by_one(run: RecordColumns, stream_time_ms: int) -> Iterable[tuple[RecordColumns, int]]:
    for index, at in enumerate(run.timestamps_ms):
        yield run.part(index, index + 1), stream_time_ms
        stream_time_ms = max(stream_time_ms, at)


def _dead_letter(run: RecordColumns, stream_time_ms: int, detail: str, alone: RecordAlone) -> DecodedRecord:
    """As of any record that is quarantined (decision 4): the shard of the project that it names counts it."""
    named = _project_named(run.values[0])
    dead_letter = DeadLetter(run.record(0), named if named in alone.projects else "", Reason.INTERNAL, detail)
    shard = shard_of(named, alone.shards) if named else 0
    return DecodedRecord(shard, stream_time_ms, None, NOTHING, dead_letter, NOWHERE)


def _project_named(value: bytes | None) -> str:
    """As far as it can be read: that may be what raises."""
    try:
        with record_work():
            return project_of(value)
    except RecordRaised:
        return ""


def _read_name(name: str) -> tuple[str, PartitionId, int]:
    version, _, origin = name.rpartition("|")
    topic_id, partition, offset = origin.rsplit(":", 2)
    return version, PartitionId(topic_id, int(partition)), int(offset)


def _is_before(name: str, first: Mapping[PartitionId, int]) -> bool:
    _version, place, offset = _read_name(name)
    return offset < first.get(place, 0)
