"""Transactions: what was aborted does not count, and what an open one holds back is not taken for counted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer

from rtaplatform.analytics.freshness.log_ends import LogInstant
from rtaplatform.analytics.freshness.tracker import FreshnessTracker
from rtaplatform.store.redis.redis_reader import RedisReader
from rtaplatform.stream.kafka.broker import Broker
from rtaplatform.stream.kafka.config import make_producer_config
from tests.integration.chaos import Stack, wait_until


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    running = Stack.start(tmp_path_factory.mktemp("transactions") / "a stack")
    running.spawn("worker")
    yield running
    running.stop()


def test_aborted_records_do_not_count_and_markers_do_not_hold_the_ledger_up(stack: Stack) -> None:
    before = count_applied(stack)
    producer = Producer(make_producer_config(stack.kafka_settings) | {"transactional.id": "a shop"})
    producer.init_transactions()
    for number in range(4):
        producer.begin_transaction()
        for index in range(25):
            event = {
                "projectId": "demo",
                "type": "track",
                "event": "Seen",
                "messageId": f"{number}-{index}",
                "userId": "u",
            }
            producer.produce("rta.events.web", json.dumps(event).encode(), b"demo:u")
        producer.commit_transaction() if number % 2 else producer.abort_transaction()
    stack.drain()
    assert not stack.check()
    assert stack.read_totals().counts["demo|applied"] == before + 50
    assert measure_freshness(stack, 0) == (0, True), "the markers at the end hold nobody back"


def test_events_behind_an_open_transaction_are_told_as_not_counted(stack: Stack) -> None:
    stranger = Producer(make_producer_config(stack.kafka_settings) | {"transactional.id": "a stranger"})
    stranger.init_transactions()
    stranger.begin_transaction()
    for number in range(4):
        stranger.produce("rta.events.web", b"{}", b"k", number)
    stranger.flush()
    before = count_applied(stack)
    producer = Producer(make_producer_config(stack.kafka_settings))
    for index in range(20):
        event = {"projectId": "demo", "type": "page", "messageId": str(index), "userId": "u"}
        producer.produce("rta.events.web", json.dumps(event).encode(), f"demo:{index}".encode())
    producer.flush()
    wait_until(lambda: measure_freshness(stack, 0)[0] == 24, "the ends beyond the transaction")
    assert measure_freshness(stack, 11) == (24, False)
    stranger.abort_transaction()
    stack.drain()
    assert count_applied(stack) == before + 20
    assert measure_freshness(stack, 11) == (0, True)


def count_applied(stack: Stack) -> int:
    return stack.read_totals().counts.get("demo|applied", 0)


def measure_freshness(stack: Stack, seconds_later: float) -> tuple[int, bool]:
    """Lag in records, and `complete`: as the API tells them so long after the workers have moved last."""
    tracker, broker = FreshnessTracker(), Broker(stack.kafka_settings)
    reader = RedisReader(stack.store_settings)

    async def look() -> tuple[int, bool]:
        snapshot = await reader.read("demo", [])
        await reader.close()
        tracker.sample(LogInstant(0, 0.0), broker.read_ends())
        tracker.observe(snapshot, LogInstant(0, 0.0))
        now = LogInstant(round(seconds_later * 1000), seconds_later)
        state = tracker.observe(snapshot, now)
        return sum(partition.lag for partition in tracker.report_state(now).partitions), state.is_complete

    return asyncio.run(look())
