"""The routes of other protocols: CloudEvents, PostHog, Plausible, Umami.   Stage 6 of 6, and the entry to stage 1.

A site changes the host of its script or SDK, and nothing else. `collect/adapters` turns bodies into our events, and
the same steps judge them. Answers have the form that the other protocol's clients expect.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
from litestar import MediaType, Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from rtaplatform.collect.adapters.adapted_events import AdaptedEvents
from rtaplatform.collect.adapters.cloudevents import adapt_cloudevent, is_binary, write_structured
from rtaplatform.collect.adapters.plausible import adapt_plausible
from rtaplatform.collect.adapters.posthog_bodies import (
    adapt_batch,
    adapt_single,
    find_posthog_keys,
    frame_batch,
    open_body,
)
from rtaplatform.collect.adapters.umami import adapt_umami, find_umami_client, find_umami_keys
from rtaplatform.collect.adapters.visitor_ids import name_visitor
from rtaplatform.collect.body.envelope import EventBatch, RequestArrival
from rtaplatform.collect.body.json_reading import trim_white_space
from rtaplatform.core.events import EVENT_BYTES_MAX
from rtaplatform.serve.collect import adapter_docs
from rtaplatform.serve.collect.adapted_collecting import (
    collect_adapted,
    collect_only_event,
    frame_only_event,
    make_collecting_options,
    read_late,
)
from rtaplatform.serve.collect.arrivals import read_arrival
from rtaplatform.serve.collect.intake import SEGMENT_BODY, BodyFormat, LimitCharge, receive
from rtaplatform.serve.http.access import find_address
from rtaplatform.serve.http.dependencies import AnyRequest, Dependencies, find_dependencies
from rtaplatform.serve.openapi.operation_ids import name_by_path

CLOUDEVENTS_PATH, PLAUSIBLE_PATH, UMAMI_PATH = "/v1/cloudevents", "/api/event", "/api/send"
POSTHOG_PATHS = ["/batch", "/capture", "/e", "/i/v0/e"]
POSTHOG_FLAG_PATHS = ["/decide", "/flags"]
PATHS = (CLOUDEVENTS_PATH, PLAUSIBLE_PATH, UMAMI_PATH, *POSTHOG_PATHS, *POSTHOG_FLAG_PATHS)
UMAMI_CACHE = "rta"  # what Umami's script sends back in `x-umami-cache`: there is nothing to be remembered
_encode = msgspec.json.Encoder().encode


class VisitorProtocol(msgspec.Struct, frozen=True):
    """A protocol without ids of visitors. `find_client`: the address and user agent of whom a server reports."""

    name: str
    adapt: Callable[[bytes, str], bytes | None]
    find_client: Callable[[bytes], tuple[str | None, str | None]] = lambda _body: (None, None)
    body_format: BodyFormat = SEGMENT_BODY


PLAUSIBLE_HINT = "End the script's `data-api` with `/api/event?writeKey=KEY`: `KEY` is the project's write key."
UMAMI_HINT = (
    "Send the project's write key as `payload.website` (the script's `data-website-id`), or as `writeKey` in the query."
)
POSTHOG_HINT = "Send the project's write key as `api_key` or `token` in the body, or as `writeKey` in the query."
_PLAUSIBLE = VisitorProtocol("plausible", adapt_plausible, body_format=BodyFormat(key_hint=PLAUSIBLE_HINT))
_UMAMI = VisitorProtocol(
    "umami", adapt_umami, find_umami_client, BodyFormat(find_keys=find_umami_keys, key_hint=UMAMI_HINT)
)


@post(
    CLOUDEVENTS_PATH,
    status_code=200,
    opt=make_collecting_options(adapter_docs.CLOUDEVENTS),
    summary="Collect CloudEvents: structured, binary or a batch",
    description="The form is told by the headers and the body, not by the Content-Type. A batch answers as "
    "`POST /v1/batch` does.",
    tags=["collect"],
)
async def collect_cloudevents(request: AnyRequest) -> Response[bytes]:
    parts = find_dependencies(request)
    arrival = read_arrival(request, parts)
    body, charge = await receive(request, parts, arrival)
    if is_binary(request.headers):
        body = write_structured(request.headers.items(), request.headers.get("content-type"), body)
    text = trim_white_space(body).lstrip()
    if text[:1] != b"[":
        answer = await collect_only_event(parts, frame_only_event(text, adapt_cloudevent), charge, arrival)
        return _answer({"success": True, **read_late(answer)})
    await charge.raise_to(1 + len(text) // EVENT_BYTES_MAX)
    batch = await parts.collector.read_batch(b'{"batch":%b}' % text)
    return _answer(
        await collect_adapted(parts, EventBatch(AdaptedEvents(batch.events, adapt_cloudevent)), charge, arrival)
    )


@post(
    POSTHOG_PATHS,
    status_code=200,
    opt=make_collecting_options(adapter_docs.POSTHOG),
    operation_id=name_by_path("collectPosthog", POSTHOG_PATHS[0]),
    summary="Collect events of PostHog's SDKs",
    description="One event, a list or a batch; JSON, gzip, or a form with base64. `api_key` or `token` is the key.",
    tags=["collect"],
)
async def collect_posthog(request: AnyRequest) -> Response[bytes]:
    parts = find_dependencies(request)
    arrival = read_arrival(request, parts)
    opener = partial(open_body, compression=request.query_params.get("compression"))
    body, charge = await receive(request, parts, arrival, BodyFormat(opener, find_posthog_keys, POSTHOG_HINT))
    raw_batch = frame_batch(body)
    if raw_batch is None:
        answer = await collect_only_event(parts, adapt_single(body), charge, arrival, "posthog")
    else:
        await charge.raise_to(1 + len(body) // EVENT_BYTES_MAX)
        batch = adapt_batch(await parts.collector.read_batch(raw_batch), body)
        answer = await collect_adapted(parts, batch, charge, arrival, "posthog")
    return _answer({"status": 1, **answer})


@post(
    POSTHOG_FLAG_PATHS,
    status_code=200,
    opt={"scope": None, "docs": adapter_docs.POSTHOG_FLAGS},
    operation_id=name_by_path("readPosthogFlags", POSTHOG_FLAG_PATHS[1]),
    summary="What PostHog's SDKs ask before they evaluate flags",
    description="All features beside events are off. The same for every key.",
    tags=["collect"],
)
async def posthog_flags() -> dict[str, Any]:
    return {**adapter_docs.POSTHOG_CONFIG, **adapter_docs.NO_FLAGS}


@get(
    "/array/{token:str}/config",
    opt={"scope": None, "docs": adapter_docs.POSTHOG_FLAGS},
    operation_id="readPosthogConfig",
    summary="The configuration that PostHog's browser SDK asks for",
    description="All features beside events are off. The same for every key.",
    tags=["collect"],
)
async def posthog_config(token: FromPath[str]) -> dict[str, Any]:
    return {"token": token, **adapter_docs.POSTHOG_CONFIG}


@post(
    PLAUSIBLE_PATH,
    status_code=202,
    opt=make_collecting_options(adapter_docs.PLAUSIBLE),
    summary="Collect an event of Plausible's script or API",
    description="The key is in the query: the script's `data-api` ends with `/api/event?writeKey=KEY`. A visitor is "
    "named by a hash that lasts a day.",
    tags=["collect"],
)
async def collect_plausible(request: AnyRequest) -> Response[bytes]:
    await _collect_from_visitor(request, _PLAUSIBLE)
    return Response(content=b"ok", media_type=MediaType.TEXT, status_code=202)


@post(
    UMAMI_PATH,
    status_code=200,
    opt=make_collecting_options(adapter_docs.UMAMI),
    summary="Collect an event of Umami's script or API",
    description="`payload.website` is the write key, or the query's `writeKey` is. A visitor is named by a hash that "
    "lasts a day.",
    tags=["collect"],
)
async def collect_umami(request: AnyRequest) -> Response[bytes]:
    await _collect_from_visitor(request, _UMAMI)
    return _answer({"cache": UMAMI_CACHE})


route_handlers: list[HTTPRouteHandler] = [
    collect_cloudevents,
    collect_posthog,
    posthog_flags,
    posthog_config,
    collect_plausible,
    collect_umami,
]


async def _collect_from_visitor(request: AnyRequest, protocol: VisitorProtocol) -> None:
    """Name the visitor, count the event against its limits, and store it."""
    parts = find_dependencies(request)
    arrival = _mark_as_from_browser(read_arrival(request, parts))
    body, charge = await receive(request, parts, arrival, protocol.body_format)
    visitor = await _name_visitor(request, parts, charge, *protocol.find_client(body))
    events = frame_only_event(trim_white_space(body), lambda raw: protocol.adapt(raw, visitor))
    arrival = charge.judge_person(arrival, visitor, 1)
    await collect_only_event(parts, events, charge, arrival, protocol.name)


def _mark_as_from_browser(arrival: RequestArrival) -> RequestArrival:
    """The request describes the visitor, even if a server passes it on: its clients send the visitor's headers."""
    return msgspec.structs.replace(arrival, is_from_browser=True)


async def _name_visitor(
    request: AnyRequest, parts: Dependencies, charge: LimitCharge, address: str | None, user_agent: str | None
) -> str:
    """Name the visitor. `address` and `user_agent` are what a server says of its visitor; else the request's count."""
    salt = await parts.intake.salt.read()
    agent = user_agent or request.headers.get("user-agent") or ""
    return name_visitor(salt, charge.access.project, address or find_address(request, parts), agent)


def _answer(answer: dict[str, Any]) -> Response[bytes]:
    return Response(content=_encode(answer), media_type=MediaType.JSON)
