"""The position of a shard in a partition: the partition's id, and its row in the ledger.   Pure.

Stream, process, store and analytics name partitions and positions with these types.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

DEDUP_PARTITIONS = 16  # of each topic; a record's key decides by its hash


class PartitionId(NamedTuple):
    """A partition of one incarnation of a topic."""

    topic_id: str
    partition: int


class LedgerRow(Struct, frozen=True, array_like=True):
    """The position of a shard in a partition: the next offset, what identifies the last record, and stream time.

    It is stored as text and compared as a whole. An absent row, the empty text, means that nothing has been counted.
    """

    next_offset: int
    last_offset: int
    last_timestamp_ms: int
    last_hash: str
    leader_epoch: int
    stream_time_ms: int

    def to_text(self) -> str:
        return (
            f"{self.next_offset}|{self.last_offset}|{self.last_timestamp_ms}|{self.last_hash}"
            f"|{self.leader_epoch}|{self.stream_time_ms}"
        )


def read_row(text: str) -> LedgerRow:
    next_, last, timestamp, digest, epoch, stream_time = text.split("|")
    return LedgerRow(int(next_), int(last), int(timestamp), digest, int(epoch), int(stream_time))


def read_next_offset(row: str) -> int:
    """The next offset of a stored row; 0 if the row is absent."""
    return int(row.split("|", 1)[0]) if row else 0
