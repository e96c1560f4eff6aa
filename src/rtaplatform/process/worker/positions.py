"""The positions of a worker: in each partition, and in each shard's ledger.   Stage 3 of 6.   Pure.

An offset alone does not identify a record. So the ledger also has the topic's id, and the hash of the last record that
was counted. A worker begins to read at that record, and compares its hash.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

import xxhash
from msgspec import structs

from rtaplatform.core.errors import Stopped
from rtaplatform.core.ledger import DEDUP_PARTITIONS, LedgerRow, read_next_offset, read_row
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.process.fold.dedup import WINDOW_MS
from rtaplatform.store.port import NO_TOTALS, SCHEMA, Advance, ShardState
from rtaplatform.stream.port import LogRecord, OffsetRange, Partition, RecordColumns


def is_dedup_safe(partitions: int) -> bool:
    """Whether each dedup partition lies in a single partition, so that one stream time decides when its ids expire."""
    return partitions > 0 and DEDUP_PARTITIONS % partitions == 0


def explain_unsafe_partitions(topic: str, partitions: int) -> str:
    """What is wrong with this number of partitions, and how to mend it."""
    allowed = [n for n in range(1, DEDUP_PARTITIONS + 1) if is_dedup_safe(n)]
    more = next((n for n in allowed if n > partitions), None)
    remedy = f"add partitions until there are {more}" if more else "make the topic again with one of these numbers"
    return f"{topic} has {partitions}, repeats are found only with {', '.join(map(str, allowed))}: {remedy}"


SHARD_IS_TORN = "torn: a batch was written half; run `rta rebuild`"
NOTHING_READ = LedgerRow(0, -1, -1, "", -1, 0)


def hash_record(record: LogRecord) -> str:
    """xxh3 of timestamp, key and value."""
    digest = xxhash.xxh3_64(record.timestamp_ms.to_bytes(8, "big", signed=True))
    digest.update(len(record.key).to_bytes(4, "big"))
    digest.update(record.key)
    digest.update(record.value or b"")
    return digest.hexdigest()


def make_row_after(record: LogRecord, stream_time_ms: int) -> LedgerRow:
    """The ledger row after this record has been counted, at this stream time."""
    return LedgerRow(
        record.offset + 1, record.offset, record.timestamp_ms, hash_record(record), record.leader_epoch, stream_time_ms
    )


class Positions:
    """`starts`: where to read from. `stops`: what is stopped, and why. `shards` has none that is stopped."""

    def __init__(
        self,
        shards: dict[int, ShardState],
        extents: dict[Partition, OffsetRange],
        starts: dict[Partition, int],
        read_rows: dict[Partition, LedgerRow],
        stops: dict[str, str],
    ) -> None:
        self.shards, self.extents, self.starts, self.stops = shards, extents, starts, stops
        self._read_rows = read_rows  # what each partition's row is once all that we have read is counted
        self._rows = {shard: dict(state.ledger) for shard, state in shards.items()}
        self._expected_hashes = self._collect_hashes()
        self._projects = {slug: project for state in shards.values() for slug, project in state.projects.items()}

    @classmethod
    def find(
        cls,
        partitions: Iterable[Partition],
        states: Mapping[int, ShardState | None],
        extents: Mapping[Partition, OffsetRange],
        count: int | None = None,
    ) -> Positions:
        """Find where to read on, and what must stop. `count`: the number of shards, if `states` has only some.

        Raises `Stopped` if no shard has a manifest, or if the shards have another version or number.
        """
        if not any(states.values()):
            raise Stopped("store", "no_manifest", NO_TOTALS)
        stops: dict[str, str] = {}
        shards = {
            shard: state
            for shard, state in states.items()
            if _is_usable(shard, state, count or len(states), stops) and state is not None
        }
        ranges: dict[Partition, OffsetRange] = {}
        starts: dict[Partition, int] = {}
        read_rows: dict[Partition, LedgerRow] = {}
        for partition in sorted(partitions):
            extent = extents.get(partition)
            reason = _find_stop_reason(partition, extent, shards)
            if extent is None or reason:
                stops[str(partition)] = reason
                continue
            ranges[partition] = extent
            starts[partition], read_rows[partition] = _find_start(extent, shards)
        return cls(shards, ranges, starts if shards else {}, read_rows, stops)

    def get_projects(self) -> Mapping[str, ProjectSettings]:
        """Of all shards."""
        return self._projects

    def add_projects(self, shard: int, projects: Mapping[str, ProjectSettings]) -> None:
        """Add projects that the shard has got since its state was read."""
        self.shards[shard].projects.update(projects)
        self._projects.update(projects)

    def find_stream_time_ms(self, partition: Partition) -> int:
        return self._read_rows[partition].stream_time_ms

    def find_next_read_offset(self, partition: Partition) -> int:
        """The offset from which this worker reads on."""
        return max(self._read_rows[partition].next_offset, self.starts.get(partition, 0))

    def find_next_uncounted_offset(self, shard: int, partition: Partition) -> int:
        """The first offset that the shard has not counted yet."""
        return read_next_offset(self._rows[shard].get(self.extents[partition].place, ""))

    def find_first_offset_read_again(self, partition: Partition) -> int:
        """The first offset that a worker which starts now may read: that of the last record that was counted."""
        texts = [rows.get(self.extents[partition].place, "") for rows in self._rows.values()]
        return min((read_row(text).last_offset if text else 0 for text in texts), default=0)

    def move_past(self, shard: int, partition: Partition, last: LogRecord, stream_time_ms: int) -> Advance:
        """The move of the shard's row that counts the partition up to this record."""
        place = self.extents[partition].place
        return Advance(place, self._rows[shard].get(place, ""), make_row_after(last, stream_time_ms).to_text())

    def list_all_moves(self, shard: int) -> list[Advance]:
        """For all partitions, the move from the shard's row to what has been read; often both are the same."""
        moves = []
        for partition, extent in self.extents.items():
            current = self._rows[shard].get(extent.place, "")
            row = self._read_rows[partition]
            if current or row.next_offset:
                is_ahead = row.next_offset > read_next_offset(current)
                moves.append(Advance(extent.place, current, row.to_text() if is_ahead else current))
        return moves

    def accept(self, shard: int, moves: Sequence[Advance]) -> None:
        """Record that the shard's ledger has made these moves."""
        self._rows[shard] |= {move.place: move.to_row for move in moves}

    def advance(self, runs: Mapping[Partition, RecordColumns]) -> None:
        """Record that these runs have been read, and given to all shards that need them."""
        for partition, run in runs.items():
            stream_time_ms = max(self.find_stream_time_ms(partition), max(run.timestamps_ms))
            self._read_rows[partition] = make_row_after(run.record(-1), stream_time_ms)

    def skip_to_ends(self, ends: Mapping[Partition, int]) -> None:
        """Record that partitions were read to their end: there are no readable records before it."""
        for partition, end in ends.items():
            row = self._read_rows.get(partition)
            if row is not None and str(partition) not in self.stops and end > row.next_offset:
                self._read_rows[partition] = structs.replace(row, next_offset=end)

    def list_offsets_to_commit(self) -> dict[Partition, int]:
        return {p: row.next_offset for p, row in self._read_rows.items() if row.next_offset}

    def list_expired_blocks(self, ends: Mapping[Partition, int]) -> dict[str, int]:
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

    def is_moved_by_others(self, partition: Partition, states: Mapping[int, ShardState | None]) -> bool:
        """Whether another worker has moved the partition's row in a shard since we read it."""
        place = self.extents[partition].place
        rows = {shard: state.ledger.get(place, "") if state else "" for shard, state in states.items()}
        return any(self._rows[shard].get(place, "") != row for shard, row in rows.items() if shard in self._rows)

    def find_mismatch(self, run: RecordColumns) -> int | None:
        """The first offset whose record is not the one that a ledger counted last; None if all match."""
        expected_hash = self._expected_hashes.get(run.partition)
        if not expected_hash:
            return None
        for offset in sorted(expected_hash):
            if offset > run.offsets[-1]:
                break
            index = bisect_left(run.offsets, offset)
            if run.offsets[index] != offset or hash_record(run.record(index)) != expected_hash.pop(offset):
                return offset  # it is another record, or no longer there
        return None

    def _collect_hashes(self) -> dict[Partition, dict[int, str]]:
        """Partition → offset → hash, for the last record of every ledger that will be read again."""
        hashes: dict[Partition, dict[int, str]] = {}
        for partition, extent in self.extents.items():
            for rows in self._rows.values():
                text = rows.get(extent.place)
                row = read_row(text) if text else NOTHING_READ
                if row.last_offset >= max(self.starts.get(partition, 0), extent.low):
                    hashes.setdefault(partition, {})[row.last_offset] = row.last_hash
        return hashes


def parse_partition(stop: str) -> Partition | None:
    """The partition that a stop names; None if it names a shard."""
    topic, colon, number = stop.rpartition(":")
    return Partition(topic, int(number)) if colon else None


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
        stops[f"shard {shard}"] = SHARD_IS_TORN
    elif not state.projects_version:
        stops[f"shard {shard}"] = "no_projects: nobody has told it its projects; run `rta migrate`"
    return f"shard {shard}" not in stops


def _find_stop_reason(partition: Partition, extent: OffsetRange | None, shards: Mapping[int, ShardState]) -> str:
    """Why the partition must not advance; empty if it may."""
    if extent is None:
        return "gone: the topic or partition does not exist"
    if not is_dedup_safe(extent.partitions):
        return f"partitions: {explain_unsafe_partitions(partition.topic, extent.partitions)}"
    for state in shards.values():
        topic_id = state.topics.get(partition.topic)
        if topic_id != extent.place.topic_id:
            return f"recreated: the topic has another id than the {topic_id} that was counted; see `rta topics adopt`"
        offset = state.find_next_offset(extent.place)
        if offset > extent.high:
            return f"truncated: the log ends at {extent.high}, {offset} was to come next; see `rta topics adopt`"
        if offset < extent.low:
            return f"retention: the log begins at {extent.low}, {offset} was to come next; see `rta topics adopt`"
    return ""


def _find_start(extent: OffsetRange, shards: Mapping[int, ShardState]) -> tuple[int, LedgerRow]:
    """Where to read from, and the ledger row before it: those of the shard that is furthest behind."""
    if not shards:
        return 0, NOTHING_READ
    state = min(shards.values(), key=lambda s: s.find_next_offset(extent.place))
    text = state.ledger.get(extent.place, "")
    if not text:
        return state.starts.get(extent.place, 0), NOTHING_READ
    row = read_row(text)
    return (row.last_offset if row.last_offset >= extent.low else row.next_offset), row
