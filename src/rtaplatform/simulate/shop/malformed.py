"""Broken records, for every reason of a dead letter.   simulate: [malformed] → traffic.

Each entry of `BREAKAGES` takes a good message and returns the value of a broken record. Its key is the reason from
docs/reference/rules.md. A reason with several causes has several entries.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from rtaplatform.core.time.buckets import HOUR_MS
from rtaplatform.simulate.shop.records import SimulatedRecord, encode, iso

Message = dict[str, Any]


def _with(**fields: Any) -> Callable[[Message], bytes]:
    return lambda message: encode({**message, **fields})


def _without(*fields: str) -> Callable[[Message], bytes]:
    return lambda message: encode({name: value for name, value in message.items() if name not in fields})


def _order(**properties: Any) -> Callable[[Message], bytes]:
    return _with(type="track", event="Order Completed", properties=properties)


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"in": value}
    return value


BREAKAGES: tuple[tuple[str, Callable[[Message], bytes | None]], ...] = (
    ("too_large", lambda message: encode({**message, "padding": "x" * 33_000})),
    ("empty", lambda _: None),
    ("empty", lambda _: b""),
    ("not_utf8", lambda message: encode(message).replace(b'"projectId"', b'"\xff\xfe"', 1)),
    ("not_json", lambda message: encode(message)[:-7]),
    ("not_json", lambda message: encode(message) + b"}"),
    ("not_json", lambda message: encode(message)[:-1] + b',"score":NaN}'),
    ("not_json", lambda message: b"\xef\xbb\xbf" + encode(message)),
    ("not_an_object", lambda message: encode([message])),
    ("not_an_object", lambda _: b'"event"'),
    ("too_deep", lambda message: encode({**message, "context": _nested(32)})),
    ("too_many_keys", lambda message: encode({**message, "properties": {f"k{n}": n for n in range(1_001)}})),
    ("missing_project", _without("projectId")),
    ("missing_project", _with(projectId="")),
    ("missing_project", _with(projectId=7)),
    ("unknown_project", _with(projectId="no-such-project")),
    ("invalid_field", _with(properties=["not", "an", "object"])),
    ("invalid_field", _with(messageId={"id": 1})),
    ("invalid_field", _with(userId=1.5)),
    ("invalid_field", _with(marks="bot")),
    ("unknown_type", _with(type="pageview")),
    ("unknown_type", _without("type")),
    ("missing_event", lambda message: _without("event")({**message, "type": "track"})),
    ("missing_event", _with(type="track", event="")),
    ("missing_identity", _without("anonymousId", "userId")),
    ("missing_identity", _with(anonymousId="", userId=None)),
    ("id_too_long", _with(messageId="ä" * 129)),
    ("id_too_long", _with(userId=int("7" * 257))),
    ("id_too_long", _order(order_id="o" * 257, revenue=12)),
    ("id_too_long", _order(order_id="o-1", products=[{"product_id": "p" * 257, "price": 1}])),
)


def break_record(message: Message, good: SimulatedRecord, now_ms: int, rng: Random) -> SimulatedRecord:
    """Return a record that becomes a dead letter. Its timestamp is the time of arrival, in history too."""
    number = int(rng.random() * (len(BREAKAGES) + 1))
    if number == len(BREAKAGES):
        value: bytes | None = _with(timestamp=iso(now_ms + HOUR_MS))(message)
    else:
        value = BREAKAGES[number][1](message)
    return good._replace(value=value, timestamp=now_ms)
