"""The second reader of a record: field by field, with a reason for whatever is wrong.   Stage 3 of 6.   Pure.

It is slow, and reads only what the first reader refused. If the record is valid after all (an integer as an id, a
country that is a number), it returns the same fields; else it raises `Quarantined`.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct

from rtaplatform.core.errors import Quarantined
from rtaplatform.core.events import Reason
from rtaplatform.core.time.timestamps import format_iso_utc, read_number_ms
from rtaplatform.core.values.json_text import (
    NumberText,
    is_empty_object,
    is_nothing,
    read_dimension_text,
    read_plain_value,
)
from rtaplatform.process.decode.context import Campaign, Context, Device, Location, ReferringSite, SeenPage, Software
from rtaplatform.process.decode.fast import StrictFields

Inner = TypeVar("Inner", Location, Device, Software, SeenPage, ReferringSite, Campaign)


class LenientFields(Struct):
    """Every field as its JSON text."""

    projectId: Raw = Raw()
    type: Raw = Raw()
    event: Raw = Raw()
    messageId: Raw = Raw()
    anonymousId: Raw = Raw()
    userId: Raw = Raw()
    previousId: Raw = Raw()
    source: Raw = Raw()
    originalTimestamp: Raw = Raw()
    timestamp: Raw = Raw()
    marks: Raw = Raw()
    properties: Raw = Raw()
    context: Raw = Raw()


class LenientContext(Struct):
    location: Raw = Raw()
    device: Raw = Raw()
    os: Raw = Raw()
    browser: Raw = Raw()
    page: Raw = Raw()
    referrer: Raw = Raw()
    campaign: Raw = Raw()
    channel: Raw = Raw()
    locale: Raw = Raw()


def read_leniently(value: bytes) -> StrictFields:
    """Read each field by itself. Raises `Quarantined` with the first reason that applies."""
    try:
        fields = msgspec.json.decode(value, type=LenientFields)
    except msgspec.DecodeError as error:  # also a ValidationError, which is raised before the end has been read
        raise _explain_refusal(value, error) from None
    project = read_plain_value(fields.projectId)
    if not isinstance(project, str) or isinstance(project, NumberText) or not project:
        raise Quarantined(Reason.MISSING_PROJECT, "It has no projectId, or one that is not text.")
    return StrictFields(
        projectId=project,
        type=_read_id("type", fields.type) or "",
        event=_read_id("event", fields.event),
        messageId=_read_id("messageId", fields.messageId),
        anonymousId=_read_id("anonymousId", fields.anonymousId),
        userId=_read_id("userId", fields.userId),
        previousId=_read_text(fields.previousId),
        source=read_dimension_text(fields.source),
        originalTimestamp=_read_time(fields.originalTimestamp),
        timestamp=_read_time(fields.timestamp) or None,
        marks=_read_marks(fields.marks),
        properties=fields.properties if _read_object("properties", fields.properties) else Raw(),
        context=_read_context(fields.context),
    )


def _explain_refusal(value: bytes, error: msgspec.DecodeError) -> Quarantined:
    try:
        msgspec.json.decode(value, type=Raw)
    except msgspec.DecodeError:
        return Quarantined(Reason.NOT_JSON, str(error))
    return Quarantined(Reason.NOT_AN_OBJECT, "The record is JSON, but not an object.")


def read_project(value: bytes | None) -> str:
    """The projectId of a quarantined record, as far as it can be read; else empty."""
    try:
        project = read_plain_value(msgspec.json.decode(value or b"", type=LenientFields).projectId)
    except (msgspec.MsgspecError, RecursionError):
        return ""
    return project if isinstance(project, str) and not isinstance(project, NumberText) else ""


def _read_id(field: str, raw: Raw) -> str | None:
    value = read_plain_value(raw)
    if value is None:
        return None
    if isinstance(value, NumberText):
        if value.removeprefix("-").isdecimal():
            return str(value)
    elif isinstance(value, str):
        return value
    raise Quarantined(Reason.INVALID_FIELD, f"`{field}` must be text, an integer or null.")


def _read_text(raw: Raw) -> str | None:
    """Text, or None: a field of another type is no reason to refuse the event."""
    value = read_plain_value(raw)
    return value if isinstance(value, str) and not isinstance(value, NumberText) else None


def _read_time(raw: Raw) -> Any:
    """Absent stays absent, null stays null, and a number becomes ISO text. Anything else becomes unreadable text."""
    if not bytes(raw):
        return UNSET
    value = read_plain_value(raw)
    if isinstance(value, NumberText):
        ms = read_number_ms(value)
        return "unreadable" if ms is None else format_iso_utc(ms)
    return value if value is None or (isinstance(value, str) and value) else "unreadable"


def _read_marks(raw: Raw) -> list[str] | None:
    text = bytes(raw)
    if not text or text == b"null":
        return None
    try:
        return msgspec.json.decode(text, type=list[str])
    except msgspec.ValidationError:
        raise Quarantined(Reason.INVALID_FIELD, "`marks` must be a list of texts, or null.") from None


def _read_object(field: str, raw: Raw) -> bytes | None:
    text = bytes(raw)
    if is_nothing(text) or is_empty_object(text):
        return None
    if not text.startswith(b"{"):
        raise Quarantined(Reason.INVALID_FIELD, f"`{field}` must be an object or null.")
    return text


def _read_context(raw: Raw) -> Context | None:
    text = _read_object("context", raw)
    if text is None:
        return None
    fields = msgspec.json.decode(text, type=LenientContext)
    return Context(
        location=_read_inner(fields.location, Location),
        device=_read_inner(fields.device, Device),
        os=_read_inner(fields.os, Software),
        browser=_read_inner(fields.browser, Software),
        page=_read_inner(fields.page, SeenPage),
        referrer=_read_inner(fields.referrer, ReferringSite),
        campaign=_read_inner(fields.campaign, Campaign),
        channel=read_dimension_text(fields.channel),
        locale=read_dimension_text(fields.locale),
    )


def _read_inner(raw: Raw, kind: type[Inner]) -> Inner | None:
    """The object with its members as text; None if it is no object."""
    text = bytes(raw)
    if not text.startswith(b"{"):
        return None
    members = msgspec.json.decode(text, type=dict[str, Raw])
    return kind(**{name: read_dimension_text(members[name]) for name in kind.__struct_fields__ if name in members})
