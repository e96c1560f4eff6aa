"""Orders among the records of visitors, each of them reported several times: by other partitions, topics and clients.

The reports of one order differ in messageId, topic and key alone, so that totals are the same whichever is read first.
Bots report orders of others.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from rtaplatform.simulate.shop.records import TOPIC_OF_SOURCE, SimulatedRecord, encode, write_time

SHARE, REPEATS, REPEATED_OF, REFUNDS, BOTS = 0.15, 0.6, 12, 0.3, 0.2
NAMES = ("Order Completed", "Completed Order", "purchase")


def with_orders(records: Iterator[SimulatedRecord], project: str, rng: Random) -> Iterator[SimulatedRecord]:
    """These records, with orders between them."""
    orders: list[dict[str, Any]] = []
    for record in records:
        yield record
        if record.timestamp > 0 and rng.random() < SHARE:
            if not orders or rng.random() >= REPEATS:
                orders = [*orders[-REPEATED_OF:], _make_order(project, record.timestamp, rng)]
            order = rng.choice(orders)
            is_by_bot = rng.random() < BOTS
            yield _report({**order, "marks": ["bot:agent"]} if is_by_bot else order, record.timestamp, rng)
            if rng.random() < REFUNDS:
                yield _report(_refund(order, record.timestamp, rng), record.timestamp, rng)


def _make_order(project: str, at_ms: int, rng: Random) -> dict[str, Any]:
    """An order under one of its names; some have no id."""
    name, number = rng.choice(NAMES), rng.randrange(10**9)
    order_id: Any = rng.choice([f"o-{number}", number, f" o-{number}\t", None, "undefined", "0"])
    line = {"price": rng.choice([1.5, "2.25"]), "quantity": rng.randint(1, 3)}
    lines = [{**line, "product_id": f"p-{product}", "item_id": f"p-{product}"} for product in range(rng.randint(0, 3))]
    properties = {"order_id": order_id, "currency": rng.choice(["EUR", "USD"]), "products": lines}
    foreign = {"transaction_id": order_id, "items": lines, "value": rng.choice([None, 7])}
    return {
        "projectId": project,
        "type": "track",
        "event": name,
        "userId": f"buyer-{rng.randrange(6)}",
        "source": rng.choice(["web", "server"]),
        "timestamp": write_time(at_ms),
        "properties": foreign if name == "purchase" else properties,
    }


def _refund(order: dict[str, Any], at_ms: int, rng: Random) -> dict[str, Any]:
    """What is paid back of it, later: all of it, some lines, or more than it had cost."""
    properties = {**order["properties"], **rng.choice([{}, {"total": 3}, {"revenue": "1000"}, {"products": None}])}
    name = rng.choice(["Order Refunded", "Order Cancelled", "refund"])
    return {**order, "event": name, "timestamp": write_time(at_ms), "properties": properties}


def _report(order: dict[str, Any], at_ms: int, rng: Random) -> SimulatedRecord:
    topic = TOPIC_OF_SOURCE[rng.choice(["web", "ios", "server"])]
    key = f"{order['projectId']}:{rng.randrange(50)}".encode()
    return SimulatedRecord(topic, key, encode({**order, "messageId": f"report-{rng.getrandbits(60)}"}), at_ms)
