"""From what was sent to what is stored: a list of steps, each `Draft → Draft | Refused`.   Stage 1 of 6.

Pure: no clock, no IO. An event that a worker would set aside is refused here, for the same reason, so
that its sender learns of it. What only the platform may say (projectId, receivedAt, marks) is never taken
from a client. Which envelope the event came in is the adapters' concern (`envelope.py`), not ours.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable

import msgspec
from msgspec import Raw

from rtaplatform.collect.amounts import find_wrong_amount
from rtaplatform.collect.draft import Draft, Record, Refused
from rtaplatform.collect.reading import Unreadable, check_shape, decode, decode_to_look_at, read_client_time
from rtaplatform.collect.source import find_source
from rtaplatform.core.events import (
    CALL_TYPES,
    COLLECTED_BYTES_MAX,
    COMMERCE_EVENTS,
    EVENT_BYTES_MAX,
    FUTURE_MS_MAX,
    TOPIC_OF_SOURCE,
    Reason,
)
from rtaplatform.core.times import iso_utc

ID_BYTES_MAX = 512
CLOCKS_DISAGREE_MS = 30_000
_OURS = ("projectId", "receivedAt", "marks", "writeKey", "sentAt")
_IDS = ("messageId", "anonymousId", "userId")
_VERBATIM = msgspec.json.Decoder(dict[str, Raw])
_encode = msgspec.json.Encoder().encode

Step = Callable[[Draft], Draft | Refused]


def read_event(draft: Draft) -> Draft | Refused:
    if len(draft.raw) > EVENT_BYTES_MAX:
        return _refuse(draft, Reason.TOO_LARGE, None, f"{len(draft.raw)} bytes; at most {EVENT_BYTES_MAX}.")
    try:
        check_shape(draft.raw)
        values = decode_to_look_at(draft.raw)
        if not isinstance(values, dict):
            return _refuse(draft, Reason.NOT_AN_OBJECT, None, "An event is a JSON object.")
        draft.values, draft.fields = values, decode(draft.raw, _VERBATIM)
    except Unreadable as error:
        return _refuse(draft, error.reason, None, error.detail)
    return draft


def merge_defaults(draft: Draft) -> Draft | Refused:
    """A batch's context and integrations hold for each event that does not say otherwise."""
    context = draft.values.get("context")
    if context is not None and not isinstance(context, dict):
        return _refuse(draft, Reason.INVALID_FIELD, "context", "`context` is an object or null.")
    if draft.call.context:
        own = decode(draft.fields["context"], _VERBATIM) if context else {}
        draft.fields["context"] = {**draft.call.context, **own}
        draft.values["context"] = {**draft.call.context_values, **(context or {})}
    if draft.call.integrations is not None:
        draft.fields.setdefault("integrations", draft.call.integrations)
    return draft


def drop_what_is_ours(draft: Draft) -> Draft:
    for name in _OURS:
        draft.fields.pop(name, None)
    context = draft.values.get("context")
    if context and "ip" in context:  # an address is used for the country and never stored
        own = draft.fields["context"]
        verbatim = own if isinstance(own, dict) else decode(own, _VERBATIM)
        draft.fields["context"] = {name: value for name, value in verbatim.items() if name != "ip"}
    return draft


def name_type(draft: Draft) -> Draft | Refused:
    kind = draft.call.type or draft.values.get("type")
    if not isinstance(kind, str) or kind not in CALL_TYPES:
        return _refuse(draft, Reason.UNKNOWN_TYPE, "type", f"`type` is one of {', '.join(CALL_TYPES)}.")
    draft.fields["type"] = draft.values["type"] = kind
    return draft


def check_fields(draft: Draft) -> Draft | Refused:
    for name in (*_IDS, "event"):
        value = draft.values.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            draft.fields[name] = draft.values[name] = str(value)
        elif value is not None and not isinstance(value, str):
            return _refuse(draft, Reason.INVALID_FIELD, name, f"`{name}` is a string, an integer or null.")
        elif name in _IDS and value and len(value) * 4 > ID_BYTES_MAX and len(value.encode()) > ID_BYTES_MAX:
            return _refuse(draft, Reason.INVALID_FIELD, name, f"`{name}` has at most {ID_BYTES_MAX} bytes.")
    properties = draft.values.get("properties")
    if properties is not None and not isinstance(properties, dict):
        return _refuse(draft, Reason.INVALID_FIELD, "properties", "`properties` is an object or null.")
    return draft


def require_fields(draft: Draft) -> Draft | Refused:
    if draft.values["type"] == "track" and not draft.values.get("event"):
        return _refuse(draft, Reason.MISSING_EVENT, "event", "A track call names its `event`.")
    if not draft.values.get("anonymousId") and not draft.values.get("userId"):
        return _refuse(draft, Reason.MISSING_IDENTITY, "anonymousId", "One of `anonymousId` and `userId` is needed.")
    return draft


def check_amounts(draft: Draft) -> Draft | Refused:
    properties = draft.values.get("properties")
    if not properties or draft.values["type"] != "track" or draft.values["event"] not in COMMERCE_EVENTS:
        return draft
    wrong = find_wrong_amount(properties)
    if wrong is not None:
        return _refuse(draft, Reason.INVALID_AMOUNT, wrong, f"`{wrong}` is not an amount that can be summed.")
    return draft


def assign_id(draft: Draft) -> Draft:
    if not draft.values.get("messageId"):
        draft.fields["messageId"] = draft.values["messageId"] = str(uuid.uuid4())
        draft.marks = [*draft.marks, "made_id"]
    return draft


def set_source(draft: Draft) -> Draft:
    draft.source = find_source(draft.values, draft.values.get("context") or {}, draft.call.from_browser)
    draft.fields["source"] = draft.source
    return draft


def correct_clock(draft: Draft) -> Draft | Refused:
    """`timestamp` becomes the event's time by our clock; `originalTimestamp` the client's own, as sent."""
    values, call = draft.values, draft.call
    name = next((name for name in ("timestamp", "originalTimestamp") if values.get(name) is not None), None)
    # A batch's own time changes when it is built again, and dedup looks for the same one: it is no event's own.
    draft.fields["originalTimestamp"] = draft.fields[name] if name else None
    said = values[name] if name else call.time
    client_ms = read_client_time(said)
    if client_ms is None:
        event_ms = call.received_ms
        draft.marks = draft.marks if said is None else [*draft.marks, "unreadable_time"]
    else:
        event_ms = client_ms + _skew_ms(draft)
    if event_ms > call.received_ms + FUTURE_MS_MAX:
        return _refuse(draft, Reason.TIME_IN_FUTURE, name or "timestamp", "More than 5 minutes in the future.")
    draft.fields["timestamp"] = iso_utc(max(event_ms, 0))
    return draft


def _skew_ms(draft: Draft) -> int:
    """How far our clock is ahead of the client's; 0 where they agree, or where nobody knows."""
    call = draft.call
    sent_ms = read_client_time(draft.values.get("sentAt"))
    sent_ms = call.sent_at_ms if sent_ms is None else sent_ms
    if sent_ms is None or call.is_retry or abs(call.received_ms - sent_ms) <= CLOCKS_DISAGREE_MS:
        return 0
    return call.received_ms - sent_ms


def write_value(draft: Draft) -> Draft | Refused:
    draft.fields |= {"projectId": draft.call.project, "receivedAt": draft.call.received_at}
    if draft.values.get("sentAt") is not None:
        draft.fields["sentAt"] = draft.values["sentAt"]
    elif draft.call.sent_at_ms is not None:
        draft.fields["sentAt"] = iso_utc(draft.call.sent_at_ms)
    if draft.marks:
        draft.fields["marks"] = draft.marks
    draft.value = _encode(draft.fields)
    if len(draft.value) > COLLECTED_BYTES_MAX:
        return _refuse(draft, Reason.TOO_LARGE, "context", "Too large with what the batch adds to each event.")
    return draft


STEPS: tuple[Step, ...] = (
    read_event,
    merge_defaults,
    drop_what_is_ours,
    check_fields,
    name_type,
    require_fields,
    check_amounts,
    assign_id,
    set_source,
    correct_clock,
    write_value,
)


def run_steps(drafts: Iterable[Draft], spent: dict[str, float]) -> tuple[list[Draft], list[Refused]]:
    """All drafts through each step; adds the seconds that each took to `spent`, by name."""
    going, refused = list(drafts), []
    for step in STEPS:
        begun = time.perf_counter()
        results = [step(draft) for draft in going]
        going = [result for result in results if isinstance(result, Draft)]
        if len(going) < len(results):
            refused += [result for result in results if isinstance(result, Refused)]
        spent[step.__name__] = spent.get(step.__name__, 0.0) + time.perf_counter() - begun
    return going, sorted(refused, key=lambda one: one.index)


def to_record(draft: Draft) -> Record:
    person = draft.values.get("anonymousId") or draft.values["userId"]
    return Record(
        topic=TOPIC_OF_SOURCE[draft.source],
        key=f"{draft.call.project}:{person}".encode(),
        value=draft.value,
        timestamp_ms=draft.call.received_ms,
        bytes_as_sent=len(draft.raw),
    )


def _refuse(draft: Draft, reason: Reason, field: str | None, detail: str) -> Refused:
    message_id = draft.values.get("messageId")
    return Refused(draft.index, reason, field, detail, message_id if isinstance(message_id, str) else None)
