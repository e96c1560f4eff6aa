"""The steps from an event as sent to a record: each is `Draft → Draft | DraftRefused`.   Stage 1 of 6.

Pure: no clock, no IO. An event that a worker would quarantine is refused here, for the same reason and by the same code
of `core/`, so that its sender learns of it. Fields that only the platform may set (projectId, receivedAt, marks other
than `bot:`) are never taken from a client. `body/envelope.py` handles the envelopes.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Raw

from rtaplatform.collect.body.draft import CollectedRecord, Draft, DraftRefused
from rtaplatform.collect.body.json_reading import UnreadableJson, decode, read_json
from rtaplatform.collect.steps.bots import MARK, is_bot_of_visitor, is_crawler
from rtaplatform.collect.steps.enrichment import (
    add_language,
    add_location,
    add_origin_of_visit,
    add_technology,
    remove_denied,
    write_additions,
)
from rtaplatform.collect.steps.event_source import find_source
from rtaplatform.collect.steps.event_time import set_times
from rtaplatform.collect.steps.timed_steps import Step, StepClock, run_timed
from rtaplatform.collect.steps.twins import copy_enrichment, find_twins
from rtaplatform.core.commerce import find_long_id, read_properties
from rtaplatform.core.events import CALL_TYPES, COLLECTED_BYTES_MAX, KEYS_MAX, TOPIC_OF_SOURCE, Reason
from rtaplatform.core.time.timestamps import format_iso_utc
from rtaplatform.core.values.commerce_names import is_commerce, read_as_v2
from rtaplatform.core.values.ids import ID_BYTES_MAX, is_too_long
from rtaplatform.core.values.json_shape import AS_SENT, find_flaw

CLIENT_MARKS_MAX, CLIENT_MARK_CHARACTERS_MAX = 4, 64
_RESERVED = frozenset(("projectId", "receivedAt", "marks", "writeKey", "api_key", "sentAt"))
_IDS = ("messageId", "anonymousId", "userId")
_VERBATIM = msgspec.json.Decoder(dict[str, Raw])
_decode_fields = _VERBATIM.decode
_decode_values = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


def read_event(draft: Draft) -> Draft | DraftRefused:
    flaw = find_flaw(draft.raw, AS_SENT)
    if flaw is not None:
        return _refuse(draft, flaw.reason, None, flaw.detail)
    try:
        draft.values, draft.fields = _decode_values(draft.raw), _decode_fields(draft.raw)
        return draft
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _read_event_carefully(draft)


def _read_event_carefully(draft: Draft) -> Draft | DraftRefused:
    """Read what the fast way above cannot: half surrogate pairs and numbers beyond a float's range. Name the flaw."""
    try:
        event = read_json(draft.raw)
        if not isinstance(event.value, dict):
            return _refuse(draft, Reason.NOT_AN_OBJECT, None, "An event is a JSON object.")
        draft.values, draft.fields = event.value, decode(event.text, _VERBATIM)
    except UnreadableJson as error:
        return _refuse(draft, error.reason, None, error.detail)
    return draft


def read_objects(draft: Draft) -> Draft | DraftRefused:
    """Require objects for `properties` and `context`; an empty list (as in PHP), "" and false are empty objects."""
    for name in ("properties", "context"):
        value = draft.values.get(name)
        if value is None or isinstance(value, dict):
            continue
        if value is not False and value not in ([], ""):
            return _refuse(draft, Reason.INVALID_FIELD, name, f"`{name}` is an object or null.")
        draft.values[name] = draft.fields[name] = {}
    return draft


def merge_defaults(draft: Draft) -> Draft | DraftRefused:
    """Merge the batch's context and integrations into the event, whose own values take precedence."""
    defaults = draft.request.defaults
    if defaults.excess is not None:
        return _refuse(draft, defaults.excess.reason, defaults.excess.field, defaults.excess.detail)
    if defaults.context:
        context = draft.values.get("context")
        own_context = decode(draft.fields["context"], _VERBATIM) if context else {}
        draft.fields["context"] = {**defaults.context, **own_context}
        draft.values["context"] = {**defaults.context_values, **(context or {})}
        if len(draft.fields["context"]) > KEYS_MAX:
            return _refuse(draft, Reason.TOO_MANY_KEYS, "context", f"With the batch's, over {KEYS_MAX} keys.")
    if defaults.integrations is not None:
        draft.fields.setdefault("integrations", defaults.integrations)
    return draft


def strip_reserved_fields(draft: Draft) -> Draft:
    if not _RESERVED.isdisjoint(draft.fields):
        draft.marks = _read_bot_marks(draft.values.get("marks"))
        for name in _RESERVED:
            draft.fields.pop(name, None)
    context = draft.values.get("context")
    if context and "ip" in context:  # an IP address is used for the country, and never stored
        own_context = draft.fields["context"]
        verbatim = own_context if isinstance(own_context, dict) else decode(own_context, _VERBATIM)
        draft.fields["context"] = {name: value for name, value in verbatim.items() if name != "ip"}
    return draft


def _read_bot_marks(value: Any) -> list[str]:
    """The only marks that a client may set: that it is a bot."""
    if not isinstance(value, list):
        return []
    marks = [mark for mark in value if isinstance(mark, str) and mark.startswith("bot:")]
    return [mark[:CLIENT_MARK_CHARACTERS_MAX] for mark in marks[:CLIENT_MARKS_MAX]]


def set_type(draft: Draft) -> Draft | DraftRefused:
    kind = draft.request.type or draft.values.get("type")
    if not isinstance(kind, str) or kind not in CALL_TYPES:
        return _refuse(draft, Reason.UNKNOWN_TYPE, "type", f"`type` is one of {', '.join(CALL_TYPES)}.")
    draft.fields["type"] = draft.values["type"] = kind
    return draft


def check_fields(draft: Draft) -> Draft | DraftRefused:
    for name in (*_IDS, "event"):
        value = draft.values.get(name)
        if value is None or isinstance(value, str):
            continue
        text = bytes(draft.fields[name]).decode()
        if isinstance(value, bool) or not text.removeprefix("-").isdecimal():
            return _refuse(draft, Reason.INVALID_FIELD, name, f"`{name}` is a string, an integer or null.")
        draft.fields[name] = draft.values[name] = text
    return draft


def require_fields(draft: Draft) -> Draft | DraftRefused:
    if draft.values["type"] == "track" and not draft.values.get("event"):
        return _refuse(draft, Reason.MISSING_EVENT, "event", "A track call names its `event`.")
    if not draft.values.get("anonymousId") and not draft.values.get("userId"):
        return _refuse(draft, Reason.MISSING_IDENTITY, "anonymousId", "One of `anonymousId` and `userId` is needed.")
    return draft


def check_ids(draft: Draft) -> Draft | DraftRefused:
    values = draft.values
    long_id = None
    for name in _IDS:
        text = values.get(name)
        if text and is_too_long(text):
            long_id = name
            break
    properties = values.get("properties")
    if long_id is None and properties and draft.values["type"] == "track":
        long_id = _find_long_id_of_commerce(draft.values["event"], draft.fields["properties"])
    if long_id is not None:
        return _refuse(draft, Reason.ID_TOO_LONG, long_id, f"`{long_id}` has more than {ID_BYTES_MAX} bytes.")
    return draft


def _find_long_id_of_commerce(event: str, properties: bytes | Raw) -> str | None:
    if len(properties) <= ID_BYTES_MAX or not is_commerce(event):
        return None
    path = find_long_id(read_properties(read_as_v2(event, bytes(properties))))
    return path and f"properties.{path}"


def assign_id(draft: Draft) -> Draft:
    if not draft.values.get("messageId"):
        draft.fields["messageId"] = draft.values["messageId"] = str(uuid.uuid4())
        draft.marks = [*draft.marks, "made_id"]
    return draft


def set_source(draft: Draft) -> Draft:
    draft.source = find_source(draft.values, draft.values.get("context") or {}, draft.request.is_from_browser)
    draft.fields["source"] = draft.source
    return draft


def mark_bots(draft: Draft) -> Draft:
    context, request = draft.values.get("context"), draft.request
    event_agent, request_agent = context.get("userAgent") if context else None, request.user_agent
    # An app names its HTTP library as its user agent. Only visitors of pages and servers with such an agent are bots.
    is_bot_agent = is_bot_of_visitor if draft.source in ("web", "server") else is_crawler
    is_bot = isinstance(event_agent, str) and is_bot_agent(event_agent)
    if not is_bot and request_agent:
        is_bot = is_bot_agent(request_agent) if request.is_from_browser else is_crawler(request_agent)
    if is_bot or request.client.bot_marks:
        draft.marks = [*draft.marks, *([MARK] if is_bot else ()), *request.client.bot_marks]
    return draft


def correct_clock(draft: Draft) -> Draft | DraftRefused:
    """Set `timestamp` to the event's time by our clock, and `originalTimestamp` to the client's time as sent."""
    field = set_times(draft)
    if field is not None:
        return _refuse(draft, Reason.TIME_IN_FUTURE, field, "More than 5 minutes in the future.")
    return draft


def write_value(draft: Draft) -> Draft | DraftRefused:
    fields, request = draft.fields, draft.request
    fields["projectId"], fields["receivedAt"] = request.project, request.received_at
    sent_at = draft.values.get("sentAt")
    if sent_at is not None:
        fields["sentAt"] = sent_at
    elif request.sent_at_ms is not None:
        fields["sentAt"] = format_iso_utc(request.sent_at_ms)
    if draft.marks:
        fields["marks"] = draft.marks
    draft.value = _encode(fields)
    if len(draft.value) > COLLECTED_BYTES_MAX:
        return _refuse(draft, Reason.TOO_LARGE, "context", "Too large with what the batch adds to each event.")
    return draft


READING: tuple[Step, ...] = (
    read_event,
    read_objects,
    merge_defaults,
    strip_reserved_fields,
    check_fields,
    set_type,
    require_fields,
    check_ids,
    assign_id,
)
# None of these refuses an event. What they look at is listed in `twins.py`.
ENRICHING: tuple[Step, ...] = (
    set_source,
    mark_bots,
    add_technology,
    add_location,
    add_language,
    add_origin_of_visit,
    write_additions,
)
WRITING: tuple[Step, ...] = (remove_denied, correct_clock, write_value)
STEPS = READING + ENRICHING + WRITING


def run_steps(drafts: Iterable[Draft], step_seconds: dict[str, float]) -> tuple[list[Draft], list[DraftRefused]]:
    """Run all drafts through each step; add the seconds that each step took to `step_seconds`, by its name.

    Of drafts that are alike in all that ENRICHING looks at, only the first one goes through it.
    """
    clock = StepClock(step_seconds)
    accepted, refusals = run_timed(READING, list(drafts), clock)
    firsts, twins = find_twins(accepted)
    clock.note("find_twins")
    run_timed(ENRICHING, firsts, clock)
    others = copy_enrichment(twins)
    clock.note("copy_enrichment")
    if others:
        run_timed(ENRICHING, others, clock)
    accepted, more_refusals = run_timed(WRITING, accepted, clock)
    refusals += more_refusals
    return accepted, sorted(refusals, key=lambda refusal: refusal.index) if refusals else refusals


def run_steps_on_one(draft: Draft) -> DraftRefused | None:
    """Run one draft through all steps, as `run_steps` does, without timing them. Return why it is refused, if it is."""
    for step in STEPS:
        result = step(draft)
        if result is not draft:  # a step returns the draft that it got
            assert isinstance(result, DraftRefused)
            return result
    return None


def to_record(draft: Draft) -> CollectedRecord:
    person = draft.values.get("anonymousId") or draft.values["userId"]
    return CollectedRecord(
        topic=TOPIC_OF_SOURCE[draft.source],
        key=f"{draft.request.project}:{person}".encode(),
        value=draft.value,
        timestamp_ms=draft.request.received_ms,
        bytes_as_sent=len(draft.raw),
    )


def _refuse(draft: Draft, reason: Reason, field: str | None, detail: str) -> DraftRefused:
    message_id = draft.values.get("messageId")
    return DraftRefused(
        draft.index, reason, field, detail, message_id[:ID_BYTES_MAX] if isinstance(message_id, str) else None
    )
