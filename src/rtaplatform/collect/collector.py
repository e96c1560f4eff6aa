"""Collect the events of one request: steps, Kafka, counts, answer.   Stage 1 of 6: HTTP → [collect] → stream.

Promise: an answer means that Kafka has acknowledged every accepted event. In the signals,
received = accepted + rejected + unknown.
Limits: reading a large batch takes a turn of the event loop, and so does each portion of it. Records are sent to Kafka
once they have more than FLUSHED_BYTES, because the defaults of a small batch may make its records large.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from rtaplatform import telemetry
from rtaplatform.collect.body.draft import (
    BatchRefused,
    CollectedRecord,
    Draft,
    DraftRefused,
    EventRefused,
    RequestContext,
)
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
from rtaplatform.collect.rejected_events import RejectedEvents
from rtaplatform.collect.steps.placeholders import has_placeholder
from rtaplatform.collect.steps.steps import run_steps, run_steps_on_one, to_record
from rtaplatform.core.errors import UnreadableBody
from rtaplatform.core.events import Reason
from rtaplatform.core.time.timestamps import format_iso_utc

PORTION_EVENTS_MAX = 200
PORTION_BYTES_MAX = 64 << 10
FLUSHED_BYTES = 4 << 20
EXPORTED_EVERY_SECONDS = 1.0
# Timing the steps takes a tenth of a single call, so that one call stands for this many.
SINGLES_TIMED_ONE_OF = 64

CutBody = TypeVar("CutBody")


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
    def __init__(
        self, log: Appender, turns: CooperativeQueue | None = None, rejected_events: RejectedEvents | None = None
    ) -> None:
        """All code that does heavy work on this event loop shares `turns`. `rejected_events` keeps what is refused."""
        self._log, self._turns, self._rejected_events = log, turns or CooperativeQueue(), rejected_events
        self._cutting = asyncio.Lock()
        self._step_seconds: dict[str, float] = {}  # not exported yet
        self._exported_at = time.monotonic()
        self._singles = 0

    async def read_batch(self, body: bytes) -> EventBatch:
        """Read a batch, a large one in a turn of its own. Raises UnreadableBody."""
        if len(body) > PORTION_BYTES_MAX:
            await self._turns.take()
        batch = read_whole_batch(body)
        return await self.cut(read_broken_batch, body) if batch is None else batch

    async def cut(self, cut: Callable[[bytes], CutBody], body: bytes) -> CutBody:
        """Cut a body that is not JSON, in a thread, one at a time. Raises what `cut` raises."""
        async with self._cutting:
            return await asyncio.to_thread(cut, body)

    def keep_unreadable(self, body: bytes, project: str, arrival: RequestArrival, error: UnreadableBody) -> None:
        """Keep a body in which no event can be found, as a refused event is kept."""
        if self._rejected_events is not None:
            request = RequestContext(
                project,
                arrival.received_ms,
                format_iso_utc(arrival.received_ms),
                route=arrival.route,
                denied=arrival.denied,
            )
            refusal = DraftRefused(0, error.reason or Reason.NOT_JSON, error.field, error.detail)
            self._rejected_events.keep([(Draft(request, 0, body), refusal)])

    async def collect_single(self, body: bytes, kind: str, project: str, arrival: RequestArrival) -> dict[str, Any]:
        """Store one event; raises EventRefused, Undelivered."""
        stored_events, draft = StoredEvents(received=1), draft_single(body, kind, project, arrival)
        try:
            refusal = self._run_steps_on_one(draft)
            if refusal is not None:
                stored_events.refused.append(refusal)
                if self._rejected_events is not None:
                    self._rejected_events.keep([(draft, refusal)])
                raise EventRefused(refusal)
            _add_ready(stored_events, draft)
            await self._flush(stored_events)
        finally:
            self._export(stored_events)
        return {"success": True, **_take_late_indexes(stored_events)}

    async def collect_batch(self, batch: EventBatch, project: str, arrival: RequestArrival) -> dict[str, Any]:
        """Store what can be stored of a batch, and list the rest; raises Undelivered."""
        # The answers of a limiter come for many batches at once: without a turn, all would begin in one.
        if len(batch) > PORTION_EVENTS_MAX:
            await self._turns.take()
        stored_events = await self._store(draft_batch(batch, project, arrival))
        return {
            "success": not stored_events.refused,
            "accepted": stored_events.accepted,
            "rejected": [_describe(refusal) for refusal in stored_events.refused],
            **_take_late_indexes(stored_events),
        }

    async def collect_batch_strictly(self, batch: EventBatch, project: str, arrival: RequestArrival) -> dict[str, Any]:
        """As collect_batch, but raise BatchRefused if an event is refused; the others are stored nevertheless."""
        answer = await self.collect_batch(batch, project, arrival)
        if answer["rejected"]:
            raise BatchRefused(answer)
        return answer

    async def judge_batch(self, batch: EventBatch, project: str, arrival: RequestArrival) -> list[DraftRefused]:
        """Say which events of a batch would be refused, in portions. Nothing is stored, kept or counted."""
        refusals: list[DraftRefused] = []
        for portion in _split_into_portions(draft_batch(batch, project, arrival)):
            await self._turns.take()
            refusals += run_steps(portion, {})[1]
        return refusals

    def _run_steps_on_one(self, draft: Draft) -> DraftRefused | None:
        """Run the steps; their seconds are those of a sample of the calls, multiplied."""
        self._singles += 1
        if self._singles % SINGLES_TIMED_ONE_OF:
            return run_steps_on_one(draft)
        seconds: dict[str, float] = {}
        _, refusals = run_steps([draft], seconds)
        for step, step_seconds in seconds.items():
            self._step_seconds[step] = self._step_seconds.get(step, 0.0) + step_seconds * SINGLES_TIMED_ONE_OF
        return refusals[0] if refusals else None

    async def _store(self, drafts: Iterable[Draft]) -> StoredEvents:
        stored_events = StoredEvents()
        try:
            for portion in _split_into_portions(drafts):
                if stored_events.received:
                    await self._turns.take()
                self._add_portion(stored_events, portion)
                if stored_events.pending_bytes > FLUSHED_BYTES:
                    await self._flush(stored_events)
            await self._flush(stored_events)
        finally:
            self._export(stored_events)
        return stored_events

    def _export(self, stored_events: StoredEvents) -> None:
        """Add a request's counts to the signals. The seconds of the steps follow once a second: they are many."""
        stored_events.unknown += len(stored_events.pending)
        _export_counts(stored_events)
        now = time.monotonic()
        if now - self._exported_at > EXPORTED_EVERY_SECONDS:
            step_seconds, self._step_seconds, self._exported_at = self._step_seconds, {}, now
            for step, seconds in step_seconds.items():
                telemetry.COLLECT_STEP_SECONDS.labels(step).inc(seconds)

    def _add_portion(self, stored_events: StoredEvents, portion: list[Draft]) -> None:
        ready, refusals = run_steps(portion, self._step_seconds)
        stored_events.received += len(portion)
        stored_events.refused += refusals
        for draft in ready:
            _add_ready(stored_events, draft)
        if refusals and self._rejected_events is not None:
            drafts = {draft.index: draft for draft in portion}
            self._rejected_events.keep((drafts[refusal.index], refusal) for refusal in refusals)

    async def _flush(self, stored_events: StoredEvents) -> None:
        try:
            await self._log.append(stored_events.pending)
        except Undelivered as error:
            stored_events.accepted += error.acknowledged
            stored_events.unknown += error.unknown
            stored_events.pending = []
            raise
        stored_events.accepted += len(stored_events.pending)
        stored_events.pending, stored_events.pending_bytes = [], 0


def _add_ready(stored_events: StoredEvents, draft: Draft) -> None:
    if draft.is_late:
        stored_events.late.append(draft.index)
    if has_placeholder(draft):
        stored_events.placeholders += 1
    stored_events.pending.append(to_record(draft))
    stored_events.pending_bytes += len(draft.value)


def _split_into_portions(drafts: Iterable[Draft]) -> Iterator[list[Draft]]:
    portion, size = [], 0
    for draft in drafts:
        portion.append(draft)
        size += len(draft.raw)
        if len(portion) >= PORTION_EVENTS_MAX or size >= PORTION_BYTES_MAX:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


def _take_late_indexes(stored_events: StoredEvents) -> dict[str, Any]:
    """The indexes of late events, which the log keeps and no total counts; nothing if there are none."""
    return {"late": stored_events.late} if stored_events.late else {}


def _export_counts(stored_events: StoredEvents) -> None:
    telemetry.COLLECT_RECEIVED.inc(stored_events.received)
    if stored_events.accepted:
        telemetry.COLLECT_ACCEPTED.inc(stored_events.accepted)
    if stored_events.unknown:
        telemetry.COLLECT_UNKNOWN.inc(stored_events.unknown)
    if stored_events.late:
        telemetry.COLLECT_LATE.inc(len(stored_events.late))
    if stored_events.placeholders:
        telemetry.COLLECT_PLACEHOLDER_IDS.inc(stored_events.placeholders)
    if stored_events.refused:
        for reason, count in Counter(refusal.reason for refusal in stored_events.refused).items():
            telemetry.COLLECT_REJECTED.labels(reason).inc(count)


def _describe(refusal: DraftRefused) -> dict[str, Any]:
    return {
        "index": refusal.index,
        "messageId": refusal.message_id,
        "reason": refusal.reason.value,
        "field": refusal.field,
        "detail": refusal.detail,
    }
