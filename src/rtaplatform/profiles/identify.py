"""A record of the log → what it says of a user, or nothing.   Pure.

Only what the workers would count is taken, by their own reader of records. Most records are no identify events: they
cost a search for one word. What no profile can hold is left out, and its reason is counted.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import msgspec
from msgspec import Raw, Struct

from rtaplatform.catalog.tables import EMAIL_CHARS_MAX, NAME_CHARS_MAX
from rtaplatform.core.errors import Quarantined
from rtaplatform.core.events import EVENT_TOPICS, FUTURE_MS_MAX
from rtaplatform.core.values.ids import is_too_long
from rtaplatform.process.decode.fast import read_event
from rtaplatform.profiles.traits import FieldStamp, IdentifyTraits
from rtaplatform.stream.port import LogRecord

TRAITS_BYTES_MAX = 32_768
TRAIT_BYTES_MAX = 8_192
TRAIT_NAME_BYTES_MAX = 256
DECIMAL_MIN, DECIMAL_MAX = 1e-30, 1e30


def read_identify(record: LogRecord, stream_time_ms: int) -> IdentifyTraits | None:
    """None where it is no identify event; `stream_time_ms` is its partition's stream time.

    Raises `Quarantined`, with a word as its reason, for an identify event that changes no profile.
    """
    value = record.value
    # A word in JSON stands there as it is, or with an escape in it.
    if value is None or (b"identify" not in value and b"\\u" not in value):
        return None
    topic, partition = record.partition
    event = read_event(
        value,
        topic_source=EVENT_TOPICS[topic],
        record_timestamp_ms=record.timestamp_ms if record.timestamp_ms >= 0 else stream_time_ms,
        was_collected=record.was_collected,
    )
    found = msgspec.json.decode(value, type=_IdentifyRecord)
    if _identifier(found.type) != "identify":
        return None
    if event.time_ms > stream_time_ms + FUTURE_MS_MAX:
        raise Quarantined("dead", "It is ahead of the record's time.")
    if event.is_bot:
        raise Quarantined("bot", "It was made by a bot.")
    user_id = _user_id(found)
    fields, left_out = _read_fields(found)
    stamp = FieldStamp(event.time_ms, f"{topic}:{partition:04}:{record.offset:019}")
    return IdentifyTraits(event.project, user_id, stamp, record.timestamp_ms, fields, left_out)


class _IdentifyContext(Struct):
    traits: Raw = Raw()


class _IdentifyRecord(Struct):
    type: Raw = Raw()
    userId: Raw = Raw()  # noqa: N815  # Segment's names
    anonymousId: Raw = Raw()  # noqa: N815
    traits: Raw = Raw()
    context: Raw = Raw()


def _user_id(record: _IdentifyRecord) -> str:
    user_id = _identifier(record.userId)
    if not user_id:
        raise Quarantined("anonymous", "It names no user.")
    if not _is_storable(user_id):
        raise Quarantined("unstorable_id", "The user's id is too long, or has a character that cannot be stored.")
    return user_id


def _is_storable(text: str) -> bool:
    return "\x00" not in text and not is_too_long(text)


def _read_fields(record: _IdentifyRecord) -> tuple[dict[str, Any], dict[str, int]]:
    """Its fields, and what was left out. The traits at the root go before those in the context."""
    left_out: Counter[str] = Counter()
    context = bytes(record.context)
    within = msgspec.json.decode(context, type=_IdentifyContext).traits if context.startswith(b"{") else Raw()
    traits = _object(within, left_out) | _object(record.traits, left_out)
    if sum(map(len, traits.values())) > TRAITS_BYTES_MAX:
        raise Quarantined("too_large", f"The traits have over {TRAITS_BYTES_MAX} bytes.")
    fields = _fields(traits, left_out)
    anonymous_id = _identifier(record.anonymousId)
    if anonymous_id and _is_storable(anonymous_id):
        fields[f"anonymous_ids.{anonymous_id}"] = True
    return fields, dict(left_out)


def _identifier(raw: Raw) -> str:
    """An integer as its decimal text; the workers' rules have let nothing else pass."""
    text = bytes(raw)
    if not text or text == b"null":
        return ""
    return str(msgspec.json.decode(text)) if text.startswith(b'"') else text.decode()


def _object(raw: Raw, left_out: Counter[str]) -> dict[str, Raw]:
    text = bytes(raw)
    if not text or text == b"null":
        return {}
    if not text.startswith(b"{"):
        left_out["not_an_object"] += 1
        return {}
    return msgspec.json.decode(text, type=dict[str, Raw])


def _fields(traits: dict[str, Raw], left_out: Counter[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, raw in traits.items():
        try:
            values[storable(key)] = _value(key, raw)
        except Quarantined as why:
            left_out[str(why.reason)] += 1
    fields: dict[str, Any] = {}
    for name, limit in (("email", EMAIL_CHARS_MAX), ("name", NAME_CHARS_MAX)):
        if name in values:
            found = values.pop(name)
            if found is None or (isinstance(found, str) and len(found) <= limit):
                fields[name] = found or None
            else:
                left_out["wrong_type"] += 1
    if "name" not in traits and _is_text(values.get("firstName")) and _is_text(values.get("lastName")):
        fields["name"] = f"{values['firstName']} {values['lastName']}"[:NAME_CHARS_MAX]
    return fields | {f"traits.{key}": value for key, value in values.items()}


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _value(key: str, raw: Raw) -> Any:
    if len(raw) > TRAIT_BYTES_MAX or len(key.encode()) > TRAIT_NAME_BYTES_MAX:
        raise Quarantined("trait_too_large", f"A trait has over {TRAIT_BYTES_MAX} bytes, or too long a name.")
    try:
        value = storable(msgspec.json.decode(raw))
        json.dumps(value, allow_nan=False)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Quarantined("unstorable_number", str(error)) from None
    return value


def storable(value: Any) -> Any:
    """The value without U+0000, which PostgreSQL cannot hold, in texts and keys.

    Raises `Quarantined` for a number that PostgreSQL would write out with hundreds of zeros.
    """
    if isinstance(value, str):
        return value.replace("\x00", "")
    if isinstance(value, float) and value and not DECIMAL_MIN < abs(value) < DECIMAL_MAX:
        raise Quarantined("unstorable_number", "It has too many digits.")
    if isinstance(value, list):
        return [storable(one) for one in value]
    if isinstance(value, dict):
        return {storable(key): storable(one) for key, one in value.items()}
    return value
