"""The fields, persons and marks of an event, as a feed shows them.   stream → [feed] → serve.   Pure.

It reads what senders wrote, of any type: whatever is not text where text belongs is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from rtaplatform.core.events import COMMERCE_EVENTS, REPLAY_HEADER
from rtaplatform.core.time.timestamps import read_time_ms
from rtaplatform.core.values.commerce_names import read_as_v2
from rtaplatform.process.decode.fast import DecodedEvent

TEXT_CHARACTERS_MAX = 256
PRODUCTS_MAX = 20
_CONTEXT = {
    "page": ("page", "path"),
    "url": ("page", "url"),
    "referrer": ("page", "referrer"),
    "os": ("os", "name"),
    "browser": ("browser", "name"),
    "region": ("location", "region"),
    "language": ("locale",),
    "utm_source": ("campaign", "source"),
    "utm_medium": ("campaign", "medium"),
    "utm_campaign": ("campaign", "name"),
}
_PERSONS = {"user_id": "userId", "anonymous_id": "anonymousId"}
_MARKS = {
    "made_id": "The sender gave no messageId: the collector made one.",
    "unreadable_time": "Its time cannot be read: the time of arrival counts.",
}


def read_persons(values: Mapping[str, Any]) -> dict[str, str]:
    texts = {our_name: _read_text(values.get(their_name)) for our_name, their_name in _PERSONS.items()}
    return {name: text for name, text in texts.items() if text}


def describe_fields(values: Mapping[str, Any], event: DecodedEvent | None) -> dict[str, Any]:
    """The fields by our names, without those that are absent. `country` and `device` are as the totals have them."""
    fields: dict[str, Any] = {"type": _read_text(values.get("type")), "message_id": _read_text(values.get("messageId"))}
    if event is not None:
        fields |= {"country": event.country or None, "device": event.device or None, "is_bot": event.is_bot or None}
    context = values.get("context")
    fields |= {name: _read_text(_find_value(context, path)) for name, path in _CONTEXT.items()}
    fields["sent_at"] = _read_text(values.get("sentAt"))
    if event is not None and event.properties:
        fields |= _describe_properties(_find_properties(values, event, event.properties))
    return {name: value for name, value in fields.items() if value is not None}


def _find_properties(values: Mapping[str, Any], event: DecodedEvent, raw: bytes) -> Any:
    """The properties; those of a commerce event by V2's names, whichever spec its sender follows."""
    if event.name not in COMMERCE_EVENTS:
        return values.get("properties")
    return msgspec.json.decode(read_as_v2(event.dimensions.sent_name, raw))


def _describe_properties(properties: Any) -> dict[str, Any]:
    if not isinstance(properties, dict):
        return {}
    order_id = _read_text(properties.get("order_id"))
    products = properties.get("products")
    entries = products if isinstance(products, list) else []
    ids = [_read_text(entry.get("product_id")) for entry in entries[:PRODUCTS_MAX] if isinstance(entry, dict)]
    ids = [_read_text(properties.get("product_id")), *ids]
    product_ids = list(dict.fromkeys(filter(None, ids)))
    return {"order_id": order_id, "product_ids": product_ids or None}


def describe_marks(values: Mapping[str, Any], headers: Mapping[str, bytes]) -> list[str]:
    """What the platform noted about the event, in words."""
    marks = values.get("marks")
    words = [_describe_mark(mark) for mark in marks if isinstance(mark, str)] if isinstance(marks, list) else []
    corrected_s = _find_corrected_seconds(values)
    if corrected_s:
        words.append(f"The sender's clock was wrong by {corrected_s} s and was corrected.")
    if REPLAY_HEADER in headers:
        words.append(f"Replayed: the dead letter {headers[REPLAY_HEADER].decode(errors='replace')[:300]}.")
    return words


def _describe_mark(mark: str) -> str:
    if mark.startswith("bot:"):
        return f"A bot ({mark.removeprefix('bot:')[:64]}): only `bots=include` counts it."
    return _MARKS.get(mark, mark[:64])


def _find_corrected_seconds(values: Mapping[str, Any]) -> int:
    own_time, our_time = values.get("originalTimestamp"), values.get("timestamp")
    if not isinstance(own_time, str) or not isinstance(our_time, str) or own_time == our_time:
        return 0
    own_ms, ours_ms = read_time_ms(own_time), read_time_ms(our_time)
    return 0 if own_ms is None or ours_ms is None else round((ours_ms - own_ms) / 1000)


def _find_value(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _read_text(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value)[:TEXT_CHARACTERS_MAX] or None
