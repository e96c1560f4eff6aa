"""The log in memory, with the same promises as Kafka's adapter, for simulations and unit tests.   Stage 2 of 6.

`MemoryBroker` is the cluster, `MemoryLog` one worker's view of it. Topics can be re-created, truncated and trimmed, and
partitions can be added. Several workers may believe that they own the same partition, as zombies do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from rtaplatform.core.errors import Unavailable
from rtaplatform.core.ledger import PartitionId
from rtaplatform.stream.port import (
    DeadLetter,
    LogRecord,
    OffsetRange,
    Partition,
    PollResult,
    RecordColumns,
    TimedOffset,
    make_columns,
)


class MemoryBroker:
    """Topics, their incarnations and their records."""

    def __init__(self, topics: Mapping[str, int]) -> None:
        self.ids = {topic: f"{topic}-1" for topic in topics}
        self.partitions = dict(topics)
        self.records: dict[Partition, list[LogRecord]] = {}
        self.low: dict[Partition, int] = {}
        self.epochs: dict[Partition, int] = {}  # of the leader; it changes when records are lost
        self.dead_letters: dict[str, DeadLetter] = {}
        self.is_away = False

    def append(self, partition: Partition, timestamp_ms: int, key: bytes, value: bytes | None) -> LogRecord:
        records = self.records.setdefault(partition, [])
        record = LogRecord(partition, len(records), timestamp_ms, key, value, self.epochs.get(partition, 0), False)
        records.append(record)
        return record

    def recreate(self, topic: str) -> None:
        self.ids[topic] += "x"
        for number in range(self.partitions[topic]):
            self.records.pop(Partition(topic, number), None)
            self.low.pop(Partition(topic, number), None)

    def truncate(self, partition: Partition, records: int) -> None:
        """Lose the newest records, as an unclean election does."""
        log = self.records.get(partition, [])
        del log[max(0, len(log) - records) :]
        self.epochs[partition] = self.epochs.get(partition, 0) + 1

    def expire(self, partition: Partition, low: int) -> None:
        """Delete the records before this offset, as retention does."""
        self.low[partition] = max(low, self.low.get(partition, 0))

    def read_incarnation(self, partition: Partition) -> tuple[str, int]:
        """Changes when the same offsets may have other records."""
        return self.ids[partition.topic], self.epochs.get(partition, 0)

    def list_partitions(self) -> list[Partition]:
        return [Partition(topic, n) for topic, count in self.partitions.items() for n in range(count)]


class MemoryLog:
    """`EventLog` and `DeadLetters` of one worker."""

    def __init__(self, broker: MemoryBroker, batch_max: int = 100, portion_max: int | None = None) -> None:
        self._broker = broker
        self._batch_max, self._portion_max = batch_max, portion_max or batch_max
        self._records_taken = 0  # of the open batch
        self._version = 0
        self._own_partitions: frozenset[Partition] = frozenset()
        self._next: dict[Partition, int] = {}
        self._held_back: frozenset[Partition] = frozenset()
        self._incarnations: dict[Partition, tuple[str, int]] = {}  # the incarnation at the time of the seek
        self.committed: dict[Partition, int] = {}
        self.rejoined = 0

    def assign(self, partitions: Iterable[Partition]) -> None:
        self._own_partitions = frozenset(partitions)
        self._next.clear()
        self._version += 1

    def poll(self, at_most: int | None = None) -> PollResult:
        self.require()
        if any(self._is_out(partition, offset) for partition, offset in self._next.items()):
            self._version += 1  # the sought records are gone: positions must be found again
            self._next.clear()
            return PollResult()
        runs: list[RecordColumns] = []
        count_max = room = min(self._portion_max, self._batch_max - self._records_taken, at_most or self._batch_max)
        for partition, offset in self._next.items():
            if partition in self._held_back:
                continue
            records = self._broker.records.get(partition, [])[offset : offset + room]
            self._next[partition] = offset + len(records)
            room -= len(records)
            if records:
                runs.append(make_columns(records))
        self._records_taken += count_max - room
        is_whole = room > 0 or self._records_taken >= self._batch_max
        self._records_taken = 0 if is_whole else self._records_taken
        return PollResult(runs, is_whole=is_whole)

    def read_assignment(self) -> tuple[int, frozenset[Partition]]:
        return self._version, self._own_partitions

    def read_extents(self, partitions: Iterable[Partition]) -> dict[Partition, OffsetRange]:
        self.require()
        ids, counts = self._broker.ids, self._broker.partitions
        return {
            p: OffsetRange(
                PartitionId(ids[p.topic], p.number),
                self._broker.low.get(p, 0),
                len(self._broker.records.get(p, [])),
                counts[p.topic],
            )
            for p in partitions
            if p.number < counts.get(p.topic, 0)
        }

    def seek(self, positions: Mapping[Partition, int]) -> None:
        self._next, self._records_taken, self._held_back = dict(positions), 0, frozenset()
        self._incarnations = {partition: self._broker.read_incarnation(partition) for partition in positions}

    def hold_back(self, partitions: Collection[Partition]) -> None:
        self._held_back = frozenset(partitions)

    def read_next_times(self, after_ms: Mapping[Partition, int]) -> dict[Partition, TimedOffset]:
        self.require()
        records = {p: self._find_next_time(p, time_ms) for p, time_ms in after_ms.items()}
        return {p: record for p, record in records.items() if record is not None}

    def rejoin(self) -> None:
        self.rejoined += 1

    def commit(self, positions: Mapping[Partition, int]) -> None:
        self.committed |= positions

    def quarantine(self, dead_letters: Sequence[DeadLetter]) -> None:
        self.require()
        self._broker.dead_letters |= {dead_letter.origin: dead_letter for dead_letter in dead_letters}

    def _find_next_time(self, partition: Partition, after_ms: int) -> TimedOffset | None:
        records = self._broker.records.get(partition, [])[self._broker.low.get(partition, 0) :]
        later = (TimedOffset(r.offset, r.timestamp_ms) for r in records if r.timestamp_ms > after_ms)
        return next(later, None)

    def _is_out(self, partition: Partition, offset: int) -> bool:
        is_in_range = self._broker.low.get(partition, 0) <= offset <= len(self._broker.records.get(partition, []))
        return not is_in_range or self._incarnations[partition] != self._broker.read_incarnation(partition)

    def require(self) -> None:
        if self._broker.is_away:
            raise Unavailable("kafka", "it is away")


class MemoryPartitions:
    """`PartitionReader` over the cluster in memory."""

    def __init__(self, broker: MemoryBroker, read_max: int = 100) -> None:
        self._broker, self._read_max = broker, read_max
        self._log = MemoryLog(broker)
        self._next: dict[Partition, int] = {}

    def list_partitions(self) -> list[Partition]:
        self._log.require()
        return self._broker.list_partitions()

    def read_extents(self, partitions: Iterable[Partition]) -> dict[Partition, OffsetRange]:
        return self._log.read_extents(partitions)

    def seek(self, partition: Partition, offset: int) -> None:
        self._next[partition] = offset

    def read(self, partition: Partition, wait_seconds: float) -> PollResult:
        self._log.require()
        offset = self._next[partition]
        records = self._broker.records.get(partition, [])[offset : offset + self._read_max]
        self._next[partition] = offset + len(records)
        return PollResult([make_columns(records)] if records else [])
