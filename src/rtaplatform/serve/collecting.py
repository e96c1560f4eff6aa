"""The collecting routes: Segment's paths, in front of `collect/`.   Stage 6 of 6, and the entry to stage 1.

Decides by content, not by Content-Type. A key stands in the header, the body or the query (docs/reference/api.md,
Access). Unknown query parameters pass, as unknown fields do: a lost event is worse than a slip.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec
from litestar import MediaType, Request, Response, get, post
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from rtaplatform import telemetry
from rtaplatform.catalog.keys import COLLECT, Access
from rtaplatform.collect.envelope import Arrival, as_key, read_batch, read_single_key
from rtaplatform.serve import limits
from rtaplatform.serve.access import basic_user_of, bearer_of, find_key, refuse_unknown, require_scope, take
from rtaplatform.serve.bodies import read_body
from rtaplatform.serve.collect_docs import docs_of_batch, docs_of_call
from rtaplatform.serve.parts import Parts, parts_of

AnyRequest = Request[Any, Any, State]
SINGLE_PATHS = {
    "track": ["/v1/track", "/v1/t"],
    "page": ["/v1/page", "/v1/p"],
    "screen": ["/v1/screen", "/v1/s"],
    "identify": ["/v1/identify", "/v1/i"],
    "group": ["/v1/group", "/v1/g"],
    "alias": ["/v1/alias", "/v1/a"],
}
BATCH_PATHS = ["/v1/batch", "/v1/b", "/v1/import", "/beacon/v1/batch"]
SETTINGS_PATH = "/v1/projects/{write_key:str}/settings"
_OPEN_TO_BROWSERS = frozenset([*BATCH_PATHS, *(path for paths in SINGLE_PATHS.values() for path in paths)])
_encode = msgspec.json.Encoder().encode


def is_collecting(path: str) -> bool:
    """Whether browsers of any origin may send here."""
    plain = path.rstrip("/")
    return plain in _OPEN_TO_BROWSERS or (plain.startswith("/v1/projects/") and plain.endswith("/settings"))


def _single_route(kind: str, paths: list[str]) -> HTTPRouteHandler:
    @post(
        paths,
        status_code=200,
        opt={"scope": COLLECT, "key_in_body": True, "docs": docs_of_call(kind)},
        summary=f"Collect one {kind} call",
        description="Answers once Kafka has acknowledged the event.",
        tags=["collect"],
    )
    async def collect(request: AnyRequest) -> Response[bytes]:
        parts, arrival = parts_of(request), _arrival_of(request)
        known = await _find_in_header(request, parts)
        body = await _read(request, parts)
        access = await _authenticate(request, parts, known, None if known else read_single_key(body))
        await take(request, limits.COLLECT, access)
        return _answer(await parts.collector.collect_single(body, kind, access.project, arrival))

    return collect


@post(
    BATCH_PATHS,
    status_code=200,
    opt={"scope": COLLECT, "key_in_body": True, "docs": docs_of_batch()},
    summary="Collect a batch of calls",
    description="Answers once Kafka has acknowledged every accepted event; rejected ones are listed. "
    "`?strict=1` answers 400 where any is rejected.",
    tags=["collect"],
)
async def collect_batch(request: AnyRequest) -> Response[bytes]:
    parts, arrival = parts_of(request), _arrival_of(request)
    known = await _find_in_header(request, parts)
    batch = read_batch(await _read(request, parts))
    access = await _authenticate(request, parts, known, None if known else as_key(batch.write_key))
    await take(request, limits.COLLECT, access, max(1, len(batch.batch or ())))
    strict = request.query_params.get("strict", "") in ("1", "true")
    collect = parts.collector.collect_batch_strictly if strict else parts.collector.collect_batch
    return _answer(await collect(batch, access.project, arrival))


@get(
    SETTINGS_PATH,
    opt={"scope": None},
    summary="What a browser SDK asks before it sends",
    tags=["collect"],
)
async def browser_settings(write_key: FromPath[str]) -> dict[str, Any]:
    """The same for every key, so that nothing can be learned of which keys there are."""
    return {"integrations": {"Segment.io": {"apiKey": write_key}}}


route_handlers: list[HTTPRouteHandler] = [
    *(_single_route(kind, paths) for kind, paths in SINGLE_PATHS.items()),
    collect_batch,
    browser_settings,
]


def _arrival_of(request: AnyRequest) -> Arrival:
    headers = request.headers
    retries = headers.get("x-retry-count", "")
    return Arrival(
        received_ms=time.time_ns() // 1_000_000,
        sent_at=headers.get("sentat"),
        is_retry=retries.isdecimal() and int(retries[:9]) > 0,
        from_browser="origin" in headers or "sec-fetch-mode" in headers,
    )


async def _read(request: AnyRequest, parts: Parts) -> bytes:
    body = await read_body(request.receive, request.headers.get("content-encoding"), parts.collect.batch_bytes_max)
    telemetry.COLLECT_BYTES.inc(len(body))
    return body


async def _find_in_header(request: AnyRequest, parts: Parts) -> Access | None:
    """By Bearer or Basic. A Bearer that is not ours is passed over; a Basic user name that is not ours is refused."""
    header = request.headers.get("authorization")
    bearer, user = bearer_of(header), basic_user_of(header)
    access = await find_key(request, parts, bearer or user)
    if user and access is None:
        await refuse_unknown(request)
    return None if access is None else require_scope(access, COLLECT)


async def _authenticate(request: AnyRequest, parts: Parts, known: Access | None, in_body: str | None) -> Access:
    if known is not None:
        return known
    key = in_body or request.query_params.get("writeKey")
    access = await find_key(request, parts, key)
    return require_scope(access, COLLECT) if access else await refuse_unknown(request)


def _answer(answer: dict[str, Any]) -> Response[bytes]:
    return Response(content=_encode(answer), media_type=MediaType.JSON)
