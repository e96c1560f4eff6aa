"""Where a shard stands in a partition: the partition's id, and its row in the ledger.   Core: no IO.

Stream, process, store and analytics speak of partitions and positions with these words.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

DEDUP_PARTITIONS = 16  # of a topic: by the hash of a record's key


class PartitionId(NamedTuple):
    """A partition of one incarnation of a topic."""

    topic_id: str
    partition: int


class LedgerRow(Struct, frozen=True, array_like=True):
    """Where a shard stands in a partition: the next offset, and what identifies the last record read.

    Stored as text, and compared as a whole; `next_offset` 0 with nothing read is the empty text, an absent row.
    """

    next_offset: int
    last_offset: int
    last_timestamp_ms: int
    last_hash: str
    leader_epoch: int
    stream_time_ms: int

    def text(self) -> str:
        return (
            f"{self.next_offset}|{self.last_offset}|{self.last_timestamp_ms}|{self.last_hash}"
            f"|{self.leader_epoch}|{self.stream_time_ms}"
        )


def read_row(text: str) -> LedgerRow:
    following, last, timestamp, digest, epoch, stream_time = text.split("|")
    return LedgerRow(int(following), int(last), int(timestamp), digest, int(epoch), int(stream_time))


def next_offset(row: str) -> int:
    """Of a ledger row as stored; an absent one is at 0."""
    return int(row.split("|", 1)[0]) if row else 0
