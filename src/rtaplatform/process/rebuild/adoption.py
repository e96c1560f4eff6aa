"""What an operator accepts with `rta topics adopt`.   Stage 3 of 6.   Pure.

A partition stops if its log is not the one that was counted: the topic was made again, its end was lost, other records
have taken the place of lost ones, or its beginning has been deleted. Accepting the log moves the ledger to where it can
be read again. The gap says which records are not counted, or which counts of a lost log remain.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct

from rtaplatform.core.ledger import LedgerRow, read_row
from rtaplatform.store.port import Advance, ShardState
from rtaplatform.stream.port import OffsetRange, Partition


class Adoption(Struct, frozen=True):
    """The move of the ledger row. `gap`: a sentence on what is lost by it; `origin`: topic:partition:offset."""

    move: Advance
    origin: str
    gap: str


def adopt(
    partition: Partition, extent: OffsetRange, state: ShardState, hashes: Mapping[int, str] = MappingProxyType({})
) -> Adoption | None:
    """How one shard's ledger accepts the partition as it is now; None if the partition need not stop.

    `hashes`: for `find_last_counted_offset` of each shard, the hash of the record that is there now, or "" if none is.
    """
    text = state.ledger.get(extent.place, "")
    offset = state.find_next_offset(extent.place)
    if state.topics.get(partition.topic) != extent.place.topic_id and not text:
        return _adopt_from(
            partition, extent, text, extent.low, "the topic was made again; it is counted from its beginning"
        )
    if offset < extent.low:
        gap = f"records {offset} to {extent.low - 1} had gone from the log and are not counted"
        return _adopt_from(partition, extent, text, extent.low, gap)
    if offset > extent.high:
        gap = f"the log ended at {extent.high}, {offset} was to come next: what was counted stays"
        return _adopt_from(partition, extent, text, extent.high, gap)
    last = find_last_counted_offset(extent, state)
    if last is not None and hashes.get(last, read_row(text).last_hash) != read_row(text).last_hash:
        gap = f"record {last} is not the one that was counted: of this log only what follows is counted"
        return _adopt_from(partition, extent, text, offset, gap)
    return None


def find_last_counted_offset(extent: OffsetRange, state: ShardState) -> int | None:
    """The offset of the last record that a shard has counted, if the ledger has its hash and the log still has it."""
    text = state.ledger.get(extent.place, "")
    row = read_row(text) if text else None
    return row.last_offset if row and row.last_hash and extent.low <= row.last_offset < extent.high else None


def _adopt_from(partition: Partition, extent: OffsetRange, after: str, offset: int, gap: str) -> Adoption:
    stream_time_ms = read_row(after).stream_time_ms if after else 0
    row = LedgerRow(offset, -1, -1, "", -1, stream_time_ms)
    return Adoption(Advance(extent.place, after, row.to_text()), f"{partition}:{offset}", gap)
