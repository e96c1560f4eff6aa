"""Records of transactions: what was aborted does not count."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from rtaplatform.stream.kafka import producer_config
from tests.integration.chaos import Stack


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    running = Stack.start(tmp_path / "a stack")
    yield running
    running.stop()


def test_aborted_records_do_not_count_and_markers_do_not_hold_the_ledger_up(stack: Stack) -> None:
    producer = Producer(producer_config(stack.kafka_settings) | {"transactional.id": "a shop"})
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
    stack.spawn("worker")
    stack.drain()
    assert not stack.check()
    assert stack.held().counts["demo|applied"] == 50
