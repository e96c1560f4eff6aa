"""Broken events for every reason for which the collector refuses one of a batch.   simulate: [refused] → http_run.

They travel in batches with good ones, which they must not spoil. Each entry takes an event as sent, and returns what
its SDK's bug makes of it.
"""

from __future__ import annotations

from random import Random

import msgspec

from rtaplatform.simulate.over_http.sdk_events import SdkEvent
from rtaplatform.simulate.shop.breakages import Breakage, MessageFields, break_order, drop_fields, nest, put_fields
from rtaplatform.simulate.shop.records import encode

_decode = msgspec.json.Decoder(MessageFields).decode

REFUSALS: tuple[tuple[str, Breakage], ...] = (
    ("too_large", put_fields(padding="x" * 33_000)),
    ("not_utf8", lambda event: encode(event).replace(b'"type"', b'"\xff\xfe"', 1)),
    ("not_json", lambda event: encode(event)[:-1] + b',"score":NaN}'),
    ("not_an_object", lambda _: b'"event"'),
    ("too_deep", put_fields(traits=nest(33))),
    ("too_many_keys", put_fields(properties={f"k{n}": n for n in range(1_001)})),
    ("invalid_field", put_fields(properties=["not", "an", "object"])),
    ("invalid_field", put_fields(messageId={"id": 1})),
    ("invalid_field", put_fields(userId=1.5)),
    ("unknown_type", put_fields(type="pageview")),
    ("unknown_type", drop_fields("type")),
    ("missing_event", put_fields(type="track", event="")),
    ("missing_identity", drop_fields("anonymousId", "userId")),
    ("id_too_long", put_fields(messageId="ä" * 129)),
    ("id_too_long", put_fields(userId=int("7" * 257))),
    ("id_too_long", break_order(order_id="o" * 257, revenue=12)),
    ("id_too_long", break_order(order_id="o-1", products=[{"product_id": "p" * 257, "price": 1}])),
)


def break_event(event: SdkEvent, rng: Random) -> SdkEvent:
    """Return the event broken in one of these ways. A server sends it, among others."""
    reason, broken = REFUSALS[int(rng.random() * len(REFUSALS))]
    return event._replace(source="server", body=broken(_decode(event.body)), refusal=reason)
