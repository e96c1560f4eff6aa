"""The port of the durable log.   Stage 2 of 6: collect → [stream] → process.

Adapters: `stream/kafka/consumer.py` (Kafka) and `stream/memory.py` (simulations), and for dead letters
`stream/kafka/dead_letters.py` and the same memory log. A worker's loop uses the log from one thread. It writes dead
letters from the thread of its store calls, where a rebuild also calls `read_extents`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from msgspec import Struct

from rtaplatform.core.events import EVENT_TOPICS, Reason
from rtaplatform.core.ledger import PartitionId

PORTION = 1_000  # records handed out at once: some 500 kB, which fit into a processor's cache


class Partition(NamedTuple):
    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}:{self.number}"


class LogRecord(Struct, gc=False):
    """A record as read. `timestamp_ms` is -1 if Kafka has none."""

    partition: Partition
    offset: int
    timestamp_ms: int
    key: bytes
    value: bytes | None
    leader_epoch: int
    was_collected: bool
    replay_of: str = ""  # the origin of the dead letter of which this is a replay


class RecordColumns(Struct, frozen=True, gc=False):
    """A run: consecutive records of one partition, as columns, so that no object is made for each record.

    `leader_epoch` is that of the last record. `collected` has the indices of large records to which the collector has
    added fields (which allows a larger value). `replays`: index → the origin of the dead letter that is replayed.
    """

    partition: Partition
    offsets: Sequence[int]
    timestamps_ms: list[int]
    keys: list[bytes]
    values: list[bytes | None]
    leader_epoch: int
    collected: frozenset[int] = frozenset()
    replays: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self.offsets)

    def record(self, index: int) -> LogRecord:
        return LogRecord(
            self.partition,
            self.offsets[index],
            self.timestamps_ms[index],
            self.keys[index],
            self.values[index],
            self.leader_epoch,
            (index % len(self.offsets)) in self.collected,
            self.replays.get(index % len(self.offsets), "") if self.replays else "",
        )

    def cut(self, first: int, end: int) -> RecordColumns:
        """The records from index `first` up to, but without, `end`; the run itself if that is all of it."""
        if first == 0 and end >= len(self.offsets):
            return self
        cut = slice(first, end)
        inside = frozenset(index - first for index in self.collected if first <= index < end)
        columns = (self.offsets[cut], self.timestamps_ms[cut], self.keys[cut], self.values[cut])
        replays = {index - first: origin for index, origin in self.replays.items() if first <= index < end}
        return RecordColumns(self.partition, *columns, self.leader_epoch, inside, replays)


def make_columns(records: Sequence[LogRecord]) -> RecordColumns:
    """Make a run of records of one partition; there must be at least one."""
    return RecordColumns(
        records[0].partition,
        [record.offset for record in records],
        [record.timestamp_ms for record in records],
        [record.key for record in records],
        [record.value for record in records],
        records[-1].leader_epoch,
        frozenset(index for index, record in enumerate(records) if record.was_collected),
        {index: record.replay_of for index, record in enumerate(records) if record.replay_of},
    )


class PollResult(Struct, frozen=True):
    """The next portion of a batch: at most one run for each partition, none of them empty.

    `is_whole`: the batch ends with this portion. A worker may end it sooner; the log goes on counting its own.
    `ends`: the partitions that have been read to their end, and the offset there. It may be beyond the last record,
    because transaction markers, aborted and compacted records take offsets too.
    """

    runs: Sequence[RecordColumns] = ()
    ends: Mapping[Partition, int] = {}
    is_whole: bool = True


class OffsetRange(Struct, frozen=True):
    """The offsets of a partition from `low` up to, but without, `high`, and its id.

    `high` is the high watermark: all acknowledged records are before it. An open transaction holds readers back at
    `stable`, the last stable offset; None if it is the same.
    """

    place: PartitionId
    low: int
    high: int
    partitions: int  # of the topic
    stable: int | None = None

    @property
    def readable(self) -> int:
        """The offset up to which records can be read now."""
        return self.high if self.stable is None else min(self.stable, self.high)


class TimedOffset(NamedTuple):
    """The place of a record in its partition, and its timestamp."""

    offset: int
    timestamp_ms: int


class GroupPosition(Struct, frozen=True):
    """The committed offsets of a group, and how many readable records it has still to read."""

    offsets: dict[PartitionId, int]
    behind: int


class DeadLetter(Struct, frozen=True):
    """A record that is quarantined. `project` is empty if it names no known project."""

    record: LogRecord
    project: str
    reason: Reason
    detail: str

    @property
    def origin(self) -> str:
        """Where the record was first: a replay that is dead again replaces the letter that it replays."""
        return self.record.replay_of or f"{self.record.partition}:{self.record.offset}"


_ORIGIN = re.compile(rb"([a-z.]{1,100}):([0-9]{1,6}):([0-9]{1,19})")


def is_origin(text: bytes) -> bool:
    """Whether the text is the place of a record in one of the event topics."""
    form = _ORIGIN.fullmatch(text)
    return form is not None and form[1].decode() in EVENT_TOPICS


class EventLog(Protocol):
    """The log as a worker reads it. Errors: `Unavailable`."""

    def poll(self, at_most: int | None = None) -> PollResult:
        """The next records, bounded in number, bytes and time; and by `at_most` records, if that is fewer."""
        ...

    def read_assignment(self) -> tuple[int, frozenset[Partition]]:
        """Our partitions, and a number that changes with them, or when positions must be sought again."""
        ...

    def read_extents(self, partitions: Iterable[Partition]) -> dict[Partition, OffsetRange]:
        """Ask the brokers. Partitions of topics that do not exist are left out."""
        ...

    def seek(self, positions: Mapping[Partition, int]) -> None:
        """Read these partitions from these offsets on. Our other partitions are not read."""
        ...

    def hold_back(self, partitions: Collection[Partition]) -> None:
        """Read no further in these of our partitions, until the next call or `seek`. All others are read on."""
        ...

    def read_next_times(self, after_ms: Mapping[Partition, int]) -> dict[Partition, TimedOffset]:
        """Ask the brokers for the first record in each partition whose timestamp is later than this, where one is."""
        ...

    def rejoin(self) -> None:
        """Join the group again: its coordinator may have lost this member."""
        ...

    def commit(self, positions: Mapping[Partition, int]) -> None:
        """Publish positions for lag tools. They are never read back, and may be lost."""
        ...


class DeadLetters(Protocol):
    """Where records are quarantined."""

    def quarantine(self, dead_letters: Sequence[DeadLetter]) -> None:
        """Write dead letters; return once the log has all. Raises `Unavailable`. Writing one again overwrites it."""
        ...


class PartitionReader(Protocol):
    """Reads partitions one by one, each from any offset, so that a caller can merge them.

    It reads the event topics and `rta.control`. Errors: `Unavailable`.
    """

    def list_partitions(self) -> list[Partition]:
        """All partitions that exist now."""
        ...

    def read_extents(self, partitions: Iterable[Partition]) -> dict[Partition, OffsetRange]:
        """As in `EventLog`."""
        ...

    def seek(self, partition: Partition, offset: int) -> None: ...

    def read(self, partition: Partition, wait_seconds: float) -> PollResult:
        """The next records of the partition: a bounded number; none if none arrive in this time."""
        ...


class TailRecord(Struct, frozen=True, gc=False):
    """A record with its headers, as one who only looks on reads it. `timestamp_ms` is -1 if Kafka has none."""

    partition: Partition
    offset: int
    timestamp_ms: int
    key: bytes
    value: bytes
    headers: dict[str, bytes] = {}

    @property
    def id(self) -> str:
        return f"{self.partition}:{self.offset}"


class TailPortion(Struct, frozen=True):
    """The next records of a tail. `skipped`: how many were passed over, because the reader fell behind."""

    records: Sequence[TailRecord]
    skipped: int = 0
    is_at_end: bool = False  # every partition has been read to its end since the tail was opened


class RecordTail(Protocol):
    """Reads the newest records of some topics, from one thread. Errors: `Unavailable`."""

    def open(self, last: int) -> None:
        """Begin this many records before the end of each partition. A reader that falls further behind skips ahead."""
        ...

    def poll(self, seconds: float) -> TailPortion:
        """The next records; none if none arrive in this time."""
        ...

    def close(self) -> None: ...


class Replay(Struct, frozen=True):
    """A dead letter to be written again: where it was first, and what the record was."""

    partition: Partition
    origin: str
    timestamp_ms: int
    key: bytes
    value: bytes
    headers: dict[str, bytes] = {}


class ReplayLog(Protocol):
    """Where replays are written."""

    def append(self, replays: Sequence[Replay]) -> None:
        """Write replays; return once the log has all. Raises `Unavailable`: then some may be written."""
        ...
