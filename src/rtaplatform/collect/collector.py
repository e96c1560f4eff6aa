"""One request's events: steps, Kafka, counts, answer.   Stage 1 of 6: HTTP → [collect] → stream.

Promise: an answer means that Kafka has acknowledged every accepted event. The law, kept in signals:
received = accepted + rejected + unknown.
Limits: the event loop is let go after each portion of a batch, and no more than FLUSHED_BYTES are held at once:
a small batch may say much of each of its events.
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
from rtaplatform.collect.steps.placeholders import is_placeholder
from rtaplatform.collect.steps.steps import run_steps, to_record

PORTION_EVENTS_MAX = 200
PORTION_BYTES_MAX = 64 << 10
FLUSHED_BYTES = 4 << 20


class Appender(Protocol):
    """Where records go; `EventProducer`, or a list in tests. Raises `Undelivered`."""

    async def append(self, records: Sequence[CollectedRecord]) -> None: ...


class StoredEvents(Struct):
    """What has become of a request's events so far; `waiting` are those that Kafka has not been given yet."""

    received: int = 0
    accepted: int = 0
    unknown: int = 0
    placeholders: int = 0
    refused: list[DraftRefused] = []
    late: list[int] = []
    waiting: list[CollectedRecord] = []
    waiting_bytes: int = 0


class Collector:
    def __init__(self, log: Appender, turns: CooperativeQueue | None = None) -> None:
        """`turns` are shared with whoever else does heavy work on this event loop."""
        self._log, self._turns = log, turns or CooperativeQueue()
        self._cutting = asyncio.Lock()

    async def read_batch(self, body: bytes) -> EventBatch:
        """The batch in a body; what is not JSON is cut by a thread, one body at a time. Raises UnreadableBody."""
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
        return {"success": True, **_late(stored)}

    async def collect_batch(self, batch: EventBatch, project: str, arrival: RequestArrival) -> dict[str, Any]:
        """Store what can be stored of a batch, and list the rest; raises Undelivered."""
        stored = await self._store(draft_batch(batch, project, arrival))
        return {
            "success": not stored.refused,
            "accepted": stored.accepted,
            "rejected": [_as_answer(one) for one in stored.refused],
            **_late(stored),
        }

    async def collect_batch_strictly(self, batch: EventBatch, project: str, arrival: RequestArrival) -> dict[str, Any]:
        """As collect_batch, but raise BatchRefused where an event is refused; the others are stored all the same."""
        answer = await self.collect_batch(batch, project, arrival)
        if answer["rejected"]:
            raise BatchRefused(answer)
        return answer

    async def _store(self, drafts: Iterable[Draft]) -> StoredEvents:
        spent: dict[str, float] = {}
        stored = StoredEvents()
        try:
            for portion in _portions(drafts):
                if stored.received:
                    await self._turns.take()
                _add(stored, portion, spent)
                if stored.waiting_bytes > FLUSHED_BYTES:
                    await self._flush(stored)
            await self._flush(stored)
        finally:
            stored.unknown += len(stored.waiting)
            _count(stored, spent)
        return stored

    async def _flush(self, stored: StoredEvents) -> None:
        try:
            await self._log.append(stored.waiting)
        except Undelivered as error:
            stored.accepted += error.acknowledged
            stored.unknown += error.unknown
            stored.waiting = []
            raise
        stored.accepted += len(stored.waiting)
        stored.waiting, stored.waiting_bytes = [], 0


def _add(stored: StoredEvents, portion: list[Draft], spent: dict[str, float]) -> None:
    ready, refused = run_steps(portion, spent)
    stored.received += len(portion)
    stored.refused += refused
    stored.late += [draft.index for draft in ready if draft.is_late]
    stored.placeholders += sum(map(is_placeholder, ready))
    stored.waiting += map(to_record, ready)
    stored.waiting_bytes += sum(len(draft.value) for draft in ready)


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


def _late(stored: StoredEvents) -> dict[str, Any]:
    """The places of events that the log keeps and nothing counts, where there are any."""
    return {"late": stored.late} if stored.late else {}


def _count(stored: StoredEvents, spent: dict[str, float]) -> None:
    telemetry.COLLECT_RECEIVED.inc(stored.received)
    telemetry.COLLECT_ACCEPTED.inc(stored.accepted)
    telemetry.COLLECT_UNKNOWN.inc(stored.unknown)
    telemetry.COLLECT_LATE.inc(len(stored.late))
    telemetry.COLLECT_PLACEHOLDER_IDS.inc(stored.placeholders)
    for reason, count in Counter(one.reason for one in stored.refused).items():
        telemetry.COLLECT_REJECTED.labels(reason).inc(count)
    for step, seconds in spent.items():
        telemetry.COLLECT_STEP_SECONDS.labels(step).inc(seconds)


def _as_answer(one: DraftRefused) -> dict[str, Any]:
    return {
        "index": one.index,
        "messageId": one.message_id,
        "reason": one.reason.value,
        "field": one.field,
        "detail": one.detail,
    }
