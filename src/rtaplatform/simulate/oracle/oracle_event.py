"""The oracle's reading of an event: checks its fields, finds its time, person and dimensions (rules 1, 2, 5)."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from rtaplatform.simulate.oracle.oracle_amounts import read_amounts
from rtaplatform.simulate.oracle.oracle_calendar import read_time
from rtaplatform.simulate.oracle.oracle_json import OracleNumber, UnreadableRecord, is_empty
from rtaplatform.simulate.oracle.oracle_names import retell
from rtaplatform.simulate.oracle.oracle_people import OracleVisit, make_ids
from rtaplatform.simulate.oracle.origins.oracle_visits import VALUES_OF, VisitedEvent, read_origin

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
    """An event that can be counted. `track` is the name of a track call as a dimension's value, else empty.

    `linked`: the anonymous id that it gives to its person, a user. `origin`: as of `read_origin`. Name and properties
    are those of the second spec; `by_lines` as of `Retold`.
    """

    name: str
    track: str
    source: str
    person: tuple[str, str]
    linked: tuple[str, str] | None
    message_id: str
    properties: dict[str, Any]
    marks: list[str]
    time: int
    unreadable_time: bool
    unreadable_amounts: bool
    own_time: int | None
    by_lines: bool
    origin: dict[str, str]

    @property
    def country(self) -> str:
        """Return the country, as answers show it."""
        return self.origin["country"]

    @property
    def device(self) -> str:
        """Return the kind of device, as answers show it."""
        return self.origin["device"]

    @property
    def is_bot(self) -> bool:
        """Tell whether it is marked as a bot's."""
        return any(mark.startswith("bot:") for mark in self.marks)


def read_event(data: dict[str, Any], *, topic: str, timestamp: int | None, stream_time: int) -> OracleEvent:
    """Return the event in an object whose project is known. Raises UnreadableRecord with the reason."""
    text = _read_texts(data)
    properties, context = data.get("properties") or {}, data.get("context") or {}
    if text["type"] not in _TYPES:
        raise UnreadableRecord("unknown_type")
    if text["type"] == "track" and not text["event"]:
        raise UnreadableRecord("missing_event")
    track, properties, by_lines = retell(read_dimension(text["event"]) if text["type"] == "track" else "", properties)
    if not text["anonymousId"] and not text["userId"]:
        raise UnreadableRecord("missing_identity")
    _check_ids(data, track, properties)
    user, anonymous = make_ids(text["userId"], _read_anonymous(data, text))
    fallback = stream_time if timestamp is None else timestamp
    time, unreadable = _read_event_time(data, fallback)
    if time - stream_time > 300_000:
        raise UnreadableRecord("time_in_future")
    return OracleEvent(
        name=_read_track_name(track) if track else f"${text['type']}",
        track=track,
        source=_read_source(data, topic),
        person=user or anonymous or ("", ""),
        linked=anonymous if user and anonymous else None,
        message_id=text["messageId"],
        properties=properties,
        marks=data.get("marks") or [],
        time=time,
        unreadable_time=unreadable or "unreadable_time" in (data.get("marks") or []),
        unreadable_amounts=track in COMMERCE and read_amounts(properties).unreadable,
        own_time=_read_own_time(data),
        by_lines=by_lines,
        origin=read_origin(context, show_dimension, _to_text),
    )


def describe_visit(event: OracleEvent) -> VisitedEvent:
    """Return the event as far as its visit is concerned."""
    is_page_view = not event.track and event.name in ("$page", "$screen")
    return VisitedEvent({**event.origin, "source": event.source}, is_page_view, event.is_bot)


def make_visit(event: OracleEvent) -> OracleVisit:
    """Return the event as far as people are concerned. What is shown as (none) is empty text there."""
    place = (event.source, _strip_marker(event.country), _strip_marker(event.device))
    user, anonymous = (event.person, event.linked) if event.person[0] == "u" else (None, event.person)
    origin = tuple(_strip_marker(event.origin[name]) for name in VALUES_OF["acquisition"])
    return OracleVisit(event.time, event.track, place, user, anonymous, origin, _strip_marker(event.origin["page"]))


def _strip_marker(value: str) -> str:
    return "" if value == "(none)" else value[1:] if _LIKE_A_MARKER.fullmatch(value) else value


def _read_anonymous(data: dict[str, Any], text: dict[str, str]) -> str:
    """Return the anonymous id. In an alias of a user, it is the id that becomes the user's."""
    previous = data.get("previousId")
    if text["type"] != "alias" or not text["userId"] or not isinstance(previous, str):
        return text["anonymousId"]
    return previous if 0 < len(previous.encode()) <= _ID_BYTES_MAX else text["anonymousId"]


def show_dimension(value: Any) -> str:
    """Return a dimension's value as answers show it. A text that looks like "(none)" gets a backslash in front."""
    text = read_dimension(value)
    return "\\" + text if _LIKE_A_MARKER.fullmatch(text) else text or "(none)"


def _read_track_name(track: str) -> str:
    return "\\" + track if _LIKE_A_CALL.fullmatch(track) else show_dimension(track)


def read_dimension(value: Any) -> str:
    """Return a dimension's value: text without control characters, of at most 256 bytes."""
    text = _CONTROLS.sub(" ", _to_text(value))
    return text.encode()[:_DIMENSION_BYTES_MAX].decode(errors="ignore")


def _to_text(value: Any) -> str:
    if isinstance(value, OracleNumber):
        return value.text
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else ""


def _read_texts(data: dict[str, Any]) -> dict[str, str]:
    text = {}
    for name in _TEXT_FIELDS:
        value = data.get(name)
        if not (value is None or isinstance(value, str) or (isinstance(value, OracleNumber) and value.is_whole)):
            raise UnreadableRecord("invalid_field")
        text[name] = _to_text(value)
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
    if any(len(_to_text(value).encode()) > _ID_BYTES_MAX for value in ids):
        raise UnreadableRecord("id_too_long")


def _read_event_time(data: dict[str, Any], fallback: int) -> tuple[int, bool]:
    value = data.get("timestamp")
    if value is None:
        value = data.get("originalTimestamp")
    if value is None:
        return fallback, False
    time_ms = read_time(value)
    return (fallback, True) if time_ms is None else (time_ms, False)


def _read_own_time(data: dict[str, Any]) -> int | None:
    value = data["originalTimestamp"] if "originalTimestamp" in data else data.get("timestamp")
    time_ms = read_time(value)
    # From 2000-01-01 until before 2100-01-01.
    return time_ms if time_ms is not None and 946_684_800_000 <= time_ms < 4_102_444_800_000 else None


def _read_source(data: dict[str, Any], topic: str) -> str:
    source = data.get("source")
    return source if isinstance(source, str) and source in _SOURCES else _TOPIC_SOURCES.get(topic, "(none)")
