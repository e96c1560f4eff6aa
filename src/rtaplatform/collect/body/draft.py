"""The types that the steps work on: an event on its way from a request to a record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from rtaplatform.collect.body.batch_defaults import BatchDefaults
from rtaplatform.collect.enrich.locations import NOWHERE, VisitorLocation
from rtaplatform.collect.enrich.user_agents import NO_HINTS, ClientHints
from rtaplatform.core.errors import Rejected
from rtaplatform.core.events import Reason


class RequestClient(Struct, frozen=True):
    """What the request tells of its client. `languages`: Accept-Language. The client's address is in none of them."""

    languages: str = ""
    hints: ClientHints = NO_HINTS
    location: VisitorLocation = NOWHERE
    find_location: Callable[[str], VisitorLocation] | None = None  # of another address
    bot_marks: tuple[str, ...] = ()  # why the request is a bot's, beside its user agent


UNKNOWN_CLIENT = RequestClient()


class RequestContext(Struct, frozen=True):
    """Facts that all events of a request share. Times are milliseconds since 1970."""

    project: str
    received_ms: int
    received_at: str
    type: str | None = None  # from the path; None for batches
    sent_at_ms: int | None = None  # the batch's or the header's
    is_retry: bool = False
    is_from_browser: bool = False
    user_agent: str | None = None  # of the request
    route: str = ""  # the path that was asked
    client: RequestClient = UNKNOWN_CLIENT
    denied: frozenset[str] = frozenset()  # names of properties and traits that are not stored
    time: Any = None  # of the batch, for events without a time
    defaults: BatchDefaults = BatchDefaults()


class Draft(Struct):
    """One event. `fields` become the record, as sent unless a step changes them; `values` are the same, decoded."""

    request: RequestContext
    index: int
    raw: bytes
    fields: dict[str, Any] = {}
    values: dict[str, Any] = {}
    marks: list[str] = []
    additions: dict[str, Any] = {}  # what steps add to the context
    source: str = ""
    is_late: bool = False  # too old to be counted
    value: bytes = b""


class DraftRefused(Struct, frozen=True):
    """Why an event is refused; `message_id` if the event has one."""

    index: int
    reason: Reason
    field: str | None
    detail: str
    message_id: str | None = None


class CollectedRecord(Struct, frozen=True):
    """A record for Kafka."""

    topic: str
    key: bytes
    value: bytes
    timestamp_ms: int
    bytes_as_sent: int


class EventRefused(Rejected):
    """The event of a single call is refused."""

    def __init__(self, refusal: DraftRefused) -> None:
        super().__init__(refusal.detail, field=refusal.field)
        self.reason = refusal.reason


class BatchRefused(Rejected):
    """Some events of a batch are refused, and the client asked for an error in this case; the others are stored."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(f"{len(answer['rejected'])} of the batch's events are rejected; the others are stored.")
        self.answer = answer
