"""Segment's envelopes: one event, or a batch with defaults for its events.   Stage 1 of 6, before the steps.

In: a body, decompressed. Out: drafts. Each event of a batch is cut out as sent, so that its size is known
and a bad one does not spoil the others. Raises `UnreadableBody` where nothing can be made of the body.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

from rtaplatform.collect.draft import Call, Draft
from rtaplatform.collect.reading import Unreadable, decode, decode_to_look_at, read_client_time
from rtaplatform.core.errors import UnreadableBody
from rtaplatform.core.times import iso_utc

T = TypeVar("T")


class Batch(Struct, rename="camel"):
    """A batch's own fields; the others (messageId, sequence) are no event's, and pass unread."""

    batch: list[Raw] | None = None
    context: Raw = Raw(b"null")
    integrations: Raw = Raw(b"null")
    sent_at: Any = None
    timestamp: Any = None
    write_key: Any = None


class _Keyed(Struct, rename="camel"):
    write_key: Any = None


class Arrival(Struct, frozen=True):
    """What the request says beside its body."""

    received_ms: int
    sent_at: str | None = None  # the header SentAt
    is_retry: bool = False
    from_browser: bool = False


_BATCH = msgspec.json.Decoder(Batch)
_KEYED = msgspec.json.Decoder(_Keyed)
_OBJECT = msgspec.json.Decoder(dict[str, Raw])


def read_batch(body: bytes) -> Batch:
    batch = _read(body, _BATCH)
    if batch.batch is None:
        raise UnreadableBody("`batch` is a list of events.", field="batch")
    return batch


def read_single_key(body: bytes) -> str | None:
    """The writeKey of a single event's body."""
    return as_key(_read(body, _KEYED).write_key)


def as_key(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def draft_batch(batch: Batch, project: str, arrival: Arrival) -> list[Draft]:
    context = _context_of(batch)
    call = Call(
        project=project,
        received_ms=arrival.received_ms,
        received_at=iso_utc(arrival.received_ms),
        sent_at_ms=_sent_at_ms(batch.sent_at, arrival),
        is_retry=arrival.is_retry,
        from_browser=arrival.from_browser,
        time=batch.timestamp,
        context=context,
        context_values={name: decode_to_look_at(value) for name, value in context.items()},
        integrations=None if bytes(batch.integrations) == b"null" else batch.integrations,
    )
    return [Draft(call, index, bytes(raw)) for index, raw in enumerate(batch.batch or ())]


def draft_single(body: bytes, kind: str, project: str, arrival: Arrival) -> Draft:
    call = Call(
        project=project,
        received_ms=arrival.received_ms,
        received_at=iso_utc(arrival.received_ms),
        type=kind,
        sent_at_ms=_sent_at_ms(None, arrival),
        is_retry=arrival.is_retry,
        from_browser=arrival.from_browser,
    )
    return Draft(call, 0, body)


def _sent_at_ms(value: Any, arrival: Arrival) -> int | None:
    said = read_client_time(value)
    return read_client_time(arrival.sent_at) if said is None else said


def _context_of(batch: Batch) -> dict[str, Raw]:
    if bytes(batch.context) == b"null":
        return {}
    try:
        return decode(batch.context, _OBJECT)
    except Unreadable as error:
        raise UnreadableBody("`context` is an object.", field="context") from error


def _read(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    try:
        return decode(body, decoder)
    except Unreadable as error:
        raise UnreadableBody(f"The body cannot be read: {error.detail}") from error
