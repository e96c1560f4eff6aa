"""The port of the durable log.   Stage 2 of 6: collect → [stream] → process.

Adapters: `stream/kafka/consumer.py` (Kafka) and `stream/memory.py` (simulations), and for dead letters
`stream/kafka/dead_letters.py` and the same memory log. One worker's loop drives the log from one thread, and sets
dead letters aside from that of its calls, where a rebuild asks for `extents` too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from msgspec import Struct

from rtaplatform.core.events import Reason
from rtaplatform.core.ledger import PartitionId

PORTION = 1_000  # records handed out at once: some 500 kB, which a processor's cache holds


class Partition(NamedTuple):
    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}:{self.number}"


class LogRecord(Struct, gc=False):
    """A record as read. `timestamp_ms` -1 where Kafka has none."""

    partition: Partition
    offset: int
    timestamp_ms: int
    key: bytes
    value: bytes | None
    leader_epoch: int
    was_collected: bool


class RecordColumns(Struct, frozen=True, gc=False):
    """Records of one partition, one after the other, as columns: on the way of an event nothing is made per record.

    `leader_epoch` is that of the last one; `collected` has the indices of those that the collector has added fields to,
    as far as anyone asks (it allows a larger value).
    """

    partition: Partition
    offsets: Sequence[int]
    timestamps_ms: list[int]
    keys: list[bytes]
    values: list[bytes | None]
    leader_epoch: int
    collected: frozenset[int] = frozenset()

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
        )

    def part(self, first: int, end: int) -> RecordColumns:
        """Those from the index `first` up to (not with) `end`; itself where that is all."""
        if first == 0 and end >= len(self.offsets):
            return self
        cut = slice(first, end)
        inside = frozenset(index - first for index in self.collected if first <= index < end)
        columns = (self.offsets[cut], self.timestamps_ms[cut], self.keys[cut], self.values[cut])
        return RecordColumns(self.partition, *columns, self.leader_epoch, inside)


def columns_of(records: Sequence[LogRecord]) -> RecordColumns:
    """The records of one partition as a run; there must be at least one."""
    return RecordColumns(
        records[0].partition,
        [record.offset for record in records],
        [record.timestamp_ms for record in records],
        [record.key for record in records],
        [record.value for record in records],
        records[-1].leader_epoch,
        frozenset(index for index, record in enumerate(records) if record.was_collected),
    )


class PollResult(Struct, frozen=True):
    """The next portion of a batch: at most one run a partition, none of them empty.

    `is_whole`: the batch ends with it. Until then more is at hand, and what has been read may be kept in mind only.
    `ends`: partitions that have been read to their end, and the offset there. It may lie beyond the last record, for
    what readers never see takes offsets too: transaction markers, aborted and compacted records.
    """

    runs: Sequence[RecordColumns] = ()
    ends: Mapping[Partition, int] = {}
    is_whole: bool = True


class OffsetRange(Struct, frozen=True):
    """What there is of a partition: offsets from `low` up to (not with) `high`, and which incarnation of the topic.

    `high` is the high watermark: whatever is acknowledged lies before it. An open transaction holds readers back at
    `stable`, the last stable offset; None where there is no difference.
    """

    place: PartitionId
    low: int
    high: int
    partitions: int  # of the topic
    stable: int | None = None

    @property
    def readable(self) -> int:
        """Up to where records can be read now."""
        return self.high if self.stable is None else min(self.stable, self.high)


class GroupPosition(Struct, frozen=True):
    """How far a group has come by its own word: its offsets, and the records that it could read and has not."""

    offsets: dict[PartitionId, int]
    behind: int


class DeadLetter(Struct, frozen=True):
    """A record that is quarantined. `project` is empty where it names none that we know."""

    record: LogRecord
    project: str
    reason: Reason
    detail: str

    @property
    def origin(self) -> str:
        return f"{self.record.partition}:{self.record.offset}"


class EventLog(Protocol):
    """What a worker reads. Errors: `Unavailable`."""

    def poll(self, at_most: int | None = None) -> PollResult:
        """What comes next: bounded in number, bytes and time. `at_most` so many records, where that is less."""
        ...

    def assignment(self) -> tuple[int, frozenset[Partition]]:
        """Which partitions are ours, and a number that changes with them, or when the log wants to be sought again."""
        ...

    def extents(self, partitions: Iterable[Partition]) -> dict[Partition, OffsetRange]:
        """Asked from the brokers. A partition of a topic that is gone is left out."""
        ...

    def seek(self, positions: Mapping[Partition, int]) -> None:
        """Read these from there on; of all others that are ours, nothing is read."""
        ...

    def rejoin(self) -> None:
        """Ask for partitions as one who has just come: whoever shares them out may have lost sight of us."""
        ...

    def commit(self, positions: Mapping[Partition, int]) -> None:
        """Tell others how far we are: a hint for lag tools, never read back. May be lost."""
        ...


class DeadLetters(Protocol):
    """Where records are quarantined."""

    def quarantine(self, dead_letters: Sequence[DeadLetter]) -> None:
        """Returns once the log holds them all. Raises `Unavailable`; writing one again overwrites it."""
        ...


class PartitionReader(Protocol):
    """Partitions read one by one, each from any offset: what a reader of all of them is made of.

    Errors: `Unavailable`. Beside the event topics it reads `rta.control`.
    """

    def partitions(self) -> list[Partition]:
        """All that there are now."""
        ...

    def extents(self, partitions: Iterable[Partition]) -> dict[Partition, OffsetRange]:
        """As of `EventLog`."""
        ...

    def seek(self, partition: Partition, offset: int) -> None: ...

    def read(self, partition: Partition, wait_seconds: float) -> PollResult:
        """Its next records: a bounded number, none where none come in that time."""
        ...
