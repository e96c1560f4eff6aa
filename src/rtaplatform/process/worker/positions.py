"""Where a worker stands: in each partition, and in each shard's ledger.   Stage 3 of 6.

Pure. An offset alone does not identify a record, so a ledger row also has the topic's id, and the hash
of the last record that was counted; a worker begins at that record, and compares it as it passes by.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

import xxhash
from msgspec import structs

from rtaplatform.core.errors import Stopped
from rtaplatform.core.ledger import DEDUP_PARTITIONS, LedgerRow, next_offset, read_row
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.process.fold.dedup import WINDOW_MS
from rtaplatform.store.port import NO_TOTALS, SCHEMA, Advance, ShardState
from rtaplatform.stream.port import LogRecord, OffsetRange, Partition, RecordColumns


def is_dedup_safe(partitions: int) -> bool:
    """Whether each dedup partition lies in one partition, so that one stream time decides what it forgets."""
    return partitions > 0 and DEDUP_PARTITIONS % partitions == 0


def unsafe_partitions(topic: str, partitions: int) -> str:
    """What is wrong with such a number, and what helps."""
    allowed = [n for n in range(1, DEDUP_PARTITIONS + 1) if is_dedup_safe(n)]
    more = next((n for n in allowed if n > partitions), None)
    remedy = f"add partitions until there are {more}" if more else "make the topic again with one of these numbers"
    return f"{topic} has {partitions}, repeats are found only with {', '.join(map(str, allowed))}: {remedy}"


NOTHING_READ = LedgerRow(0, -1, -1, "", -1, 0)


def fingerprint(record: LogRecord) -> str:
    """xxh3 of timestamp, key and value."""
    digest = xxhash.xxh3_64(record.timestamp_ms.to_bytes(8, "big", signed=True))
    digest.update(len(record.key).to_bytes(4, "big"))
    digest.update(record.key)
    digest.update(record.value or b"")
    return digest.hexdigest()


def row_after(record: LogRecord, stream_time_ms: int) -> LedgerRow:
    """The ledger row of one who has read up to this record, at that stream time."""
    return LedgerRow(
        record.offset + 1, record.offset, record.timestamp_ms, fingerprint(record), record.leader_epoch, stream_time_ms
    )


class Positions:
    """`starts`: where to read from. `stops`: what stands still, and why. Shards that stand still are left out."""

    def __init__(
        self,
        shards: dict[int, ShardState],
        extents: dict[Partition, OffsetRange],
        starts: dict[Partition, int],
        read: dict[Partition, LedgerRow],
        stops: dict[str, str],
    ) -> None:
        self.shards, self.extents, self.starts, self.stops = shards, extents, starts, stops
        self._read = read  # the last record read of each partition, by us
        self._rows = {shard: dict(state.ledger) for shard, state in shards.items()}
        self._checks = self._expected()
        self._projects = {slug: project for state in shards.values() for slug, project in state.projects.items()}

    @classmethod
    def find(
        cls,
        partitions: Iterable[Partition],
        states: Mapping[int, ShardState | None],
        extents: Mapping[Partition, OffsetRange],
        count: int | None = None,
    ) -> Positions:
        """`count`: how many shards there are, where `states` has only some.

        Raises `Stopped` where no shard has a manifest, or the shards are of another version or number."""
        if not any(states.values()):
            raise Stopped("store", "no_manifest", NO_TOTALS)
        stops: dict[str, str] = {}
        shards = {
            shard: state
            for shard, state in states.items()
            if _is_usable(shard, state, count or len(states), stops) and state is not None
        }
        found: dict[Partition, OffsetRange] = {}
        starts: dict[Partition, int] = {}
        read: dict[Partition, LedgerRow] = {}
        for partition in sorted(partitions):
            extent = extents.get(partition)
            reason = _trouble(partition, extent, shards)
            if extent is None or reason:
                stops[str(partition)] = reason
                continue
            found[partition] = extent
            starts[partition], read[partition] = _start(extent, shards)
        return cls(shards, found, starts if shards else {}, read, stops)

    def projects(self) -> Mapping[str, ProjectSettings]:
        """Of all shards."""
        return self._projects

    def learn(self, shard: int, projects: Mapping[str, ProjectSettings]) -> None:
        """The shard has been told of these since its state was read."""
        self.shards[shard].projects.update(projects)
        self._projects.update(projects)

    def stream_time_ms(self, partition: Partition) -> int:
        return self._read[partition].stream_time_ms

    def following(self, partition: Partition) -> int:
        """The offset of the next record that we shall read."""
        return max(self._read[partition].next_offset, self.starts.get(partition, 0))

    def next_of(self, shard: int, partition: Partition) -> int:
        """The first offset that the shard has not counted yet."""
        return next_offset(self._rows[shard].get(self.extents[partition].place, ""))

    def first_read_again(self, partition: Partition) -> int:
        """The first offset that a worker which begins now may read: that of the record that was counted last."""
        texts = [rows.get(self.extents[partition].place, "") for rows in self._rows.values()]
        return min((read_row(text).last_offset if text else 0 for text in texts), default=0)

    def move(self, shard: int, partition: Partition, last: LogRecord, stream_time_ms: int) -> Advance:
        place = self.extents[partition].place
        return Advance(place, self._rows[shard].get(place, ""), row_after(last, stream_time_ms).text())

    def all_moves(self, shard: int) -> list[Advance]:
        """From where the shard's ledger stands to what we have read, for all partitions: often nothing to move."""
        moves = []
        for partition, extent in self.extents.items():
            after = self._rows[shard].get(extent.place, "")
            read = self._read[partition]
            if after or read.next_offset:
                ahead = read.next_offset > next_offset(after)
                moves.append(Advance(extent.place, after, read.text() if ahead else after))
        return moves

    def accept(self, shard: int, moves: Sequence[Advance]) -> None:
        """The shard's ledger has made these moves."""
        self._rows[shard] |= {move.place: move.upto for move in moves}

    def advance(self, runs: Mapping[Partition, RecordColumns]) -> None:
        """All shards have what they need of these records."""
        for partition, run in runs.items():
            stream_time_ms = max(self.stream_time_ms(partition), max(run.timestamps_ms))
            self._read[partition] = row_after(run.record(-1), stream_time_ms)

    def pass_by(self, ends: Mapping[Partition, int]) -> None:
        """Partitions were read to their end: what lies between the last record and it is not for readers."""
        for partition, end in ends.items():
            row = self._read.get(partition)
            if row is not None and str(partition) not in self.stops and end > row.next_offset:
                self._read[partition] = structs.replace(row, next_offset=end)

    def committable(self) -> dict[Partition, int]:
        return {p: row.next_offset for p, row in self._read.items() if row.next_offset}

    def expired_blocks(self, ends: Mapping[Partition, int]) -> dict[str, int]:
        """By dedup partition (`topic:number`), the stream time up to which blocks were last written over 24 h ago."""
        return {
            f"{p.topic}:{dedup_partition}": stream_time_ms - WINDOW_MS
            for p, stream_time_ms in ends.items()
            if stream_time_ms >= WINDOW_MS
            for dedup_partition in range(p.number, DEDUP_PARTITIONS, self.extents[p].partitions)
        }

    def is_changed(self, extents: Mapping[Partition, OffsetRange]) -> bool:
        return any(
            p not in extents or extents[p].place != extent.place or extents[p].partitions != extent.partitions
            for p, extent in self.extents.items()
        )

    def has_moved(self, partition: Partition, states: Mapping[int, ShardState | None]) -> bool:
        """Whether somebody else has moved the partition's row in a shard since we read it."""
        place = self.extents[partition].place
        rows = {shard: state.ledger.get(place, "") if state else "" for shard, state in states.items()}
        return any(self._rows[shard].get(place, "") != row for shard, row in rows.items() if shard in self._rows)

    def first_difference(self, run: RecordColumns) -> int | None:
        """The first offset whose record is not the one that a ledger has counted last; None: all is well."""
        expected = self._checks.get(run.partition)
        if not expected:
            return None
        for offset in sorted(expected):
            if offset > run.offsets[-1]:
                break
            index = bisect_left(run.offsets, offset)
            if run.offsets[index] != offset or fingerprint(run.record(index)) != expected.pop(offset):
                return offset  # it is another one, or no longer there
        return None

    def _expected(self) -> dict[Partition, dict[int, str]]:
        """Partition → offset → hash, of every ledger's last record that we shall read again."""
        checks: dict[Partition, dict[int, str]] = {}
        for partition, extent in self.extents.items():
            for rows in self._rows.values():
                text = rows.get(extent.place)
                row = read_row(text) if text else NOTHING_READ
                if row.last_offset >= max(self.starts.get(partition, 0), extent.low):
                    checks.setdefault(partition, {})[row.last_offset] = row.last_hash
        return checks


def partition_of(stop: str) -> Partition | None:
    """The partition that a stop names; None where it is a shard."""
    topic, found, number = stop.rpartition(":")
    return Partition(topic, int(number)) if found else None


def _is_usable(shard: int, state: ShardState | None, shards: int, stops: dict[str, str]) -> bool:
    if state is None:
        stops[f"shard {shard}"] = "lost: it has no manifest, others have one; run `rta rebuild`"
        return False
    if state.schema != SCHEMA or state.shards != shards:
        raise Stopped(
            f"shard {shard}",
            "version",
            f"It has schema {state.schema} and {state.shards} shards; we {SCHEMA}, {shards}.",
        )
    if state.torn:
        stops[f"shard {shard}"] = "torn: a batch was written half; run `rta rebuild`"
    elif not state.projects_version:
        stops[f"shard {shard}"] = "no_projects: nobody has told it its projects; run `rta migrate`"
    return f"shard {shard}" not in stops


def _trouble(partition: Partition, extent: OffsetRange | None, shards: Mapping[int, ShardState]) -> str:
    """Why the partition must not be advanced; empty: it may be."""
    if extent is None:
        return "gone: the topic or partition does not exist"
    if not is_dedup_safe(extent.partitions):
        return f"partitions: {unsafe_partitions(partition.topic, extent.partitions)}"
    for state in shards.values():
        known = state.topics.get(partition.topic)
        if known != extent.place.topic_id:
            return f"recreated: the topic has another id than the {known} that was counted; see `rta topics adopt`"
        following = state.next_offset(extent.place)
        if following > extent.high:
            return f"truncated: the log ends at {extent.high}, {following} was to come next; see `rta topics adopt`"
        if following < extent.low:
            return f"retention: the log begins at {extent.low}, {following} was to come next; see `rta topics adopt`"
    return ""


def _start(extent: OffsetRange, shards: Mapping[int, ShardState]) -> tuple[int, LedgerRow]:
    """Where to read from, and the row that stands before it: those of the shard that is least far."""
    if not shards:
        return 0, NOTHING_READ
    state = min(shards.values(), key=lambda s: s.next_offset(extent.place))
    text = state.ledger.get(extent.place, "")
    if not text:
        return state.starts.get(extent.place, 0), NOTHING_READ
    row = read_row(text)
    return (row.last_offset if row.last_offset >= extent.low else row.next_offset), row
