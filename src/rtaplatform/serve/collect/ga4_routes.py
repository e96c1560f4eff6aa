"""The routes of GA4's Measurement Protocol, in front of the collector's steps.   Stage 6 of 6, and entry to stage 1.

A request names its key as `api_secret` in the query. It answers 204, as Google does, once Kafka has what was accepted.
Refused events do not change that: clients of this protocol read no answer. They are kept with their reasons, as all
refused events are, and `/debug/mp/collect` tells of them beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from litestar import Response, post
from litestar.handlers import HTTPRouteHandler
from msgspec import Raw

from rtaplatform.collect.adapters.adapted_events import AdaptedEvents
from rtaplatform.collect.adapters.ga4 import adapt_ga4
from rtaplatform.collect.adapters.ga4_bodies import Ga4Body, cut_ga4_body, read_ga4_body
from rtaplatform.collect.adapters.ga4_validation import describe_refusals
from rtaplatform.collect.body.envelope import EventBatch, RequestArrival
from rtaplatform.core.errors import UnreadableBody
from rtaplatform.core.events import EVENT_BYTES_MAX
from rtaplatform.serve.collect import ga4_docs
from rtaplatform.serve.collect.adapted_collecting import collect_adapted, make_collecting_options
from rtaplatform.serve.collect.arrivals import read_arrival
from rtaplatform.serve.collect.intake import BodyFormat, LimitCharge, receive
from rtaplatform.serve.http.dependencies import AnyRequest, Dependencies, find_dependencies

COLLECT_PATH, DEBUG_PATH = "/mp/collect", "/debug/mp/collect"
PATHS = (COLLECT_PATH, DEBUG_PATH)
KEY_HINT = "Send the project's write key as `api_secret` in the query, or as `Authorization: Bearer KEY`."


@post(
    COLLECT_PATH,
    status_code=204,
    opt=make_collecting_options(ga4_docs.COLLECT_GA4),
    operation_id="collectGa4",
    summary="Collect events of GA4's Measurement Protocol",
    description="`api_secret` in the query is the write key. Events that are refused are kept with their reasons, and "
    "do not change the answer.",
    tags=["collect"],
)
async def collect_ga4(request: AnyRequest) -> Response[None]:
    parts = find_dependencies(request)
    arrival = read_arrival(request, parts)
    body, charge = await _receive(request, parts, arrival)
    try:
        batch, _ = await _read_batch(parts, body, charge)
    except UnreadableBody as error:
        parts.collector.keep_unreadable(body, charge.access.project, arrival, error)
        raise
    await collect_adapted(parts, batch, charge, arrival, "ga4")
    return Response(None, status_code=204)


@post(
    DEBUG_PATH,
    status_code=200,
    opt=make_collecting_options(ga4_docs.VALIDATE_GA4),
    operation_id="validateGa4",
    summary="Say what would be refused of a request of GA4's Measurement Protocol",
    description="Nothing is stored. It counts against the limits of the key, as collecting does.",
    tags=["collect"],
)
async def validate_ga4(request: AnyRequest) -> dict[str, Any]:
    parts = find_dependencies(request)
    arrival = read_arrival(request, parts)
    body, charge = await _receive(request, parts, arrival)
    batch, before = await _read_batch(parts, body, charge)
    events = batch.events
    assert isinstance(events, AdaptedEvents)
    await charge.raise_to(len(events))
    refusals = await parts.collector.judge_batch(batch, charge.access.project, arrival)
    return {
        "validationMessages": describe_refusals(
            (events.indexes[refusal.index] - before, refusal) for refusal in refusals
        )
    }


route_handlers: list[HTTPRouteHandler] = [collect_ga4, validate_ga4]


async def _receive(request: AnyRequest, parts: Dependencies, arrival: RequestArrival) -> tuple[bytes, LimitCharge]:
    """Read the body and charge one event. The key is `api_secret`, where no header has it."""
    secret = request.query_params.get("api_secret")
    keys = [secret] if secret else []
    return await receive(request, parts, arrival, BodyFormat(find_keys=lambda _body: keys, key_hint=KEY_HINT))


async def _read_batch(parts: Dependencies, body: bytes, charge: LimitCharge) -> tuple[EventBatch, int]:
    """Read the batch of a request, and charge what it has at least. Raises UnreadableBody.

    Return how many calls stand before the events as well: one, if the request has user properties.
    """
    await charge.raise_to(1 + len(body) // EVENT_BYTES_MAX)
    try:
        read, events = await _list_events(parts, body)
    except UnreadableBody as error:
        if error.field == "batch":  # as the list is called elsewhere
            error.field = "events"
        raise
    batch = adapt_ga4(read, events)
    return batch, len(batch) - len(events)


async def _list_events(parts: Dependencies, body: bytes) -> tuple[Ga4Body, Sequence[Raw | bytes]]:
    read = read_ga4_body(body)
    if read is None:
        return await parts.collector.cut(cut_ga4_body, body)
    return read, (await parts.collector.read_batch(b'{"batch":%b}' % bytes(read.events))).events
