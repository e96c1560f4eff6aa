"""The oracle's reading of an event: its fields checked, its time, its person, its dimensions (rules 1, 2, 5)."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from rtaplatform.simulate.oracle.oracle_amounts import read_amounts
from rtaplatform.simulate.oracle.oracle_calendar import read_time
from rtaplatform.simulate.oracle.oracle_json import OracleNumber, UnreadableRecord, is_empty

COMMERCE = (
    "Product Viewed",
    "Product Added",
    "Product Removed",
    "Checkout Started",
    "Order Completed",
    "Order Refunded",
    "Order Cancelled",
)
_TYPES = ("track", "page", "screen", "identify", "group", "alias")
_SOURCES = ("web", "ios", "android", "server")
_TOPIC_SOURCES = {"rta.events.web": "web", "rta.events.mobile": "android", "rta.events.server": "server"}
_TEXT_FIELDS = ("type", "event", "messageId", "anonymousId", "userId")
_DIMENSION_BYTES_MAX = 256
_ID_BYTES_MAX = 256
_LIKE_A_MARKER = re.compile(r"\\*\((none|other)\)")
_LIKE_A_CALL = re.compile(r"\\*\$(page|screen|identify|group|alias)")
_CONTROLS = re.compile("[\x00-\x1f\x7f]")


class OracleEvent(NamedTuple):
    """An event that is not dead. `track` is the name of a track as a dimension's value, else empty."""

    name: str
    track: str
    source: str
    country: str
    device: str
    person: tuple[str, str]
    message_id: str
    properties: dict[str, Any]
    marks: list[str]
    time: int
    unreadable_time: bool
    unreadable_amounts: bool
    own_time: int | None


def read_event(data: dict[str, Any], *, topic: str, timestamp: int | None, stream_time: int) -> OracleEvent:
    """Return the event in an object whose project is known. Raises Unreadable with the reason."""
    text = _fields(data)
    properties, context = data.get("properties") or {}, data.get("context") or {}
    if text["type"] not in _TYPES:
        raise UnreadableRecord("unknown_type")
    if text["type"] == "track" and not text["event"]:
        raise UnreadableRecord("missing_event")
    track = dimension(text["event"]) if text["type"] == "track" else ""
    if not text["anonymousId"] and not text["userId"]:
        raise UnreadableRecord("missing_identity")
    _check_ids(data, track, properties)
    fallback = stream_time if timestamp is None else timestamp
    time, unreadable = _time(data, fallback)
    if time - stream_time > 300_000:
        raise UnreadableRecord("time_in_future")
    return OracleEvent(
        name=_name_of_track(track) if track else f"${text['type']}",
        track=track,
        source=_source(data, topic),
        country=shown(_inside(context, "location", "country")),
        device=shown(_inside(context, "device", "type")),
        person=("u", text["userId"]) if text["userId"] else ("a", text["anonymousId"]),
        message_id=text["messageId"],
        properties=properties,
        marks=data.get("marks") or [],
        time=time,
        unreadable_time=unreadable or "unreadable_time" in (data.get("marks") or []),
        unreadable_amounts=track in COMMERCE and read_amounts(properties).unreadable,
        own_time=_own_time(data),
    )


def shown(value: Any) -> str:
    """Return a dimension's value as it is shown: what reads like "(none)" and is not has a backslash more."""
    text = dimension(value)
    return "\\" + text if _LIKE_A_MARKER.fullmatch(text) else text or "(none)"


def _name_of_track(track: str) -> str:
    return "\\" + track if _LIKE_A_CALL.fullmatch(track) else shown(track)


def dimension(value: Any) -> str:
    """Return a dimension's value: text without control characters, of at most 256 bytes."""
    text = _CONTROLS.sub(" ", _plain(value))
    return text.encode()[:_DIMENSION_BYTES_MAX].decode(errors="ignore")


def _plain(value: Any) -> str:
    if isinstance(value, OracleNumber):
        return value.text
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else ""


def _fields(data: dict[str, Any]) -> dict[str, str]:
    text = {}
    for name in _TEXT_FIELDS:
        value = data.get(name)
        if not (value is None or isinstance(value, str) or (isinstance(value, OracleNumber) and value.whole)):
            raise UnreadableRecord("invalid_field")
        text[name] = _plain(value)
    for name in ("properties", "context"):
        value = data.get(name)
        if not (value is None or isinstance(value, dict) or is_empty(value)):
            raise UnreadableRecord("invalid_field")
    marks = data.get("marks")
    if marks is not None and not (isinstance(marks, list) and all(isinstance(mark, str) for mark in marks)):
        raise UnreadableRecord("invalid_field")
    return text


def _check_ids(data: dict[str, Any], track: str, properties: dict[str, Any]) -> None:
    ids = [data.get(name) for name in ("messageId", "anonymousId", "userId")]
    if track in COMMERCE:
        ids += [properties.get("product_id"), properties.get("order_id")]
        products = properties.get("products")
        entries = products.values() if isinstance(products, dict) else products if isinstance(products, list) else []
        ids += [entry.get("product_id") for entry in entries if isinstance(entry, dict)]
    if any(len(_plain(value).encode()) > _ID_BYTES_MAX for value in ids):
        raise UnreadableRecord("id_too_long")


def _time(data: dict[str, Any], fallback: int) -> tuple[int, bool]:
    given = data.get("timestamp")
    if given is None:
        given = data.get("originalTimestamp")
    if given is None:
        return fallback, False
    found = read_time(given)
    return (fallback, True) if found is None else (found, False)


def _own_time(data: dict[str, Any]) -> int | None:
    given = data["originalTimestamp"] if "originalTimestamp" in data else data.get("timestamp")
    found = read_time(given)
    # From 2000-01-01 until before 2100-01-01.
    return found if found is not None and 946_684_800_000 <= found < 4_102_444_800_000 else None


def _source(data: dict[str, Any], topic: str) -> str:
    given = data.get("source")
    return given if isinstance(given, str) and given in _SOURCES else _TOPIC_SOURCES.get(topic, "(none)")


def _inside(context: dict[str, Any], name: str, field: str) -> Any:
    found = context.get(name)
    return found.get(field) if isinstance(found, dict) else None
