"""CloudEvents 1.0 over HTTP → our events.   Pure.   Stage 1 of 6, in front of the steps.

A `type` that is one of our calls (`track`, `page`, …) makes its `data` the body of that call. Any other type is the
name of a track call, and its `data` the properties. The person is named by the extensions `userid` and `anonymousid`,
else by `userId` and `anonymousId` of the data, else by the subject. CloudEvents tells events apart by source and id
together, so the messageId is made of both.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from msgspec import Raw

from rtaplatform.collect.adapters.adapted_events import Members, quote_text, read_members, read_text, write_event
from rtaplatform.core.events import CALL_TYPES
from rtaplatform.core.values.ids import is_too_long

_PREFIX = "ce-"
_USED = frozenset(("specversion", "type", "id", "time", "userid", "anonymousid", "data", "data_base64"))
_ATTRIBUTE_CHARACTERS_MAX = 64


def is_binary(headers: Mapping[str, str]) -> bool:
    """Whether the attributes are in the headers, and the body is the data alone."""
    return "ce-specversion" in headers


def write_structured(headers: Iterable[tuple[str, str]], content_type: str | None, body: bytes) -> bytes:
    """The event of a request in binary mode, as it would be in structured mode."""
    attributes = {
        name.removeprefix(_PREFIX)[:_ATTRIBUTE_CHARACTERS_MAX]: quote_text(unquote(value))
        for name, value in headers
        if name.startswith(_PREFIX) and name not in ("ce-data", "ce-data_base64")
    }
    media_type = (content_type or "application/json").partition(";")[0].strip().lower()
    if not body.strip():
        return write_event(attributes)
    if media_type.endswith(("/json", "+json")):
        # Written by hand: a body that is no JSON stays as it is, and the steps say what is wrong with it.
        return write_event(attributes)[:-1] + (b"," if attributes else b"") + b'"data":' + body.strip() + b"}"
    try:
        return write_event({**attributes, "data": quote_text(body.decode())})
    except UnicodeDecodeError:
        return write_event({**attributes, "data_base64": base64.b64encode(body).decode()})


def adapt_cloudevent(raw: bytes) -> bytes:
    members = read_members(raw)
    if members is None:
        return raw
    data, kind = _read_data(members), read_text(members, "type")
    fields = read_members(data) if data is not None else None
    event: dict[str, Any] = {"messageId": _find_message_id(members), "timestamp": members.get("time")}
    if kind in CALL_TYPES:
        event = {**event, **(fields or {}), "type": kind}
    else:
        properties = fields if fields is not None else {} if data is None else {"data": data}
        event = {**event, "type": "track", "event": members.get("type"), "properties": properties}
    event |= _find_person(members, fields or {})
    context = read_members(event.get("context", b"{}"))
    if context is not None:  # else the steps say what is wrong with it
        attributes = {name: value for name, value in members.items() if name not in _USED}
        event["context"] = {**context, "cloudevent": attributes}
    return write_event(event)


def _read_data(members: Members) -> Raw | None:
    """The text of the event's data; None if it has none."""
    coded = read_text(members, "data_base64")
    if coded is None:
        data: Raw | None = members.get("data")
        return data
    try:
        plain = base64.b64decode(coded, validate=True)
    except (binascii.Error, ValueError):
        return quote_text(coded)
    return Raw(plain) if read_members(plain) is not None else quote_text(coded)


def _find_message_id(members: Members) -> str | Raw | None:
    identity, source = read_text(members, "id"), read_text(members, "source")
    if identity is None:
        return members.get("id")
    message_id = f"{source}#{identity}" if source is not None else identity
    return (
        f"ce-{hashlib.sha256(message_id.encode(errors='replace')).hexdigest()}"
        if is_too_long(message_id)
        else message_id
    )


def _find_person(members: Members, fields: Members) -> dict[str, Any]:
    ids = {"userId": members.get("userid"), "anonymousId": members.get("anonymousid")}
    for name in ids:
        ids[name] = ids[name] if ids[name] is not None else fields.get(name)
    if all(value is None or bytes(value) == b"null" for value in ids.values()):
        ids["userId"] = members.get("subject")
    return ids
