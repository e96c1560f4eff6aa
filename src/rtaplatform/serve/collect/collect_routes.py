"""The collecting routes: Segment's paths, in front of `collect/`.   Stage 6 of 6, and the entry to stage 1.

The body is read by its content, not by its Content-Type. Unknown query parameters are accepted, as unknown fields are:
a lost event is worse than a typo. `intake.py` finds the key and charges the limits.
"""

from __future__ import annotations

import msgspec
from litestar import MediaType, Response, post
from litestar.handlers import HTTPRouteHandler

from rtaplatform.catalog.keys.key_format import COLLECT
from rtaplatform.collect.body.senders import find_sender
from rtaplatform.core.errors import UnreadableBody
from rtaplatform.core.events import EVENT_BYTES_MAX
from rtaplatform.serve.collect import adapter_routes, ga4_routes, page_routes
from rtaplatform.serve.collect.arrivals import read_arrival
from rtaplatform.serve.collect.collect_docs import describe_batch, describe_call
from rtaplatform.serve.collect.intake import receive
from rtaplatform.serve.http.dependencies import AnyRequest, find_dependencies
from rtaplatform.serve.openapi.operation_ids import name_by_path

SINGLE_PATHS = {
    "track": ["/v1/track", "/v1/t"],
    "page": ["/v1/page", "/v1/p"],
    "screen": ["/v1/screen", "/v1/s"],
    "identify": ["/v1/identify", "/v1/i"],
    "group": ["/v1/group", "/v1/g"],
    "alias": ["/v1/alias", "/v1/a"],
}
BATCH_PATHS = ["/v1/batch", "/v1/b", "/v1/import", "/beacon/v1/batch"]
_OPEN_TO_BROWSERS = frozenset(
    [
        *BATCH_PATHS,
        *(path for paths in SINGLE_PATHS.values() for path in paths),
        *adapter_routes.PATHS,
        *ga4_routes.PATHS,
    ]
)
_SETTINGS = (("/v1/projects/", "/settings"), ("/array/", "/config"))
_encode = msgspec.json.Encoder().encode


def is_collecting(path: str) -> bool:
    """Whether browsers of any origin may send here."""
    plain = path.rstrip("/")
    if plain in _OPEN_TO_BROWSERS:
        return True
    return any(plain.startswith(start) and plain.endswith(end) for start, end in _SETTINGS)


def _make_single_route(kind: str, paths: list[str]) -> HTTPRouteHandler:
    @post(
        paths,
        status_code=200,
        opt={"scope": COLLECT, "key_in_body": True, "docs": describe_call(kind)},
        operation_id=name_by_path(f"collect{kind.title()}", f"/v1/{kind}"),
        summary=f"Collect one {kind} call",
        description="Answers once Kafka has acknowledged the event.",
        tags=["collect"],
    )
    async def collect(request: AnyRequest) -> Response[bytes]:
        return Response(content=await collect_one(request, kind), media_type=MediaType.JSON)

    return collect


async def collect_one(request: AnyRequest, kind: str) -> bytes:
    """Collect the event of a single call and return the answer's body. Raises what its route answers with."""
    parts = find_dependencies(request)
    arrival = read_arrival(request, parts)
    body, charge = await receive(request, parts, arrival)
    arrival = charge.judge_person(arrival, find_sender(body, body), 1)
    return _encode(await parts.collector.collect_single(body, kind, charge.access.project, arrival))


@post(
    BATCH_PATHS,
    status_code=200,
    opt={"scope": COLLECT, "key_in_body": True, "docs": describe_batch()},
    operation_id=name_by_path("collectBatch", BATCH_PATHS[0]),
    summary="Collect a batch of calls",
    description="Answers once Kafka has acknowledged every accepted event; rejected ones are listed. "
    "`?strict=1` answers 400 where any is rejected.",
    tags=["collect"],
)
async def collect_batch(request: AnyRequest) -> Response[bytes]:
    return Response(content=await collect_many(request), media_type=MediaType.JSON)


async def collect_many(request: AnyRequest) -> bytes:
    """Collect the events of a batch and return the answer's body. Raises what its route answers with."""
    parts = find_dependencies(request)
    arrival = read_arrival(request, parts)
    body, charge = await receive(request, parts, arrival)
    await charge.raise_to(1 + len(body) // EVENT_BYTES_MAX)
    try:
        batch = await parts.collector.read_batch(body)
    except UnreadableBody as error:
        parts.collector.keep_unreadable(body, charge.access.project, arrival, error)
        raise
    if len(batch):
        arrival = charge.judge_person(arrival, find_sender(batch.events[0], batch.events[-1]), len(batch))
    await charge.raise_to(len(batch))
    strict = request.query_params.get("strict", "") in ("1", "true")
    collect = parts.collector.collect_batch_strictly if strict else parts.collector.collect_batch
    return _encode(await collect(batch, charge.access.project, arrival))


route_handlers: list[HTTPRouteHandler] = [
    *(_make_single_route(kind, paths) for kind, paths in SINGLE_PATHS.items()),
    collect_batch,
    *adapter_routes.route_handlers,
    *ga4_routes.route_handlers,
    *page_routes.route_handlers,
]
