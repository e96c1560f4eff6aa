"""What an operator accepts with `rta topics adopt`.   Stage 3 of 6.   Pure.

A partition stands still where the log is not the one that was counted: the topic was made again, its end was lost,
others have taken the place of what was lost, or its beginning has gone. Accepting it moves the ledger to where the
log can be read again, and says what is not counted, or is counted beside what a lost log had brought.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct

from rtaplatform.core.ledger import LedgerRow, read_row
from rtaplatform.store.port import Advance, ShardState
from rtaplatform.stream.port import OffsetRange, Partition


class Adoption(Struct, frozen=True):
    """The ledger's move, and what is lost by it: `gap` is a sentence, `where` topic:partition:offset."""

    move: Advance
    where: str
    gap: str


def adopt(
    partition: Partition, extent: OffsetRange, state: ShardState, hashes: Mapping[int, str] = MappingProxyType({})
) -> Adoption | None:
    """How one shard's ledger takes the partition as it is now; None where nothing stands in the way.

    `hashes`: offset → hash of the record that is there now ("" none), of `counted_last` of each shard.
    """
    text = state.ledger.get(extent.place, "")
    following = state.next_offset(extent.place)
    if state.topics.get(partition.topic) != extent.place.topic_id and not text:
        return _move(partition, extent, text, extent.low, "the topic was made again; it is counted from its beginning")
    if following < extent.low:
        gap = f"records {following} to {extent.low - 1} had gone from the log and are not counted"
        return _move(partition, extent, text, extent.low, gap)
    if following > extent.high:
        gap = f"the log ended at {extent.high}, {following} was to come next: what was counted stays"
        return _move(partition, extent, text, extent.high, gap)
    last = counted_last(extent, state)
    if last is not None and hashes.get(last, read_row(text).last_hash) != read_row(text).last_hash:
        gap = f"record {last} is not the one that was counted: of this log only what follows is counted"
        return _move(partition, extent, text, following, gap)
    return None


def counted_last(extent: OffsetRange, state: ShardState) -> int | None:
    """The offset of the record that a shard has counted last, where the ledger knows its hash and the log its place."""
    text = state.ledger.get(extent.place, "")
    row = read_row(text) if text else None
    return row.last_offset if row and row.last_hash and extent.low <= row.last_offset < extent.high else None


def _move(partition: Partition, extent: OffsetRange, after: str, offset: int, gap: str) -> Adoption:
    stream_time_ms = read_row(after).stream_time_ms if after else 0
    row = LedgerRow(offset, -1, -1, "", -1, stream_time_ms)
    return Adoption(Advance(extent.place, after, row.text()), f"{partition}:{offset}", gap)
