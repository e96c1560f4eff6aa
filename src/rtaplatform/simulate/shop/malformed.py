"""Broken records, for every reason of a dead letter.   simulate: [malformed] → traffic.

Each entry of `BREAKAGES` takes a good message and returns the value of a broken record. Its key is the reason from
docs/reference/rules.md. A reason with several causes has several entries.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from rtaplatform.core.time.buckets import HOUR_MS
from rtaplatform.simulate.shop.breakages import MessageFields, break_order, drop_fields, nest, put_fields
from rtaplatform.simulate.shop.records import SimulatedRecord, encode, write_time

BREAKAGES: tuple[tuple[str, Callable[[MessageFields], bytes | None]], ...] = (
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
    ("too_deep", lambda message: encode({**message, "context": nest(32)})),
    ("too_many_keys", lambda message: encode({**message, "properties": {f"k{n}": n for n in range(1_001)}})),
    ("missing_project", drop_fields("projectId")),
    ("missing_project", put_fields(projectId="")),
    ("missing_project", put_fields(projectId=7)),
    ("unknown_project", put_fields(projectId="no-such-project")),
    ("invalid_field", put_fields(properties=["not", "an", "object"])),
    ("invalid_field", put_fields(messageId={"id": 1})),
    ("invalid_field", put_fields(userId=1.5)),
    ("invalid_field", put_fields(marks="bot")),
    ("unknown_type", put_fields(type="pageview")),
    ("unknown_type", drop_fields("type")),
    ("missing_event", lambda message: drop_fields("event")({**message, "type": "track"})),
    ("missing_event", put_fields(type="track", event="")),
    ("missing_identity", drop_fields("anonymousId", "userId")),
    ("missing_identity", put_fields(anonymousId="", userId=None)),
    ("id_too_long", put_fields(messageId="ä" * 129)),
    ("id_too_long", put_fields(userId=int("7" * 257))),
    ("id_too_long", break_order(order_id="o" * 257, revenue=12)),
    ("id_too_long", break_order(order_id="o-1", products=[{"product_id": "p" * 257, "price": 1}])),
)


def break_record(message: MessageFields, good: SimulatedRecord, now_ms: int, rng: Random) -> SimulatedRecord:
    """Return a record that becomes a dead letter. Its timestamp is the time of arrival, in history too."""
    number = int(rng.random() * (len(BREAKAGES) + 1))
    if number == len(BREAKAGES):
        value: bytes | None = put_fields(timestamp=write_time(now_ms + HOUR_MS))(message)
    else:
        value = BREAKAGES[number][1](message)
    return good._replace(value=value, timestamp=now_ms)
