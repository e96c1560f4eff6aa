"""The second reader of a record: field by field, with a reason for whatever is wrong.   Stage 3 of 6.   Pure.

Slow, and only for what the first reader refused. It gives the same shape where the record is
right after all (an integer as an id, a country that is a number), else raises `Quarantined`.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct

from rtaplatform.core.errors import Quarantined
from rtaplatform.core.events import Reason
from rtaplatform.core.time.timestamps import iso_utc, read_number_ms
from rtaplatform.core.values.json_text import NumberText, dimension_text, is_empty_object, is_nothing, plain_value
from rtaplatform.process.decode.fast import Context, Device, Location, StrictFields


class LenientFields(Struct):
    """Every field as its JSON text."""

    projectId: Raw = Raw()
    type: Raw = Raw()
    event: Raw = Raw()
    messageId: Raw = Raw()
    anonymousId: Raw = Raw()
    userId: Raw = Raw()
    source: Raw = Raw()
    originalTimestamp: Raw = Raw()
    timestamp: Raw = Raw()
    marks: Raw = Raw()
    properties: Raw = Raw()
    context: Raw = Raw()


class LenientLocation(Struct):
    country: Raw = Raw()


class LenientDevice(Struct):
    type: Raw = Raw()


class LenientContext(Struct):
    location: Raw = Raw()
    device: Raw = Raw()


def read_leniently(value: bytes) -> StrictFields:
    """Raises `Quarantined` with the first reason that applies."""
    try:
        loose = msgspec.json.decode(value, type=LenientFields)
    except msgspec.DecodeError as error:  # a ValidationError, which is one, comes before the end has been read
        raise _not_an_object(value, error) from None
    project = plain_value(loose.projectId)
    if not isinstance(project, str) or isinstance(project, NumberText) or not project:
        raise Quarantined(Reason.MISSING_PROJECT, "It has no projectId, or one that is not text.")
    return StrictFields(
        projectId=project,
        type=_identifier("type", loose.type) or "",
        event=_identifier("event", loose.event),
        messageId=_identifier("messageId", loose.messageId),
        anonymousId=_identifier("anonymousId", loose.anonymousId),
        userId=_identifier("userId", loose.userId),
        source=dimension_text(loose.source),
        originalTimestamp=_time(loose.originalTimestamp),
        timestamp=_time(loose.timestamp) or None,
        marks=_marks(loose.marks),
        properties=loose.properties if _object("properties", loose.properties) else Raw(),
        context=_context(loose.context),
    )


def _not_an_object(value: bytes, error: msgspec.DecodeError) -> Quarantined:
    try:
        msgspec.json.decode(value, type=Raw)
    except msgspec.DecodeError:
        return Quarantined(Reason.NOT_JSON, str(error))
    return Quarantined(Reason.NOT_AN_OBJECT, "The record is JSON, but not an object.")


def project_of(value: bytes | None) -> str:
    """The projectId of a record that is quarantined, as far as it can be read; else empty."""
    try:
        project = plain_value(msgspec.json.decode(value or b"", type=LenientFields).projectId)
    except (msgspec.MsgspecError, RecursionError):
        return ""
    return project if isinstance(project, str) and not isinstance(project, NumberText) else ""


def _identifier(field: str, raw: Raw) -> str | None:
    value = plain_value(raw)
    if value is None:
        return None
    if isinstance(value, NumberText):
        if value.removeprefix("-").isdecimal():
            return str(value)
    elif isinstance(value, str):
        return value
    raise Quarantined(Reason.INVALID_FIELD, f"`{field}` must be text, an integer or null.")


def _time(raw: Raw) -> Any:
    """Absent stays absent and null null; a number is a time too; what is neither must be unreadable, and not empty."""
    if not bytes(raw):
        return UNSET
    value = plain_value(raw)
    if isinstance(value, NumberText):
        ms = read_number_ms(value)
        return "unreadable" if ms is None else iso_utc(ms)
    return value if value is None or (isinstance(value, str) and value) else "unreadable"


def _marks(raw: Raw) -> list[str] | None:
    text = bytes(raw)
    if not text or text == b"null":
        return None
    try:
        return msgspec.json.decode(text, type=list[str])
    except msgspec.ValidationError:
        raise Quarantined(Reason.INVALID_FIELD, "`marks` must be a list of texts, or null.") from None


def _object(field: str, raw: Raw) -> bytes | None:
    text = bytes(raw)
    if is_nothing(text) or is_empty_object(text):
        return None
    if not text.startswith(b"{"):
        raise Quarantined(Reason.INVALID_FIELD, f"`{field}` must be an object or null.")
    return text


def _context(raw: Raw) -> Context | None:
    text = _object("context", raw)
    if text is None:
        return None
    loose = msgspec.json.decode(text, type=LenientContext)
    country = _within(loose.location, LenientLocation)
    device = _within(loose.device, LenientDevice)
    return Context(
        location=Location(dimension_text(country.country)) if country else None,
        device=Device(dimension_text(device.type)) if device else None,
    )


def _within(raw: Raw, kind: type[Any]) -> Any:
    text = bytes(raw)
    return msgspec.json.decode(text, type=kind) if text.startswith(b"{") else None
