"""Decode a record to an event, or find the reason for a dead letter.   Stage 3 of 6: stream → [process] → store.

Pure. There are two readers that follow the same rules. `StrictFields` decodes what well-behaved senders send, at full
speed. What it refuses is read again field by field in `lenient.py`, which decides. The rules are in
docs/reference/rules.md; a differential test holds both readers to them.
"""

from __future__ import annotations

import msgspec
import xxhash
from msgspec import UNSET, Raw, Struct, UnsetType

from rtaplatform.core.errors import Quarantined
from rtaplatform.core.events import CALL_NAMES, KEYS_MAX, NESTING_MAX, SOURCES, Reason
from rtaplatform.core.rollups import make_field
from rtaplatform.core.time.timestamps import read_time_ms
from rtaplatform.core.values.commerce_names import find_event_name
from rtaplatform.core.values.dimensions import CACHED_CHARACTERS_MAX, as_dimension
from rtaplatform.core.values.ids import ANONYMOUS, ID_BYTES_MAX, USER, is_too_long
from rtaplatform.core.values.json_shape import AS_COLLECTED, AS_SENT, JsonFlaw, JsonLimits, find_excess, find_flaw
from rtaplatform.core.values.json_text import is_empty_object
from rtaplatform.core.values.markers import to_track_name
from rtaplatform.core.values.placeholders import is_placeholder
from rtaplatform.process.decode.context import NO_VISIT, Context, EventVisit, read_visit

SHORT_ID_CHARACTERS_MAX = ID_BYTES_MAX // 4  # such an id is within the limit of bytes, whatever its characters
CACHED_DIMENSIONS_MAX = 65_536
KEY_BYTES_MIN = len('"":0,')
_OBJECT = ord("{")
PAGE_VIEWS = (CALL_NAMES["page"], CALL_NAMES["screen"])
OWN_TIME_FROM_MS = 946_684_800_000  # 2000-01-01
OWN_TIME_UNTIL_MS = 4_102_444_800_000  # 2100-01-01


class StrictFields(Struct, gc=False):
    """The record as well-behaved senders write it."""

    projectId: str = ""
    type: str = ""
    event: str | None = None
    messageId: str | None = None
    anonymousId: str | None = None
    userId: str | None = None
    previousId: str | None = None
    source: str | None = None
    originalTimestamp: str | UnsetType | None = UNSET
    timestamp: str | None = None
    marks: list[str] | None = None
    properties: Raw = Raw()
    context: Context | None = None


class EventDimensions(Struct, frozen=True, eq=False, gc=False):
    """The dimensions of an event. Equal ones are usually the same object: they are compared by `is`, not by `==`.

    `activity`, `events` and `sales` are the suffixes of their fields in the rollups of these names. If an event of
    another spec was sent, `sent_name` differs from `name`, and its properties have other names too.
    """

    name: str
    source: str
    country: str
    device: str
    is_bot: bool
    activity: str
    events: str
    sales: str
    sent_name: str
    is_page_view: bool


class DecodedEvent(Struct, gc=False):
    """What the fold needs of an event. `own_ms` -1: it has no own time. `is_checked`: whether `id` is deduplicated.

    `person` is a digest of the userId or else of the anonymousId, with different prefixes. `linked` is the anonymous id
    that the event gives to its user; empty if it gives none. `properties` is the JSON text of an object, or empty.
    """

    project: str
    dimensions: EventDimensions
    visit: EventVisit
    page: str
    person: bytes
    linked: bytes
    time_ms: int
    own_ms: int
    id: int
    is_checked: bool
    is_time_unreadable: bool
    properties: bytes

    @property
    def name(self) -> str:
        return self.dimensions.name

    @property
    def source(self) -> str:
        return self.dimensions.source

    @property
    def country(self) -> str:
        return self.dimensions.country

    @property
    def device(self) -> str:
        return self.dimensions.device

    @property
    def is_bot(self) -> bool:
        return self.dimensions.is_bot


_digest = xxhash.xxh3_64_digest
_decode = msgspec.json.Decoder(StrictFields).decode


def read_event(
    value: bytes | None, *, topic_source: str, record_timestamp_ms: int, was_collected: bool = False
) -> DecodedEvent:
    """Decode the event in a record. Raises `Quarantined`.

    `record_timestamp_ms` is the record's Kafka timestamp (stream time where it has none), `topic_source` the source of
    its topic, `was_collected` whether the collector has added its own fields.
    """
    if not value:
        raise Quarantined(Reason.EMPTY, "The record has no value.")
    limits = AS_COLLECTED if was_collected else AS_SENT
    if (
        len(value) > KEYS_MAX * KEY_BYTES_MIN  # shorter JSON cannot exceed the limits of size and keys
        or not value.isascii()
        or value.count(b"{") > NESTING_MAX
        or (b"[" in value and value.count(b"[") + value.count(b"{") > NESTING_MAX)
    ):
        _require_shape(value, limits)
    try:
        fields = _decode(value)
    except msgspec.ValidationError:
        from rtaplatform.process.decode.lenient import read_leniently

        # Decoding stopped before the end of the text, so the checks above may have been misled by invalid JSON.
        _raise_flaw(find_excess(value, limits.keys_max))
        fields = read_leniently(value)
    except msgspec.DecodeError as error:
        _raise_flaw(find_excess(value, limits.keys_max))
        raise Quarantined(Reason.NOT_JSON, str(error)) from None
    return _make_event(fields, topic_source, record_timestamp_ms)


def _require_shape(value: bytes, limits: JsonLimits) -> None:
    # Most texts have too few brackets to exceed the limits, and scanning them costs more than decoding.
    # In a list of objects, each `},{` closes one level and opens another, so it does not nest deeper.
    if (
        len(value) <= limits.bytes_max
        and value.isascii()
        and value.count(b":") <= limits.keys_max
        and value.count(b"[") + value.count(b"{") - value.count(b"},{") <= NESTING_MAX
    ):
        return
    _raise_flaw(find_flaw(value, limits))


def _raise_flaw(flaw: JsonFlaw | None) -> None:
    if flaw is not None:
        raise Quarantined(flaw.reason, flaw.detail)


def _make_event(fields: StrictFields, topic_source: str, record_timestamp_ms: int) -> DecodedEvent:
    properties = bytes(fields.properties)
    if properties and properties[0] != _OBJECT:
        properties = _read_non_object(properties, fields.projectId)
    event = fields.event
    is_plain = event and event[0] not in "$\\" and fields.type == "track" and fields.projectId
    name = event if event and is_plain else _read_name(fields)
    user, anonymous = fields.userId, fields.anonymousId
    if not user and not anonymous:
        raise Quarantined(Reason.MISSING_IDENTITY, "It has neither anonymousId nor userId.")
    marks, message_id, source, context = fields.marks, fields.messageId, fields.source, fields.context
    if (
        (user and len(user) > SHORT_ID_CHARACTERS_MAX)
        or (message_id and len(message_id) > SHORT_ID_CHARACTERS_MAX)
        or (anonymous and len(anonymous) > SHORT_ID_CHARACTERS_MAX)
    ):
        _require_short_ids(fields)
    person, linked_id = _identify(user, anonymous if fields.type != "alias" else _read_previous(fields))
    time_ms, own_ms = _read_times(fields)
    is_checked, is_bot, is_unreadable = bool(message_id), False, time_ms == UNREADABLE
    if marks:
        is_checked = is_checked and "made_id" not in marks
        is_bot = any(mark.startswith("bot:") for mark in marks)
        is_unreadable = is_unreadable or "unreadable_time" in marks
    if source not in SOURCES:
        source = topic_source
    visit, page, country, device_type = NO_VISIT, "", None, None
    if context:
        location, device, seen_page, visit = context.location, context.device, context.page, read_visit(context)
        country, device_type = location.country if location else None, device.type if device else None
        page = as_dimension(seen_page.path) if seen_page else ""
    dimensions = (name, source, country, device_type, is_bot)
    return DecodedEvent(
        fields.projectId,
        _cached_dimensions.get(dimensions) or make_dimensions(*dimensions),
        visit,
        page,
        person,
        linked_id,
        time_ms if time_ms >= 0 else record_timestamp_ms,
        own_ms if is_checked and OWN_TIME_FROM_MS <= own_ms < OWN_TIME_UNTIL_MS else -1,
        xxhash.xxh3_64_intdigest(message_id.encode()) if is_checked and message_id else 0,
        is_checked,
        is_unreadable,
        properties,
    )


def _identify(user: str | None, anonymous: str | None) -> tuple[bytes, bytes]:
    """The person of an event that names at least one of the two, and the anonymous id that it gives to its user."""
    is_user = user is not None and not is_placeholder(user)
    if not anonymous or (is_user and anonymous == user) or is_placeholder(anonymous):
        return _digest(USER + user.encode() if user else ANONYMOUS + (anonymous or "").encode()), b""
    linked_id = _digest(ANONYMOUS + anonymous.encode())
    return (_digest(USER + user.encode()), linked_id) if is_user and user else (linked_id, b"")


def _read_previous(fields: StrictFields) -> str | None:
    """The anonymous id of an alias: the id that it gives to its user."""
    previous = fields.previousId
    return previous if fields.userId and previous and not is_too_long(previous) else fields.anonymousId


def _require_short_ids(fields: StrictFields) -> None:
    ids = {"messageId": fields.messageId, "anonymousId": fields.anonymousId, "userId": fields.userId}
    for name, text in ids.items():
        if text and is_too_long(text):
            raise Quarantined(Reason.ID_TOO_LONG, f"`{name}` has more than {ID_BYTES_MAX} bytes.")


def _read_non_object(properties: bytes, project: str) -> bytes:
    if properties == b"null" or is_empty_object(properties):
        return b""
    if not project:
        raise Quarantined(Reason.MISSING_PROJECT, "It has no projectId.")  # the first reason that applies
    raise Quarantined(Reason.INVALID_FIELD, "`properties` must be an object or null.")


def make_dimensions(name: str, source: str, country: str | None, device: str | None, is_bot: bool) -> EventDimensions:
    key = (name, source, country, device, is_bot)
    dimensions = _cached_dimensions.get(key)
    if dimensions is None:
        sent_name = as_dimension(name)
        values = (find_event_name(sent_name), source, as_dimension(country), as_dimension(device))
        suffixes = (make_field("", *values[:2]), make_field("", *values), make_field("", values[2], source))
        dimensions = EventDimensions(*values, is_bot, *suffixes, sent_name, values[0] in PAGE_VIEWS)
        if len(name) + len(country or "") + len(device or "") <= CACHED_CHARACTERS_MAX:
            if len(_cached_dimensions) >= CACHED_DIMENSIONS_MAX:
                _cached_dimensions.clear()
            _cached_dimensions[key] = dimensions
    return dimensions


_cached_dimensions: dict[tuple[str, str, str | None, str | None, bool], EventDimensions] = {}


def _read_name(fields: StrictFields) -> str:
    if not fields.projectId:
        raise Quarantined(Reason.MISSING_PROJECT, "It has no projectId.")
    if fields.type == "track":
        if not fields.event:
            raise Quarantined(Reason.MISSING_EVENT, "A track call needs an event.")
        return to_track_name(fields.event)
    name = CALL_NAMES.get(fields.type)
    if name is None:
        raise Quarantined(Reason.UNKNOWN_TYPE, "`type` is not one of track, page, screen, identify, group, alias.")
    return name


ABSENT, UNREADABLE = -1, -2


def _read_times(fields: StrictFields) -> tuple[int, int]:
    """The event's time and its own time, usually the same text; ABSENT or UNREADABLE if there is none."""
    text, original = fields.timestamp, fields.originalTimestamp
    if original is UNSET:
        time_ms = _read_time(text)
        return time_ms, time_ms
    own_ms = _read_time(original)
    return (own_ms if text is None or text == original else _read_time(text)), own_ms


def _read_time(text: str | None) -> int:
    if text is None:
        return ABSENT
    time_ms = read_time_ms(text)
    return UNREADABLE if time_ms is None else time_ms
