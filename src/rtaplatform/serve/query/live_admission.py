"""Who may open a live stream or socket, by key, session or ticket, and for how long.   Stage 6 of 6.

Whether the key stays valid is watched meanwhile (`key_watch.py`).
"""

from __future__ import annotations

import random
from contextlib import AsyncExitStack

import msgspec
from msgspec import Struct

from rtaplatform.catalog.keys.key_rows import KeyAccess
from rtaplatform.core.errors import PlatformError, Unauthorized
from rtaplatform.serve.http.access import AnyConnection, find_bearer, find_key_hash, refuse_unknown
from rtaplatform.serve.http.dependencies import Dependencies, require_query_services
from rtaplatform.serve.http.problems import describe
from rtaplatform.serve.http.tickets import CHAIN_MARK, LIFE_SECONDS, Ticket
from rtaplatform.serve.query.key_watch import SCOPE as SCOPE
from rtaplatform.serve.query.sse import write_event

AGE_MAX_S = 3_600.0  # of a stream that was opened with a key
RETRY_MS = (1_000, 2_500)  # chosen at random, so that clients do not all reconnect at once
LAST_ID_CHARS_MAX = 300
NEW_TICKET = "Ask for a new one with POST /v1/live/tickets."
TICKET_IS_OVER = f"The ticket's {LIFE_SECONDS // 60} minutes are over."


class LiveAdmission(Struct, frozen=True):
    """What opens a stream: the hash of its key, and its ticket if it has one."""

    key_hash: bytes
    ticket: Ticket | None = None
    last_id: str | None = None

    @property
    def chain(self) -> str:
        """The suffix of all event ids of this stream."""
        return f"{CHAIN_MARK}{self.ticket.chain}" if self.ticket else ""

    @property
    def is_reconnect(self) -> bool:
        return self.ticket is not None and self.ticket.continues(self.last_id)

    def find_life_s(self, parts: Dependencies) -> float:
        """Return how long the connection may last."""
        return (
            AGE_MAX_S if self.ticket is None else require_query_services(parts).tickets.count_seconds_left(self.ticket)
        )


def get_admission(connection: AnyConnection) -> LiveAdmission:
    """Return what `find_by_ticket` has found."""
    admission: LiveAdmission = connection.scope["state"]["admission"]
    return admission


async def find_by_ticket(connection: AnyConnection, parts: Dependencies) -> KeyAccess | None:
    """Find the access of the ticket in the query, else of the key in the header. Raises Unauthorized."""
    text, last_id = connection.query_params.get("ticket"), _read_last_id(connection)
    if text is None:
        access = await find_bearer(connection, parts)
        if access is not None:
            connection.scope["state"]["admission"] = LiveAdmission(find_key_hash(connection), last_id=last_id)
        return access
    ticket = await require_query_services(parts).tickets.read(text)
    if ticket is None:
        await refuse_unknown(connection, "The ticket is none of ours, or too old.", hint=NEW_TICKET)
    if require_query_services(parts).tickets.is_over(ticket):
        raise Unauthorized(TICKET_IS_OVER, field="ticket", hint=NEW_TICKET)
    connection.scope["state"]["admission"] = LiveAdmission(ticket.key_hash, ticket, last_id)
    return await parts.keys.find_hashed(ticket.key_hash)


def _read_last_id(connection: AnyConnection) -> str | None:
    """Return the last event id: of the header, which a browser keeps up to date, else of the parameter."""
    last_id = connection.headers.get("last-event-id") or connection.query_params.get("last_event_id")
    return last_id[:LAST_ID_CHARS_MAX] if last_id else None


async def claim_ticket(parts: Dependencies, admission: LiveAdmission, stack: AsyncExitStack) -> None:
    """Claim the ticket, which opens one stream only. The claim is undone if no stream is opened."""
    ticket = admission.ticket
    if ticket is None or admission.is_reconnect:
        return
    if not await require_query_services(parts).tickets.claim(ticket):
        raise Unauthorized(
            "The ticket has opened its stream. Only a reconnect of that stream, with its last id, may use it again.",
            field="ticket", hint=NEW_TICKET,
        )  # fmt: skip

    async def release(kind: type[BaseException] | None, *_: object) -> bool:
        if kind is not None:
            await require_query_services(parts).tickets.release(ticket)
        return False

    stack.push_async_exit(release)


def choose_retry_ms() -> int:
    return random.randrange(*RETRY_MS)  # noqa: S311  # spreads reconnects; no secret


def write_problem_event(error: PlatformError) -> bytes:
    return write_event("problem", msgspec.json.encode(describe(error)))
