"""How a collecting route takes a request: find the key, charge the limits, read the body.   Stage 6 of 6.

The key is in the header, the body or the query (docs/reference/api.md, Keys). Cheap checks come first: a key in a
header before the body is read, a key in the body before the body is parsed, and the limit of the key before the work
that it limits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from litestar.exceptions import TooManyRequestsException

from rtaplatform import telemetry
from rtaplatform.catalog.keys.key_format import COLLECT
from rtaplatform.catalog.keys.key_rows import KeyAccess
from rtaplatform.collect.body.envelope import RequestArrival
from rtaplatform.collect.body.write_keys import find_write_keys
from rtaplatform.collect.steps.bots import RATE_MARK
from rtaplatform.core.errors import Forbidden
from rtaplatform.serve.collect.arrivals import add_bot_mark
from rtaplatform.serve.http import limits
from rtaplatform.serve.http.access import (
    find_address,
    find_key,
    read_basic_user,
    read_bearer,
    refuse_unknown,
    require_scope,
    take,
)
from rtaplatform.serve.http.bodies import read_body
from rtaplatform.serve.http.dependencies import AnyRequest, Dependencies, find_dependencies
from rtaplatform.serve.limits.holder_limits import ADDRESS, BROWSER, PERSON


def _keep(body: bytes) -> bytes:
    return body


@dataclass(frozen=True)
class BodyFormat:
    """How the bodies of a protocol are opened, where they name their key, and what to tell a sender without one."""

    open: Callable[[bytes], bytes] = _keep
    find_keys: Callable[[bytes], list[str]] = find_write_keys
    key_hint: str = "Send `Authorization: Bearer KEY`, or the key as `writeKey` in the body or in the query."


SEGMENT_BODY = BodyFormat()


class LimitCharge:
    """The events that a request has charged to its key's limit. A refused request keeps its charge."""

    def __init__(self, request: AnyRequest, access: KeyAccess, *, is_from_browser: bool) -> None:
        self._request, self.access, self._events_charged = request, access, 0
        self._is_from_browser, self._parts = is_from_browser, find_dependencies(request)

    async def raise_to(self, events: int) -> None:
        """Charge up to `events` in total, at most the limit. Raises TooManyRequestsException."""
        events = min(events, self._parts.limits.events_max or events)
        if events > self._events_charged:
            # The address first: who is refused there takes nothing of the key's limit.
            self._take_from_address(events - self._events_charged)
            await take(self._request, limits.COLLECT, self.access, events - self._events_charged)
            self._events_charged = events

    def judge_person(self, arrival: RequestArrival, person: str | None, events: int) -> RequestArrival:
        """Charge events that are all of one person. Marks a visitor of pages who is too fast for one.

        Raises TooManyRequestsException.
        """
        if person is None:
            return arrival
        holders, bot_limit = self._parts.limits.holders, self._parts.intake.bot_events_per_minute
        self._take_from_holder(PERSON, person, events)
        if not bot_limit or not arrival.is_from_browser:
            return arrival
        if holders.count(RATE_MARK, self.access.project, person, events) <= bot_limit:
            return arrival
        return msgspec.structs.replace(arrival, client=add_bot_mark(arrival.client, RATE_MARK))

    def _take_from_address(self, events: int) -> None:
        address = find_address(self._request, self._parts)
        if self._is_from_browser:
            self._take_from_holder(BROWSER, address, events)
        self._take_from_holder(ADDRESS, address, events)

    def _take_from_holder(self, kind: str, holder: str, events: int) -> None:
        try:
            self._parts.limits.holders.take(kind, self.access.key_id, holder, events)
        except TooManyRequestsException:
            self._request.scope["state"].pop("allowance", None)  # the answer tells of the limit that refused
            raise


async def receive(
    request: AnyRequest, parts: Dependencies, arrival: RequestArrival, body_format: BodyFormat = SEGMENT_BODY
) -> tuple[bytes, LimitCharge]:
    """Read the body, find its key and charge one event: before the body is read, if the header has the key."""
    if (access := await _find_in_header(request, parts, body_format.key_hint)) is not None:
        charge = LimitCharge(request, access, is_from_browser=arrival.is_from_browser)
        await charge.raise_to(1)
        return body_format.open(await _read(request, parts)), charge
    body = body_format.open(await _read(request, parts))
    access = await _find_elsewhere(request, parts, body_format.find_keys(body), body_format.key_hint)
    charge = LimitCharge(request, access, is_from_browser=arrival.is_from_browser)
    await charge.raise_to(1)
    return body, charge


async def _read(request: AnyRequest, parts: Dependencies) -> bytes:
    body = await read_body(request.receive, request.headers.get("content-encoding"), parts.intake.body_bytes_max)
    telemetry.COLLECT_BYTES.inc(len(body))
    return body


async def _find_in_header(request: AnyRequest, parts: Dependencies, hint: str) -> KeyAccess | None:
    """Find a key in Bearer or Basic. An unknown Bearer is ignored, an unknown Basic user name is refused."""
    header = request.headers.get("authorization")
    bearer, user = read_bearer(header), read_basic_user(header)
    access = await find_key(request, parts, bearer or user)
    if user and access is None:
        await refuse_unknown(request, hint=hint)
    return None if access is None else _admit(request, parts, access)


async def _find_elsewhere(request: AnyRequest, parts: Dependencies, keys: list[str], hint: str) -> KeyAccess:
    """Find a key among those of the body, else in the query. Raises Unauthorized, Forbidden."""
    query_key = request.query_params.get("writeKey")
    for key in keys or ([query_key] if query_key else []):
        if (access := await find_key(request, parts, key)) is not None:
            return _admit(request, parts, access)
    return await refuse_unknown(request, hint=hint)


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
