"""Read an identify event from a record of the log.   Pure.

The record is read as the workers read it, so only events that they would count change a profile. Most records are not
identify events: these cost one search for a word. Traits that no profile can hold are left out, and counted by reason.
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
from rtaplatform.core.values.user_traits import TraitFields, read_traits
from rtaplatform.process.decode.fast import read_event
from rtaplatform.profiles.traits import FieldStamp, IdentifyTraits
from rtaplatform.stream.port import LogRecord

TRAITS_BYTES_MAX = 32_768
TRAIT_BYTES_MAX = 8_192
TRAIT_NAME_BYTES_MAX = 256
DECIMAL_MIN, DECIMAL_MAX = 1e-30, 1e30


def read_identify(record: LogRecord, stream_time_ms: int) -> IdentifyTraits | None:
    """The identify event of this record, or None. `stream_time_ms` is the stream time of its partition.

    Raises `Quarantined` for an identify event that changes no profile; its reason is one word.
    """
    value = record.value
    # JSON holds a word either as it is or with an escape in it.
    if value is None or (b"identify" not in value and b"\\u" not in value):
        return None
    topic, partition = record.partition
    event = read_event(
        value,
        topic_source=EVENT_TOPICS[topic],
        record_timestamp_ms=record.timestamp_ms if record.timestamp_ms >= 0 else stream_time_ms,
        was_collected=record.was_collected,
    )
    identify_record = msgspec.json.decode(value, type=_IdentifyRecord)
    if _read_identifier(identify_record.type) != "identify":
        return None
    if event.time_ms > stream_time_ms + FUTURE_MS_MAX:
        raise Quarantined("dead", "It is ahead of the record's time.")
    if event.is_bot:
        raise Quarantined("bot", "It was made by a bot.")
    user_id = _read_user_id(identify_record)
    fields, left_out = _read_fields(identify_record)
    stamp = FieldStamp(event.time_ms, f"{topic}:{partition:04}:{record.offset:019}")
    return IdentifyTraits(event.project, user_id, stamp, record.timestamp_ms, fields, left_out)


class _IdentifyRecord(Struct):
    type: Raw = Raw()
    userId: Raw = Raw()  # noqa: N815  # Segment's names
    anonymousId: Raw = Raw()  # noqa: N815
    traits: Raw = Raw()
    context: Raw = Raw()


def _read_user_id(record: _IdentifyRecord) -> str:
    user_id = _read_identifier(record.userId)
    if not user_id:
        raise Quarantined("anonymous", "It names no user.")
    if not _is_storable(user_id):
        raise Quarantined("unstorable_id", "The user's id is too long, or has a character that cannot be stored.")
    return user_id


def _is_storable(text: str) -> bool:
    return "\x00" not in text and not is_too_long(text)


def _read_fields(record: _IdentifyRecord) -> tuple[dict[str, Any], dict[str, int]]:
    """The fields, and how many traits were left out by reason. Traits at the root override those in the context."""
    left_out: Counter[str] = Counter()
    traits, unreadable = read_traits(TraitFields(record.traits, record.context))
    if unreadable:
        left_out["not_an_object"] = unreadable
    if sum(map(len, traits.values())) > TRAITS_BYTES_MAX:
        raise Quarantined("too_large", f"The traits have over {TRAITS_BYTES_MAX} bytes.")
    fields = _clean_fields(traits, left_out)
    anonymous_id = _read_identifier(record.anonymousId)
    if anonymous_id and _is_storable(anonymous_id):
        fields[f"anonymous_ids.{anonymous_id}"] = True
    return fields, dict(left_out)


def _read_identifier(raw: Raw) -> str:
    """The id as text. It is a string or an integer: the workers' rules have refused everything else."""
    text = bytes(raw)
    if not text or text == b"null":
        return ""
    return str(msgspec.json.decode(text)) if text.startswith(b'"') else text.decode()


def _clean_fields(traits: dict[str, Raw], left_out: Counter[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, raw in traits.items():
        try:
            values[make_storable(key)] = _read_value(key, raw)
        except Quarantined as error:
            left_out[str(error.reason)] += 1
    fields: dict[str, Any] = {}
    for name, limit in (("email", EMAIL_CHARS_MAX), ("name", NAME_CHARS_MAX)):
        if name in values:
            value = values.pop(name)
            if value is None or (isinstance(value, str) and len(value) <= limit):
                fields[name] = value or None
            else:
                left_out["wrong_type"] += 1
    if "name" not in traits and _is_text(values.get("firstName")) and _is_text(values.get("lastName")):
        fields["name"] = f"{values['firstName']} {values['lastName']}"[:NAME_CHARS_MAX]
    return fields | {f"traits.{key}": value for key, value in values.items()}


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _read_value(key: str, raw: Raw) -> Any:
    if len(raw) > TRAIT_BYTES_MAX or len(key.encode()) > TRAIT_NAME_BYTES_MAX:
        raise Quarantined("trait_too_large", f"A trait has over {TRAIT_BYTES_MAX} bytes, or too long a name.")
    try:
        value = make_storable(msgspec.json.decode(raw))
        json.dumps(value, allow_nan=False)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Quarantined("unstorable_number", str(error)) from None
    return value


def make_storable(value: Any) -> Any:
    """The value with U+0000, which PostgreSQL cannot store, removed from its texts and keys.

    Raises `Quarantined` for a number that PostgreSQL would write out with hundreds of zeros.
    """
    if isinstance(value, str):
        return value.replace("\x00", "")
    if isinstance(value, float) and value and not DECIMAL_MIN < abs(value) < DECIMAL_MAX:
        raise Quarantined("unstorable_number", "It has too many digits.")
    if isinstance(value, list):
        return [make_storable(item) for item in value]
    if isinstance(value, dict):
        return {make_storable(key): make_storable(item) for key, item in value.items()}
    return value
