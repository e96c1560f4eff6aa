"""What an operator accepts with `rta topics adopt`.   Stage 3 of 6.   Pure.

A partition stands still where the log is not the one that was counted: the topic was made again, its end
was lost, or its beginning has gone. Accepting it moves the ledger to where the log can be read again, and
says what is not counted, or is counted beside what a lost log had brought.
"""

from __future__ import annotations

from msgspec import Struct

from rtaplatform.store.port import Move, Row, ShardState, read_row
from rtaplatform.stream.port import Extent, Partition


class Adoption(Struct, frozen=True):
    """The ledger's move, and what is lost by it: `gap` is a sentence, `where` topic:partition:offset."""

    move: Move
    where: str
    gap: str


def adopt(partition: Partition, extent: Extent, state: ShardState) -> Adoption | None:
    """How one shard's ledger takes the partition as it is now; None where nothing stands in the way."""
    text = state.ledger.get(extent.place, "")
    following = read_row(text).next_offset if text else state.starts.get(extent.place, 0)
    if state.topics.get(partition.topic) != extent.place.topic_id and not text:
        return _move(partition, extent, text, extent.low, "the topic was made again; it is counted from its beginning")
    if following < extent.low:
        gap = f"records {following} to {extent.low - 1} had gone from the log and are not counted"
        return _move(partition, extent, text, extent.low, gap)
    if following > extent.high:
        gap = f"the log ended at {extent.high}, {following} was to come next: what was counted stays"
        return _move(partition, extent, text, extent.high, gap)
    return None


def _move(partition: Partition, extent: Extent, after: str, offset: int, gap: str) -> Adoption:
    record_ms = read_row(after).record_time_ms if after else 0
    row = Row(offset, -1, -1, "", -1, record_ms)
    return Adoption(Move(extent.place, after, row.text()), f"{partition}:{offset}", gap)
