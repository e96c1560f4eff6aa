"""Events of GA4's Measurement Protocol → ours.   Pure.   Stage 1 of 6, in front of the steps.

A request is about one person. `page_view` and `screen_view` are page and screen calls; any other name is a track call
of that name, whose e-commerce names and properties are read downstream (`core/values/commerce_names.py`). User
properties become one identify call before the events.

The protocol has no ids of events. Where the sender gives a time, the messageId is made of person, time, name,
parameters and place, so that a request which is sent again counts once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from msgspec import Raw

from rtaplatform.collect.adapters.adapted_events import (
    ENGAGED_SECONDS_MIN,
    AdaptedEvents,
    Members,
    make_page,
    read_members,
    read_members_of,
    read_number,
    read_text,
    read_value,
    write_event,
)
from rtaplatform.collect.adapters.ga4_bodies import Ga4Body, is_given
from rtaplatform.collect.body.envelope import EventBatch

# What Google's tags send by themselves when a visit or a visitor begins. None is an act of a visitor, and a visit of
# one page would have several events.
TAG_EVENTS = frozenset(("session_start", "first_visit", "first_open"))
ENGAGEMENT = "user_engagement"  # the page was seen for a while
MICROSECONDS_FROM, MICROSECONDS_BELOW = 10**14, 10**18  # a smaller number is in milliseconds or seconds, by mistake
_ID_CHARACTERS = 40


def adapt_ga4(body: Ga4Body, events: Sequence[Raw | bytes]) -> EventBatch:
    """The batch of a request: its events, and one identify call before them if it has user properties."""
    adapter = _Ga4Adapter(body)
    items = [body.user_properties, *events] if adapter.has_identify else events
    sender = write_event({"anonymousId": adapter.device_id, "userId": body.user_id})
    return EventBatch(AdaptedEvents(items, adapter.adapt_next, sender), context=write_event(body.read_context()))


class _Ga4Adapter:
    """Adapts the events of one request in their order: the place of an event is a part of its id."""

    def __init__(self, body: Ga4Body) -> None:
        properties = body.user_properties
        self.has_identify = bytes(properties)[:1] == b"{" and read_members(properties) != {}
        self.device_id = body.app_instance_id if is_given(body.app_instance_id) else body.client_id
        self._body, self._time = body, _read_time({"timestamp_micros": body.timestamp_micros})
        self._is_of_app = is_given(body.app_instance_id)
        self._tells_device = is_given(body.device) or is_given(body.user_agent)
        self._place = -1

    def adapt_next(self, raw: bytes) -> bytes | None:
        """The next event; None if it is not to be stored."""
        self._place += 1
        if self._place == 0 and self.has_identify:
            return self._adapt_user_properties(raw)
        members = read_members(raw)
        if members is None:
            return raw
        parameters = read_members_of(members, "params")
        call = _make_call(members, parameters)
        if call is None:
            return None
        time = _read_time(parameters) or _read_time(members) or self._time
        page = make_page(*(read_text(parameters, name) for name in ("page_location", "page_referrer", "page_title")))
        event = {**call, "source": self._find_source(page), "context": {"page": page}}
        return self._write(event, time, members.get("name", Raw(b"")), members.get("params", Raw(b"")))

    def _adapt_user_properties(self, raw: bytes) -> bytes:
        properties = read_members(raw)
        if properties is None:
            return raw
        traits = {name: (read_members(value) or {}).get("value", value) for name, value in properties.items()}
        source = self._find_source({})
        return self._write({"type": "identify", "traits": traits, "source": source}, self._time, b"", raw)

    def _write(self, event: Members, time: Any, *content: Raw | bytes) -> bytes:
        """The event with its person, time and id. `content`: what the id is made of, beside them."""
        ids = (self.device_id, self._body.user_id, str(self._place).encode())
        id_parts = None if time is None else (*ids, _write_time(time), *content)
        return write_event(
            {
                **event, "messageId": None if id_parts is None else _make_id(id_parts), "timestamp": time,
                "anonymousId": self.device_id, "userId": self._body.user_id,
            }
        )  # fmt: skip

    def _find_source(self, page: Members) -> str | None:
        """Web, if it is the act of a visitor of pages: the request tells of the page or of what the visitor uses.

        The steps decide about all others: an app is known by its system, and the rest is of a server.
        """
        return "web" if not self._is_of_app and (self._tells_device or page.get("url")) else None


def _make_call(members: Members, parameters: Members) -> dict[str, Any] | None:
    """The members of the call that an event of this name is; None if it is not to be stored."""
    name = read_text(members, "name")
    match name:
        case "page_view":
            return {
                "type": "page",
                "name": read_text(parameters, "page_title"),
                "properties": members.get("params"),
            }
        case "screen_view":
            screen = read_text(parameters, "screen_name") or read_text(parameters, "firebase_screen")
            return {"type": "screen", "name": screen, "properties": members.get("params")}
        case "user_engagement":
            seconds = _read_milliseconds(parameters, "engagement_time_msec") // 1_000
            if seconds < ENGAGED_SECONDS_MIN:
                return None
            return {"type": "track", "event": "Page Engaged", "properties": {"seconds": seconds}}
    if name in TAG_EVENTS:
        return None
    return {"type": "track", "event": members.get("name"), "properties": members.get("params")}


def _read_milliseconds(parameters: Members, name: str) -> int:
    """A number, also one that is sent as text, as Google's own examples do; 0 if there is none."""
    text = read_text(parameters, name) or ""
    if text.isascii() and text.isdecimal() and len(text) <= 15:
        return int(text)
    return int(read_number(parameters, name) or 0)


def _read_time(members: Members) -> Any:
    """The time that `timestamp_micros` gives, as one that the steps can read; as sent if it is no such number."""
    timestamp = members.get("timestamp_micros")
    if timestamp is None or not is_given(timestamp):
        return None
    value = read_value(members, "timestamp_micros")
    if isinstance(value, str) and value.isdecimal() and value.isascii() and len(value) <= 18:
        value = int(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(value) // 1_000 if is_number and MICROSECONDS_FROM <= value < MICROSECONDS_BELOW else timestamp


def _write_time(time: Any) -> bytes:
    return bytes(time) if isinstance(time, Raw) else str(time).encode()


def _make_id(parts: Sequence[Raw | bytes]) -> str:
    text = b"".join(len(part).to_bytes(4, "big") + bytes(part) for part in parts)
    return f"ga4-{hashlib.blake2b(text).hexdigest()[:_ID_CHARACTERS]}"
