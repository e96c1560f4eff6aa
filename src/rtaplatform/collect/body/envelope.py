"""Segment's envelopes: one event, or a batch with defaults for its events.   Stage 1 of 6, before the steps.

In: a decompressed body. Out: drafts. Each event of a batch is cut out as sent, so that its size is known and a bad
event does not spoil the others. Unreadable defaults of a batch are ignored. Raises `UnreadableBody` if the body has no
readable envelope. Elements of a list are counted before an object is made for each: a body of 4 MiB may hold two
million.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from rtaplatform.collect.body.batch_cutting import cut_batch, make_too_many_events_error
from rtaplatform.collect.body.batch_defaults import read_defaults
from rtaplatform.collect.body.draft import UNKNOWN_CLIENT, Draft, RequestClient, RequestContext
from rtaplatform.collect.body.json_reading import UnreadableJson, decode, read_client_time, trim_white_space
from rtaplatform.core.errors import UnreadableBody
from rtaplatform.core.events import BATCH_EVENTS_MAX, Reason
from rtaplatform.core.time.timestamps import format_iso_utc

SMALL_VALUE_BYTES_MAX = 1_000  # of a time
NOTHING = Raw(b"null")


class EventBatch(Struct):
    """A batch's events and fields, as sent. Other fields (messageId, sequence) do not concern events."""

    events: Sequence[Raw | bytes]
    context: Raw | bytes = NOTHING
    integrations: Raw | bytes = NOTHING
    sent_at: Any = None
    timestamp: Any = None

    def __len__(self) -> int:
        return len(self.events)

    def __bool__(self) -> bool:
        return True


class RequestArrival(Struct, frozen=True):
    """Facts about the request apart from its body."""

    received_ms: int
    sent_at: str | None = None  # the header SentAt
    is_retry: bool = False
    is_from_browser: bool = False
    user_agent: str | None = None
    route: str = ""
    client: RequestClient = UNKNOWN_CLIENT
    denied: frozenset[str] = frozenset()


class _Envelope(Struct, rename="camel"):
    batch: Raw = NOTHING
    context: Raw = NOTHING
    integrations: Raw = NOTHING
    sent_at: Raw = NOTHING
    timestamp: Raw = NOTHING


_ABSENT = Raw(b"")
# The first elements of a list, and one more. The elements after them are checked to be JSON, but no object is made.
_FIRST = msgspec.defstruct(
    "FirstEvents", [(f"event_{n}", Raw, _ABSENT) for n in range(BATCH_EVENTS_MAX + 1)], array_like=True
)
_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_first = msgspec.json.Decoder(_FIRST).decode
_decode_list = msgspec.json.Decoder(list[Raw]).decode
_ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


def read_batch(body: bytes) -> EventBatch:
    """Read the batch in a body. Raises `UnreadableBody`."""
    return read_whole_batch(body) or read_broken_batch(body)


def read_whole_batch(body: bytes) -> EventBatch | None:
    """Read the batch in a body that is JSON as a whole. Else None, and the slower `read_broken_batch` decides."""
    try:
        envelope = _decode_envelope(trim_white_space(body))
        events = _list_events(envelope.batch)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return EventBatch(
        events,
        envelope.context,
        envelope.integrations,
        _read_small_value(envelope.sent_at),
        _read_small_value(envelope.timestamp),
    )


def read_broken_batch(body: bytes) -> EventBatch:
    cut = cut_batch(trim_white_space(body))
    if cut.events is None:
        raise _make_no_batch_error()
    member = cut.members.get
    return EventBatch(
        cut.events,
        member(b"context", NOTHING),
        member(b"integrations", NOTHING),
        _read_small_value(member(b"sentAt", b"")),
        _read_small_value(member(b"timestamp", b"")),
    )


def draft_batch(batch: EventBatch, project: str, arrival: RequestArrival) -> Iterator[Draft]:
    """Make the drafts of a batch one by one; what they share is read once."""
    request = RequestContext(
        project=project,
        received_ms=arrival.received_ms,
        received_at=format_iso_utc(arrival.received_ms),
        sent_at_ms=_find_sent_at_ms(batch.sent_at, arrival),
        is_retry=arrival.is_retry,
        is_from_browser=arrival.is_from_browser,
        user_agent=arrival.user_agent,
        route=arrival.route,
        client=arrival.client,
        denied=arrival.denied,
        time=batch.timestamp,
        defaults=read_defaults(batch.context, batch.integrations),
    )
    return (Draft(request, index, bytes(raw)) for index, raw in enumerate(batch.events))


def draft_single(body: bytes, kind: str, project: str, arrival: RequestArrival) -> Draft:
    request = RequestContext(
        project=project,
        received_ms=arrival.received_ms,
        received_at=format_iso_utc(arrival.received_ms),
        type=kind,
        sent_at_ms=_find_sent_at_ms(None, arrival),
        is_retry=arrival.is_retry,
        is_from_browser=arrival.is_from_browser,
        user_agent=arrival.user_agent,
        route=arrival.route,
        client=arrival.client,
        denied=arrival.denied,
    )
    return Draft(request, 0, trim_white_space(body))


def _list_events(batch: Raw) -> Sequence[Raw]:
    text = bytes(batch)
    if text[:1] != b"[":
        raise _make_no_batch_error()
    if text.count(b",") < BATCH_EVENTS_MAX:  # so it has at most BATCH_EVENTS_MAX elements
        return _decode_list(text)
    first = msgspec.structs.astuple(_decode_first(text))
    if len(first[-1]):
        raise make_too_many_events_error()
    return first[: first.index(_ABSENT)]


def _make_no_batch_error() -> UnreadableBody:
    return UnreadableBody("`batch` is a list of events.", field="batch", reason=Reason.INVALID_FIELD)


def _read_small_value(raw: Raw | bytes) -> Any:
    """The value of a short text; None if it is long or cannot be read."""
    text = bytes(raw)
    if not text or len(text) > SMALL_VALUE_BYTES_MAX:
        return None
    try:
        return decode(text, _ANY)
    except UnreadableJson:
        return None


def _find_sent_at_ms(value: Any, arrival: RequestArrival) -> int | None:
    sent_at_ms = read_client_time(value)
    return read_client_time(arrival.sent_at) if sent_at_ms is None else sent_at_ms
