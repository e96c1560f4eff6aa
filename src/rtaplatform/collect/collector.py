"""Collect the events of one request: steps, Kafka, counts, answer.   Stage 1 of 6: HTTP → [collect] → stream.

Promise: an answer means that Kafka has acknowledged every accepted event. In the signals,
received = accepted + rejected + unknown.
Limits: the event loop is yielded to after each portion of a batch. Records are sent to Kafka once they have more than
FLUSHED_BYTES, because the defaults of a small batch may make its records large.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from msgspec import Struct

from rtaplatform import telemetry
from rtaplatform.collect.body.draft import BatchRefused, CollectedRecord, Draft, DraftRefused, EventRefused
from rtaplatform.collect.body.envelope import (
    EventBatch,
    RequestArrival,
    draft_batch,
    draft_single,
    read_broken_batch,
    read_whole_batch,
)
from rtaplatform.collect.cooperative_queue import CooperativeQueue
from rtaplatform.collect.producer import Undelivered
from rtaplatform.collect.steps.placeholders import has_placeholder
from rtaplatform.collect.steps.steps import run_steps, to_record

PORTION_EVENTS_MAX = 200
PORTION_BYTES_MAX = 64 << 10
FLUSHED_BYTES = 4 << 20


class Appender(Protocol):
    """Where records go: `EventProducer`, or a list in tests. Raises `Undelivered`."""

    async def append(self, records: Sequence[CollectedRecord]) -> None: ...


class StoredEvents(Struct):
    """What has become of a request's events so far. `pending`: records that have not been sent to Kafka yet."""

    received: int = 0
    accepted: int = 0
    unknown: int = 0
    placeholders: int = 0
    refused: list[DraftRefused] = []
    late: list[int] = []  # their indexes in the batch
    pending: list[CollectedRecord] = []
    pending_bytes: int = 0


class Collector:
    def __init__(self, log: Appender, turns: CooperativeQueue | None = None) -> None:
        """`turns` is shared by all code that does heavy work on this event loop."""
        self._log, self._turns = log, turns or CooperativeQueue()
        self._cutting = asyncio.Lock()

    async def read_batch(self, body: bytes) -> EventBatch:
        """Read a batch. A body that is not JSON is cut in a thread, one at a time. Raises UnreadableBody."""
        batch = read_whole_batch(body)
        if batch is not None:
            return batch
        async with self._cutting:
            return await asyncio.to_thread(read_broken_batch, body)

    async def collect_single(self, body: bytes, kind: str, project: str, arrival: RequestArrival) -> dict[str, Any]:
        """Store one event; raises EventRefused, Undelivered."""
        stored = await self._store([draft_single(body, kind, project, arrival)])
        if stored.refused:
            raise EventRefused(stored.refused[0])
        return {"success": True, **_late_indexes(stored)}

    async def collect_batch(self, batch: EventBatch, project: str, arrival: RequestArrival) -> dict[str, Any]:
        """Store what can be stored of a batch, and list the rest; raises Undelivered."""
        stored = await self._store(draft_batch(batch, project, arrival))
        return {
            "success": not stored.refused,
            "accepted": stored.accepted,
            "rejected": [_describe(refused) for refused in stored.refused],
            **_late_indexes(stored),
        }

    async def collect_batch_strictly(self, batch: EventBatch, project: str, arrival: RequestArrival) -> dict[str, Any]:
        """As collect_batch, but raise BatchRefused if an event is refused; the others are stored nevertheless."""
        answer = await self.collect_batch(batch, project, arrival)
        if answer["rejected"]:
            raise BatchRefused(answer)
        return answer

    async def _store(self, drafts: Iterable[Draft]) -> StoredEvents:
        step_seconds: dict[str, float] = {}
        stored = StoredEvents()
        try:
            for portion in _portions(drafts):
                if stored.received:
                    await self._turns.take()
                _add_portion(stored, portion, step_seconds)
                if stored.pending_bytes > FLUSHED_BYTES:
                    await self._flush(stored)
            await self._flush(stored)
        finally:
            stored.unknown += len(stored.pending)
            _export_counts(stored, step_seconds)
        return stored

    async def _flush(self, stored: StoredEvents) -> None:
        try:
            await self._log.append(stored.pending)
        except Undelivered as error:
            stored.accepted += error.acknowledged
            stored.unknown += error.unknown
            stored.pending = []
            raise
        stored.accepted += len(stored.pending)
        stored.pending, stored.pending_bytes = [], 0


def _add_portion(stored: StoredEvents, portion: list[Draft], step_seconds: dict[str, float]) -> None:
    ready, refused = run_steps(portion, step_seconds)
    stored.received += len(portion)
    stored.refused += refused
    stored.late += [draft.index for draft in ready if draft.is_late]
    stored.placeholders += sum(map(has_placeholder, ready))
    stored.pending += map(to_record, ready)
    stored.pending_bytes += sum(len(draft.value) for draft in ready)


def _portions(drafts: Iterable[Draft]) -> Iterator[list[Draft]]:
    portion, size = [], 0
    for draft in drafts:
        portion.append(draft)
        size += len(draft.raw)
        if len(portion) >= PORTION_EVENTS_MAX or size >= PORTION_BYTES_MAX:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


def _late_indexes(stored: StoredEvents) -> dict[str, Any]:
    """The indexes of late events, which the log keeps and no total counts; nothing if there are none."""
    return {"late": stored.late} if stored.late else {}


def _export_counts(stored: StoredEvents, step_seconds: dict[str, float]) -> None:
    telemetry.COLLECT_RECEIVED.inc(stored.received)
    telemetry.COLLECT_ACCEPTED.inc(stored.accepted)
    telemetry.COLLECT_UNKNOWN.inc(stored.unknown)
    telemetry.COLLECT_LATE.inc(len(stored.late))
    telemetry.COLLECT_PLACEHOLDER_IDS.inc(stored.placeholders)
    for reason, count in Counter(refused.reason for refused in stored.refused).items():
        telemetry.COLLECT_REJECTED.labels(reason).inc(count)
    for step, seconds in step_seconds.items():
        telemetry.COLLECT_STEP_SECONDS.labels(step).inc(seconds)


def _describe(refused: DraftRefused) -> dict[str, Any]:
    return {
        "index": refused.index,
        "messageId": refused.message_id,
        "reason": refused.reason.value,
        "field": refused.field,
        "detail": refused.detail,
    }
