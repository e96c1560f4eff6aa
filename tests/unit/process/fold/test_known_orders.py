"""An order counts once in 7 days of stream time, whatever its messageId, topic or person."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import pytest

from rtaplatform.core.rollups import make_field
from rtaplatform.core.time.buckets import BucketKind
from rtaplatform.process.fold.known_orders import ABSENT, ORDER_LIFE_MS, KnownOrders, OrderFilter
from rtaplatform.store.memory.memory_store import MemoryStore
from rtaplatform.store.port import CellsKey, OrderWrite
from tests.comparison import compute_expected, find_differences, read_memory_totals
from tests.unit.process.decode.odd_records import (
    DAY,
    HOUR,
    NOW,
    Sent,
    count_by_a_worker,
    count_by_the_oracle,
    make_log,
)

KEY = ("demo", b"order-01")
WEB, MOBILE, SERVER = "rta.events.web", "rta.events.mobile", "rta.events.server"
NUMBERS = count()
LINES = [{"product_id": "p", "price": 5, "quantity": 2}, {"product_id": "q", "price": 1}]


def make_sent_order(order_id: Any, *, topic: str = WEB, apart_ms: int = 0, **fields: Any) -> Sent:
    """An order; each record has a messageId of its own."""
    message = {
        "projectId": "demo", "type": "track", "event": "Order Completed", "userId": "u", "source": "web",
        "timestamp": NOW, "messageId": f"m{next(NUMBERS)}",
        "properties": {"order_id": order_id, "products": LINES}, **fields,
    }  # fmt: skip
    return Sent(topic, b"demo:u", json.dumps(message).encode(), apart_ms, was_collected=False)


def count_orders(*records: Sent, batch_max: int = 100) -> MemoryStore:
    """What a worker makes of them; the oracle must agree."""
    broker = make_log(records)
    store = count_by_a_worker(broker, batch_max=batch_max)
    totals, expected_totals = read_memory_totals(store), compute_expected(count_by_the_oracle(broker))
    for fields in (*totals.cells.values(), *expected_totals.cells.values()):
        fields.pop("repeated_order", None)  # either report may be read first; `counts` has the sum
    assert find_differences(totals, expected_totals) == []
    return store


def sum_days(store: MemoryStore) -> tuple[int, int, int, int]:
    """Events, orders, units and revenue of all days."""
    days = [
        fields
        for key, fields in store.shards[0].totals.cells.items()
        if key.rollup == "activity" and key.kind is BucketKind.DAY
    ]
    return tuple(sum(day.get(name, 0) for day in days) for name in ("count", "orders", "units", "revenue"))  # type: ignore[return-value]


ONCE = (10_000 * 3, 110_000)  # units, revenue


def test_a_repeat_is_an_event_and_adds_nothing_else() -> None:
    for batch_max in (1, 100):
        store = count_orders(
            make_sent_order("a"),
            make_sent_order("a", topic=SERVER, apart_ms=HOUR),
            make_sent_order("b"),
            batch_max=batch_max,
        )
        assert sum_days(store) == (3, 2, 2 * ONCE[0], 2 * ONCE[1])
        assert store.shards[0].totals.counts["demo|repeated_order"] == 1
        days = [
            f
            for key, f in store.shards[0].totals.cells.items()
            if key.rollup == "products" and key.kind is BucketKind.DAY
        ]
        assert [day[make_field("orders", "p")] for day in days] == [2]
        assert [day["shared_orders"] for day in days] == [2]


def test_a_repeat_is_found_in_other_topics_and_persons_and_under_other_names() -> None:
    again: dict[str, Any] = {"event": "purchase", "userId": "v", "properties": {"transaction_id": " a\t", "value": 9}}
    store = count_orders(
        make_sent_order("a"),
        make_sent_order("a", topic=MOBILE, anonymousId="x"),
        make_sent_order("a", topic=SERVER, **again),
    )
    assert sum_days(store) == (3, 1, *ONCE)


def test_an_order_of_another_project_or_of_a_bot_is_another() -> None:
    bot: dict[str, Any] = {"marks": ["bot:agent"]}
    store = count_orders(
        make_sent_order("a", **bot),
        make_sent_order("a"),
        make_sent_order("a", **bot),
        make_sent_order("a", projectId="other"),
    )
    assert sum_days(store) == (2, 2, 2 * ONCE[0], 2 * ONCE[1])
    activity = [f for key, f in store.shards[0].totals.cells.items() if key.rollup == "activity"]
    assert max(fields.get("~orders", 0) for fields in activity) == 1


@pytest.mark.parametrize("nothing", [None, "", " ", "undefined", "NULL", "[object Object]", 0, "0000", {}, [], True])
def test_an_order_without_an_id_counts_each_time(nothing: Any) -> None:
    assert sum_days(count_orders(make_sent_order(nothing), make_sent_order(nothing)))[:2] == (2, 2)


@pytest.mark.parametrize(("apart_ms", "orders"), [(7 * DAY - 1, 1), (7 * DAY, 2)])
def test_seven_days_are_of_stream_time(apart_ms: int, orders: int) -> None:
    for batch_max in (1, 100):
        store = count_orders(make_sent_order("a"), make_sent_order("a", apart_ms=apart_ms), batch_max=batch_max)
        assert sum_days(store)[1] == orders


def test_an_order_that_was_counted_again_begins_its_seven_days_anew() -> None:
    for batch_max in (1, 2, 100):
        times = (0, 7 * DAY, 7 * DAY - 1, 2)
        store = count_orders(*(make_sent_order("a", apart_ms=apart_ms) for apart_ms in times), batch_max=batch_max)
        assert sum_days(store)[1] == 3


def test_a_late_order_takes_the_place_of_none() -> None:
    old: dict[str, Any] = {"timestamp": "2020-01-01T00:00:00Z"}
    assert sum_days(count_orders(make_sent_order("a", **old), make_sent_order("a")))[:2] == (1, 1)


def test_one_batch_asks_and_remembers_in_the_order_of_its_records() -> None:
    orders = OrderFilter(KnownOrders())
    assert [orders.is_repeat(KEY, at) for at in (5, 6, 5 + ORDER_LIFE_MS)] == [False, True, False]
    assert orders.is_repeat(("demo", b"order-02"), 7) is False
    assert orders.make_writes() == [
        OrderWrite("demo", [b"order-01", b"order-02"], [ABSENT, ABSENT], [5 + ORDER_LIFE_MS, 7])
    ]


def test_the_next_batch_knows_what_was_sent_and_what_was_told() -> None:
    known_orders = KnownOrders()
    known_orders.accept([OrderWrite("demo", [KEY[1]], [ABSENT], [5])])
    orders = OrderFilter(known_orders)
    assert orders.is_repeat(KEY, 6)
    assert orders.make_writes() == [OrderWrite("demo", [KEY[1]], [5], [ABSENT])]
    known_orders.learn({KEY: ABSENT})
    assert not OrderFilter(known_orders).is_repeat(KEY, 6)


def test_what_was_refused_is_taken_back() -> None:
    known_orders = KnownOrders()
    known_orders.learn({KEY: 5})
    write = OrderWrite("demo", [KEY[1], b"order-02"], [5, ABSENT], [5 + ORDER_LIFE_MS, 9])
    known_orders.accept([write])
    assert (known_orders[KEY], known_orders[("demo", b"order-02")]) == (5 + ORDER_LIFE_MS, 9)
    known_orders.take_back([write])
    assert (known_orders[KEY], known_orders[("demo", b"order-02")], len(known_orders)) == (5, ABSENT, 1)


def test_no_more_are_known_than_the_limit() -> None:
    known_orders = KnownOrders(2)
    known_orders.accept([OrderWrite("demo", [b"order-%02d" % n for n in range(5)], [ABSENT] * 5, list(range(5)))])
    known_orders.trim()
    assert [known_orders[("demo", b"order-%02d" % n)] for n in range(5)] == [ABSENT, ABSENT, ABSENT, 3, 4]


def test_the_buckets_of_quality_count_repeats_by_stream_time() -> None:
    store = count_orders(make_sent_order("a"), make_sent_order("a", apart_ms=HOUR))
    at = (NOW + HOUR) // 60_000
    assert store.shards[0].totals.cells[CellsKey("demo", "quality", BucketKind.MINUTE, at)] == {"repeated_order": 1}
