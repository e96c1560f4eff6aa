"""Send the events of a spool to Kafka in portions, and note after each portion how far it has come.

A portion has at most PORTION_EVENTS_MAX events and PORTION_MS_MAX of history. What is sent twice after a kill is one
portion, and is recognised by its messageIds: the workers remember them for 24 hours of stream time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Protocol

from rtaplatform.collect.body.draft import CollectedRecord

PORTION_EVENTS_MAX = 1_000
PORTION_MS_MAX = 12 * 3_600_000


class RecordLog(Protocol):
    """Where records go. Raises Unavailable."""

    async def append(self, records: Sequence[CollectedRecord]) -> None: ...


async def replay_history(
    records: Iterator[CollectedRecord], begin: int, log: RecordLog, note: Callable[[int], Awaitable[None]]
) -> int:
    """Send all records. `note` is told how many are acknowledged, those before `begin` included. Returns that."""
    events_sent, portion = begin, list[CollectedRecord]()
    for record in records:
        is_full = len(portion) >= PORTION_EVENTS_MAX
        if portion and (is_full or record.timestamp_ms - portion[0].timestamp_ms > PORTION_MS_MAX):
            await log.append(portion)
            events_sent += len(portion)
            await note(events_sent)
            portion = []
        portion.append(record)
    await log.append(portion)
    await note(events_sent + len(portion))
    return events_sent + len(portion)
