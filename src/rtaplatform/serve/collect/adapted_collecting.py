"""What the routes of all other protocols share: store adapted events, and tell what has become of them.   Stage 6 of 6.

Events are adapted while they are stored. The answer has the places of events in the request as it was sent.
"""

from __future__ import annotations

from typing import Any

from rtaplatform import telemetry
from rtaplatform.catalog.keys.key_format import COLLECT
from rtaplatform.collect.adapters.adapted_events import Adapt, AdaptedEvents
from rtaplatform.collect.body.draft import DraftRefused, EventRefused
from rtaplatform.collect.body.envelope import EventBatch, RequestArrival
from rtaplatform.core.events import Reason
from rtaplatform.serve.collect.intake import LimitCharge
from rtaplatform.serve.http.dependencies import Dependencies


def make_collecting_options(docs: dict[str, Any]) -> dict[str, Any]:
    """The options of a route that collects, with its description."""
    return {"scope": COLLECT, "key_in_body": True, "docs": docs}


def frame_only_event(body: bytes, adapt: Adapt) -> EventBatch:
    """A batch of the one event that a body is."""
    return EventBatch(AdaptedEvents([body], adapt))


async def collect_adapted(
    parts: Dependencies, batch: EventBatch, charge: LimitCharge, arrival: RequestArrival, protocol: str = "cloudevents"
) -> dict[str, Any]:
    """Store the events of a batch. The answer has the places of events in the batch as sent."""
    events = batch.events
    assert isinstance(events, AdaptedEvents)
    arrival = charge.judge_person(arrival, events.find_sender(), len(events))
    await charge.raise_to(len(events))
    answer = await parts.collector.collect_batch(batch, charge.access.project, arrival)
    if events.left_out:
        telemetry.COLLECT_LEFT_OUT.labels(protocol).inc(events.left_out)
        answer["left_out"] = events.left_out
        answer["rejected"] = [{**refusal, "index": events.indexes[refusal["index"]]} for refusal in answer["rejected"]]
        answer |= {name: [events.indexes[index] for index in late] for name, late in read_late(answer).items()}
    return answer


async def collect_only_event(
    parts: Dependencies, batch: EventBatch, charge: LimitCharge, arrival: RequestArrival, protocol: str = "cloudevents"
) -> dict[str, Any]:
    """Store one event; raises EventRefused, Undelivered."""
    answer = await collect_adapted(parts, batch, charge, arrival, protocol)
    for refusal in answer["rejected"]:
        raise EventRefused(
            DraftRefused(
                refusal["index"], Reason(refusal["reason"]), refusal["field"], refusal["detail"], refusal["messageId"]
            )
        )
    return answer


def read_late(answer: dict[str, Any]) -> dict[str, Any]:
    """The places of late events, as an answer has them; nothing if there are none."""
    return {"late": answer["late"]} if "late" in answer else {}
