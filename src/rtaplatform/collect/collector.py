"""One request's events: steps, Kafka, counts, answer.   Stage 1 of 6: HTTP → [collect] → stream.

Promise: an answer means that Kafka has acknowledged every accepted event. The law, kept in signals:
received = accepted + rejected + unknown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

from rtaplatform import telemetry
from rtaplatform.collect.draft import BatchRefused, Draft, EventRefused, Record, Refused
from rtaplatform.collect.envelope import Arrival, Batch, draft_batch, draft_single
from rtaplatform.collect.producer import Undelivered
from rtaplatform.collect.steps import run_steps, to_record


class Appender(Protocol):
    """Where records go; `EventProducer`, or a list in tests. Raises `Undelivered`."""

    async def append(self, records: Sequence[Record]) -> None: ...


class Collector:
    def __init__(self, log: Appender) -> None:
        self._log = log

    async def collect_single(self, body: bytes, kind: str, project: str, arrival: Arrival) -> dict[str, Any]:
        """Store one event; raises EventRefused, Undelivered."""
        refused = await self._store([draft_single(body, kind, project, arrival)])
        if refused:
            raise EventRefused(refused[0])
        return {"success": True}

    async def collect_batch(self, batch: Batch, project: str, arrival: Arrival) -> dict[str, Any]:
        """Store what can be stored of a batch, and list the rest; raises UnreadableBody, Undelivered."""
        drafts = draft_batch(batch, project, arrival)
        refused = await self._store(drafts)
        return {
            "success": True,
            "accepted": len(drafts) - len(refused),
            "rejected": [_as_answer(one) for one in refused],
        }

    async def collect_batch_strictly(self, batch: Batch, project: str, arrival: Arrival) -> dict[str, Any]:
        """As collect_batch, but raise BatchRefused where an event is refused; the others are stored all the same."""
        answer = await self.collect_batch(batch, project, arrival)
        if answer["rejected"]:
            raise BatchRefused(answer)
        return answer

    async def _store(self, drafts: list[Draft]) -> list[Refused]:
        spent: dict[str, float] = {}
        ready, refused = run_steps(drafts, spent)
        accepted, unknown = len(ready), 0
        try:
            await self._log.append([to_record(draft) for draft in ready])
        except Undelivered as error:
            accepted, unknown = error.acknowledged, error.unknown
            raise
        except BaseException:
            accepted, unknown = 0, len(ready)
            raise
        finally:
            _count(len(drafts), accepted, refused, unknown)
            for step, seconds in spent.items():
                telemetry.COLLECT_STEP_SECONDS.labels(step).inc(seconds)
        return refused


def _count(received: int, accepted: int, refused: list[Refused], unknown: int) -> None:
    telemetry.COLLECT_RECEIVED.inc(received)
    telemetry.COLLECT_ACCEPTED.inc(accepted)
    telemetry.COLLECT_UNKNOWN.inc(unknown)
    for reason, count in Counter(one.reason for one in refused).items():
        telemetry.COLLECT_REJECTED.labels(reason).inc(count)


def _as_answer(one: Refused) -> dict[str, Any]:
    return {
        "index": one.index,
        "messageId": one.message_id,
        "reason": one.reason.value,
        "field": one.field,
        "detail": one.detail,
    }
