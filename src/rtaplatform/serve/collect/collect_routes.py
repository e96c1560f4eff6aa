"""The collecting routes: Segment's paths, in front of `collect/`.   Stage 6 of 6, and the entry to stage 1.

The body is read by its content, not by its Content-Type. The key is in the header, the body or the query
(docs/reference/api.md, Access). Unknown query parameters are accepted, as unknown fields are: a lost event is worse
than a typo. Cheap checks come first: a key in a header before the body is read, a key in the body before the body is
parsed, and the limit of the key before the work that it limits.
"""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import MediaType, Response, post
from litestar.handlers import HTTPRouteHandler

from rtaplatform import telemetry
from rtaplatform.catalog.keys.key_format import COLLECT
from rtaplatform.catalog.keys.key_rows import KeyAccess
from rtaplatform.collect.body.write_keys import find_write_keys
from rtaplatform.core.errors import Forbidden
from rtaplatform.core.events import EVENT_BYTES_MAX
from rtaplatform.serve.collect import page_routes
from rtaplatform.serve.collect.arrivals import read_arrival
from rtaplatform.serve.collect.collect_docs import docs_of_batch, docs_of_call
from rtaplatform.serve.http import limits
from rtaplatform.serve.http.access import basic_user_of, bearer_of, find_key, refuse_unknown, require_scope, take
from rtaplatform.serve.http.bodies import read_body
from rtaplatform.serve.http.dependencies import AnyRequest, Dependencies, dependencies_of

SINGLE_PATHS = {
    "track": ["/v1/track", "/v1/t"],
    "page": ["/v1/page", "/v1/p"],
    "screen": ["/v1/screen", "/v1/s"],
    "identify": ["/v1/identify", "/v1/i"],
    "group": ["/v1/group", "/v1/g"],
    "alias": ["/v1/alias", "/v1/a"],
}
BATCH_PATHS = ["/v1/batch", "/v1/b", "/v1/import", "/beacon/v1/batch"]
_OPEN_TO_BROWSERS = frozenset([*BATCH_PATHS, *(path for paths in SINGLE_PATHS.values() for path in paths)])
_encode = msgspec.json.Encoder().encode


def is_collecting(path: str) -> bool:
    """Whether browsers of any origin may send here."""
    plain = path.rstrip("/")
    return plain in _OPEN_TO_BROWSERS or (plain.startswith("/v1/projects/") and plain.endswith("/settings"))


def _make_single_route(kind: str, paths: list[str]) -> HTTPRouteHandler:
    @post(
        paths,
        status_code=200,
        opt={"scope": COLLECT, "key_in_body": True, "docs": docs_of_call(kind)},
        summary=f"Collect one {kind} call",
        description="Answers once Kafka has acknowledged the event.",
        tags=["collect"],
    )
    async def collect(request: AnyRequest) -> Response[bytes]:
        parts = dependencies_of(request)
        arrival = read_arrival(request, parts)
        body, charge = await _receive(request, parts)
        return _answer(await parts.collector.collect_single(body, kind, charge.access.project, arrival))

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
    parts = dependencies_of(request)
    arrival = read_arrival(request, parts)
    body, charge = await _receive(request, parts)
    await charge.raise_to(1 + len(body) // EVENT_BYTES_MAX)
    batch = await parts.collector.read_batch(body)
    await charge.raise_to(len(batch))
    strict = request.query_params.get("strict", "") in ("1", "true")
    collect = parts.collector.collect_batch_strictly if strict else parts.collector.collect_batch
    return _answer(await collect(batch, charge.access.project, arrival))


route_handlers: list[HTTPRouteHandler] = [
    *(_make_single_route(kind, paths) for kind, paths in SINGLE_PATHS.items()),
    collect_batch,
    *page_routes.route_handlers,
]


class _LimitCharge:
    """The events that a request has charged to its key's limit. A refused request keeps its charge."""

    def __init__(self, request: AnyRequest, access: KeyAccess) -> None:
        self._request, self.access, self._charged = request, access, 0

    async def raise_to(self, events: int) -> None:
        """Charge up to `events` in total, at most the limit. Raises TooManyRequestsException."""
        events = min(events, dependencies_of(self._request).limits.events_max() or events)
        if events > self._charged:
            await take(self._request, limits.COLLECT, self.access, events - self._charged)
            self._charged = events


async def _receive(request: AnyRequest, parts: Dependencies) -> tuple[bytes, _LimitCharge]:
    """Read the body, find its key and charge one event: before the body is read, if the header has the key."""
    if (access := await _find_in_header(request, parts)) is not None:
        charge = _LimitCharge(request, access)
        await charge.raise_to(1)
        return await _read(request, parts), charge
    body = await _read(request, parts)
    charge = _LimitCharge(request, await _find_elsewhere(request, parts, body))
    await charge.raise_to(1)
    return body, charge


async def _read(request: AnyRequest, parts: Dependencies) -> bytes:
    body = await read_body(request.receive, request.headers.get("content-encoding"), parts.intake.body_bytes_max)
    telemetry.COLLECT_BYTES.inc(len(body))
    return body


async def _find_in_header(request: AnyRequest, parts: Dependencies) -> KeyAccess | None:
    """Find a key in Bearer or Basic. An unknown Bearer is ignored, an unknown Basic user name is refused."""
    header = request.headers.get("authorization")
    bearer, user = bearer_of(header), basic_user_of(header)
    access = await find_key(request, parts, bearer or user)
    if user and access is None:
        await refuse_unknown(request)
    return None if access is None else _admit(request, parts, access)


async def _find_elsewhere(request: AnyRequest, parts: Dependencies, body: bytes) -> KeyAccess:
    """Find a key in the body, else in the query. Raises Unauthorized, Forbidden."""
    query_key = request.query_params.get("writeKey")
    for key in find_write_keys(body) or ([query_key] if query_key else []):
        if (access := await find_key(request, parts, key)) is not None:
            return _admit(request, parts, access)
    return await refuse_unknown(request)


def _admit(request: AnyRequest, parts: Dependencies, access: KeyAccess) -> KeyAccess:
    """Check the key's scope and, if a page sends, its origin. Raises Forbidden."""
    require_scope(access, COLLECT)
    origin = request.headers.get("origin")
    if origin is not None and not parts.origins.may_send(access.project, origin):
        request.scope["state"]["origin_refused"] = True
        raise Forbidden(
            f"Pages of {origin[:100]!r} may not send to this project.", field="Origin",
            hint="Add the origin to the project's `allowed_origins`.",
        )  # fmt: skip
    return access


def _answer(answer: dict[str, Any]) -> Response[bytes]:
    return Response(content=_encode(answer), media_type=MediaType.JSON)
