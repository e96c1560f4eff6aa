"""Turn records into what a feed shows: the event as understood, or why it is none.   stream → [feed] → serve.   Pure.

The decoder is that of the workers, so a feed and the totals agree on what an event says. What a feed cannot know is
what the store knows: `status` is judged by the records that this reader has read, and no others. So an event whose
first copy came long ago is shown as `counted`, though the workers leave it out.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import msgspec
from msgspec import Struct

from rtaplatform.core.caps import NO_PRODUCT
from rtaplatform.core.commerce import read_properties
from rtaplatform.core.errors import Quarantined
from rtaplatform.core.events import (
    BEFORE_PROJECT,
    COLLECTED_HEADER,
    COMMERCE_EVENTS,
    DEAD_LETTERS_TOPIC,
    EVENT_TOPICS,
    FUTURE_MS_MAX,
    REJECTED_TOPIC,
    Reason,
)
from rtaplatform.core.time.buckets import DAY_MS, RETENTION_MS, BucketKind
from rtaplatform.core.time.timestamps import format_iso_utc
from rtaplatform.core.values.amounts import SCALE_DIGITS
from rtaplatform.feed.item_fields import PRODUCTS_MAX, describe_fields, describe_marks, read_persons
from rtaplatform.feed.remedies import find_remedy
from rtaplatform.process.decode.commerce import EventCommerce, read_commerce
from rtaplatform.process.decode.fast import DecodedEvent, read_event
from rtaplatform.stream.port import Partition, TailRecord

COUNTED, DUPLICATE, LATE, DEAD, REJECTED = "counted", "duplicate", "late", "dead", "rejected"
STATUSES = (COUNTED, DUPLICATE, LATE, DEAD, REJECTED)
IDS_KEPT = 10_000
RAW_CHARACTERS_MAX = 8_192
LATE_MS = RETENTION_MS[BucketKind.DAY] + DAY_MS


class ItemProblem(Struct, frozen=True):
    """Why an event is not counted. `reason` is one of `core.events.Reason`."""

    reason: str
    detail: str
    field: str | None = None
    hint: str | None = None


class FeedItem(Struct, frozen=True):
    """An event as a feed shows it. `id` is topic:partition:offset. `raw` is text: a page must never read it as HTML."""

    id: str
    status: str
    time: str | None
    received_at: str | None
    event: str | None
    source: str | None
    persons: dict[str, str]
    fields: dict[str, Any]
    marks: list[str]
    problem: ItemProblem | None
    raw: str
    is_raw_cut: bool = False


class EventReader:
    """Reads the records of one project, in order."""

    def __init__(self, project: str) -> None:
        self._project, self._slug = project, project.encode()
        self._ids: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._stream_times_ms: dict[Partition, int] = {}

    def may_be_ours(self, record: TailRecord) -> bool:
        """Whether the record may be of the project: cheap, and never wrongly False for what an encoder writes."""
        if record.partition.topic in EVENT_TOPICS:
            return self._slug in record.value or b"\\u" in record.value
        return record.headers.get("rta-project") == self._slug

    def read(self, record: TailRecord) -> FeedItem | None:
        """Return what the record is; None if it is of another project, or is shown already."""
        topic = record.partition.topic
        if topic == REJECTED_TOPIC:
            return read_letter(record, REJECTED)
        if topic == DEAD_LETTERS_TOPIC:
            # All other dead letters were recognised when the event itself was read.
            is_new = record.headers.get("rta-reason") == b"internal"
            return read_letter(record, DEAD) if is_new else None
        return self._read_event(record)

    def _read_event(self, record: TailRecord) -> FeedItem | None:
        stream_time_ms = self._advance(record)
        received_ms = record.timestamp_ms if record.timestamp_ms >= 0 else stream_time_ms
        values = _read_values(record.value)
        if values.get("projectId") != self._project:
            return None
        try:
            event = read_event(
                record.value,
                topic_source=EVENT_TOPICS[record.partition.topic],
                record_timestamp_ms=received_ms,
                was_collected=COLLECTED_HEADER in record.headers,
            )
            commerce, fields = _read_commerce(event)
            if event.time_ms > stream_time_ms + FUTURE_MS_MAX:
                raise Quarantined(Reason.TIME_IN_FUTURE, "The event's time is more than 5 minutes ahead.")
        except Quarantined as error:
            if error.reason in BEFORE_PROJECT:
                return None  # as its dead letter, which the project does not see either
            problem = ItemProblem(str(error.reason), error.detail, hint=find_remedy(str(error.reason)))
            return _make_item(record, DEAD, values, problem=problem)
        fields |= _describe_amounts(commerce)
        return _make_item(record, self._judge(record, event, stream_time_ms), values, event=event, fields=fields)

    def _advance(self, record: TailRecord) -> int:
        """The stream time at the record, as far as this reader has read its partition."""
        place = record.partition
        time_ms = max(self._stream_times_ms.get(place, -1), record.timestamp_ms)
        self._stream_times_ms[place] = time_ms
        return time_ms

    def _judge(self, record: TailRecord, event: DecodedEvent, stream_time_ms: int) -> str:
        if event.is_checked:
            key = (record.partition.topic, event.id)
            if key in self._ids:
                return DUPLICATE
            self._ids[key] = None
            if len(self._ids) > IDS_KEPT:
                self._ids.popitem(last=False)
        return LATE if stream_time_ms - event.time_ms >= LATE_MS else COUNTED


def read_letter(record: TailRecord, status: str) -> FeedItem:
    """A dead letter, or an event that the collector refused: its headers say why."""
    headers = {name: value.decode(errors="replace") for name, value in record.headers.items()}
    reason = headers.get("rta-reason", "")
    problem = ItemProblem(reason, headers.get("rta-detail", ""), headers.get("rta-field") or None, find_remedy(reason))
    values = _read_values(record.value)
    item = _make_item(record, status, values, problem=problem, source=headers.get("rta-source") or None)
    return msgspec.structs.replace(
        item,
        id=headers.get("rta-origin") or record.id,
        received_at=_to_iso(int(headers.get("rta-timestamp") or record.timestamp_ms)),
        is_raw_cut=item.is_raw_cut or "rta-cut" in headers,
    )


def _make_item(
    record: TailRecord,
    status: str,
    values: dict[str, Any],
    *,
    event: DecodedEvent | None = None,
    fields: dict[str, Any] | None = None,
    problem: ItemProblem | None = None,
    source: str | None = None,
) -> FeedItem:
    sent_name, topic_source = values.get("event"), EVENT_TOPICS.get(record.partition.topic)
    raw = record.value.decode(errors="replace")
    return FeedItem(
        id=record.id,
        status=status,
        time=_to_iso(event.time_ms) if event else None,
        received_at=_to_iso(record.timestamp_ms),
        event=event.name if event else (sent_name[:256] if isinstance(sent_name, str) else None),
        source=event.source if event else source or topic_source,
        persons=read_persons(values),
        fields=describe_fields(values, event) | (fields or {}),
        marks=describe_marks(values, record.headers),
        problem=problem,
        raw=raw[:RAW_CHARACTERS_MAX],
        is_raw_cut=len(raw) > RAW_CHARACTERS_MAX,
    )


def _read_commerce(event: DecodedEvent) -> tuple[EventCommerce | None, dict[str, Any]]:
    """What a commerce event says, in the currency that it names. Raises `Quarantined`."""
    if event.name not in COMMERCE_EVENTS:
        return None, {}
    currency = read_properties(event.properties or b"{}").currency or ""
    commerce = read_commerce(event.dimensions.sent_name, event.properties, currency)
    return commerce, {"currency": currency} if currency else {}


def _describe_amounts(commerce: EventCommerce | None) -> dict[str, Any]:
    if commerce is None:
        return {}
    amounts = {"revenue": commerce.revenue, "units": commerce.units, "refunds": commerce.refunds}
    products = [product for product in commerce.products if product != NO_PRODUCT]
    fields: dict[str, Any] = {"product_ids": products[:PRODUCTS_MAX]} if products else {}
    fields |= {name: amount / 10**SCALE_DIGITS for name, amount in amounts.items() if amount}
    if commerce.has_unreadable:
        fields["has_unreadable_amount"] = True
    return fields


def _read_values(value: bytes) -> dict[str, Any]:
    try:
        values = msgspec.json.decode(value)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return {}
    return values if isinstance(values, dict) else {}


def _to_iso(time_ms: int) -> str | None:
    return format_iso_utc(time_ms) if time_ms >= 0 else None
