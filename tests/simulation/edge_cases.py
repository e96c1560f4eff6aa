"""Hand-made histories around an edge of time, as records that a world reads in any order.

All of it lies within what persons take, and each device has one user. So totals and values are the oracle's whichever
is read first, after whatever kills, roll-backs and rebuilds. The edge is a midnight, or where a clock changes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple

from rtaplatform.simulate.shop.records import SimulatedRecord, write_time

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
TOPICS = {"web": "rta.events.web", "ios": "rta.events.mobile", "server": "rta.events.server"}
PLACEHOLDERS = (
    "undefined", "null", "None", "nil", "NaN", "n/a", "[object Object]", "{}", "[]", "anonymous", "anonymousId",
    "userId", "guest", "unknown", "true", "false", "0", "-1", "000", "00000000-0000-0000-0000-000000000000", " NULL ",
)  # fmt: skip


class EdgeEvent(NamedTuple):
    """An event so long after the edge."""

    after_ms: int
    user: str = ""
    device: str = ""
    name: str = "Product Viewed"
    source: str = "web"
    country: str = "DE"
    properties: dict[str, Any] = {}  # noqa: RUF012  (nobody changes it)


def draw_edge_cases(edge_ms: int, rng: Random) -> Iterator[SimulatedRecord]:
    """All of them, shuffled; some are sent twice."""
    records = [_make_record(edge_ms, number, event) for number, event in enumerate(list_events())]
    records += rng.sample(records, len(records) // 5)
    rng.shuffle(records)
    yield from records


def list_events() -> list[EdgeEvent]:
    return [*list_sessions(), *list_days(), *list_links(), *list_placeholders(), *list_orders()]


def list_sessions() -> Iterator[EdgeEvent]:
    """A gap of exactly 30 minutes and of more, equal timestamps, two sessions joined by a late event; over the edge."""
    yield from (EdgeEvent(ms, "gap") for ms in (-15 * MINUTE, 15 * MINUTE, 45 * MINUTE + 1, 90 * MINUTE))
    for country, source in (("DE", "web"), ("AT", "ios"), ("AT", "web"), ("CH", "web")):
        yield EdgeEvent(0, "equal", country=country, source=source)
    yield from (EdgeEvent(ms, "joined") for ms in (-50 * MINUTE, 0, -25 * MINUTE))


def list_days() -> Iterator[EdgeEvent]:
    """The last instant of a day and the first of the next; a person who is first seen by what a server tells late."""
    yield from (EdgeEvent(ms, "midnight") for ms in (-1, 0, HOUR, 2 * HOUR, 3 * HOUR))
    yield EdgeEvent(8 * HOUR, "first")
    yield from (EdgeEvent(-days * DAY, "first", source="server") for days in (1, 6, 7, 8, 20))


def list_links() -> Iterator[EdgeEvent]:
    """A login in the middle of a session, a link of two histories, three devices of one user."""
    yield from (EdgeEvent(-MINUTE, "", "a"), EdgeEvent(MINUTE, "login", "a"), EdgeEvent(2 * MINUTE, "login"))
    yield from (EdgeEvent(-days * DAY, "", "phone", source="server") for days in (9, 3, 2))
    yield from (EdgeEvent(-days * DAY, "both", source="server") for days in (8, 2))
    yield EdgeEvent(HOUR, "both", "phone")
    for number, device in enumerate(("d1", "d2", "d3")):
        yield EdgeEvent(number * 20 * MINUTE - 30 * MINUTE, "", device)
        yield EdgeEvent(HOUR + number * MINUTE, "three", device)


def list_placeholders() -> Iterator[EdgeEvent]:
    """As a user each is nobody; as a device each is one person that is linked to nobody."""
    for number, placeholder in enumerate(PLACEHOLDERS):
        yield from (EdgeEvent(number * MINUTE, placeholder, device) for device in ("x", "y"))
        yield from (EdgeEvent(number * MINUTE, user, placeholder) for user in ("v", "w", ""))


def list_orders() -> Iterator[EdgeEvent]:
    """An order that page and server report alike, one whose refund is larger, both over the edge."""
    line = [{"product_id": "p-1", "price": "19.99", "quantity": 2}]
    for name in ("Order Completed", "Completed Order"):
        for topic in TOPICS:
            yield EdgeEvent(
                -1, "buyer", name=name, source=f"web:{topic}", properties={"order_id": "o", "products": line}
            )
    yield EdgeEvent(0, "buyer", name="Order Completed", properties={"order_id": "small", "products": line})
    yield EdgeEvent(HOUR, "buyer", name="Order Refunded", properties={"order_id": "small", "total": "44.97"})
    yield EdgeEvent(HOUR, "buyer", name="Order Cancelled", properties={"order_id": "small", "products": line * 3})


def _make_record(edge_ms: int, number: int, event: EdgeEvent) -> SimulatedRecord:
    source, _, topic = event.source.partition(":")
    message: dict[str, Any] = {
        "projectId": "demo", "type": "track", "event": event.name, "messageId": f"m{number}", "source": source,
        "timestamp": write_time(edge_ms + event.after_ms), "properties": {"product_id": "p-2", **event.properties},
        "context": {"location": {"country": event.country}, "device": {"type": "phone"}},
    }  # fmt: skip
    message |= {"userId": event.user} if event.user else {}
    message |= {"anonymousId": event.device} if event.device else {}
    key = f"demo:{event.device or event.user}".encode()
    return SimulatedRecord(TOPICS[topic or source], key, json.dumps(message).encode(), edge_ms + 10 * HOUR)
