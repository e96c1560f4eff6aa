"""Dead letters in the real Kafka: records of any size that a broker takes are quarantined."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from rtaplatform.stream.kafka.broker import Broker
from rtaplatform.stream.kafka.config import DEAD_LETTERS, make_client_config, make_producer_config
from rtaplatform.stream.kafka.dead_letters import KEY_BYTES_KEPT, VALUE_BYTES_KEPT
from rtaplatform.stream.port import Partition
from tests.integration.chaos import Stack, wait_until

TOPIC = "rta.events.web"
GOOD = json.dumps({"projectId": "demo", "type": "page", "messageId": "m", "userId": "u"}).encode()
# What another producer may send, whose limit is that of the broker: 1,048,588 bytes with the batch's own.
LARGEST = 1_048_000


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    running = Stack.start(tmp_path / "a stack")
    yield running
    running.stop()


def read_dead_letters(stack: Stack) -> list[Message]:
    count = Broker(stack.kafka_settings).describe_topics([DEAD_LETTERS])[DEAD_LETTERS][1]
    extents = Broker(stack.kafka_settings).read_extents(Partition(DEAD_LETTERS, n) for n in range(count))
    consumer = Consumer(make_client_config(stack.kafka_settings) | {"group.id": "reader", "auto.offset.reset": "error"})
    try:
        consumer.assign([TopicPartition(DEAD_LETTERS, p.number, extent.low) for p, extent in extents.items()])
        letters_expected = sum(extent.high - extent.low for extent in extents.values())
        messages: list[Message] = []

        def are_read() -> bool:
            messages.extend(consumer.consume(10, 0.5))
            return len(messages) >= letters_expected

        wait_until(are_read, "all dead letters")
        return messages
    finally:
        consumer.close()


def test_the_largest_records_hold_nobody_up_and_their_beginning_is_kept(stack: Stack) -> None:
    producer = Producer(make_producer_config(stack.kafka_settings) | {"message.max.bytes": 2_000_000})
    value, key = b"v" * (LARGEST - 100), b"k" * (LARGEST - 100)
    producer.produce(TOPIC, value, b"key", partition=0)
    producer.produce(TOPIC, b"{}", key, partition=0)
    producer.produce(TOPIC, GOOD, b"demo:u", partition=0)
    assert producer.flush(20) == 0
    stack.spawn("worker")
    stack.drain()
    assert not stack.check()
    assert stack.read_totals().counts["demo|applied"] == 1
    dead_letters_by_key = {dead_letter.key(): dead_letter for dead_letter in read_dead_letters(stack)}
    assert set(dead_letters_by_key) == {f"{TOPIC}:0:0".encode(), f"{TOPIC}:0:1".encode()}
    large, named = (dict(dead_letters_by_key[f"{TOPIC}:0:{offset}".encode()].headers() or []) for offset in (0, 1))
    assert dead_letters_by_key[f"{TOPIC}:0:0".encode()].value() == value[:VALUE_BYTES_KEPT]
    assert (large["rta-reason"], large["rta-key"]) == (b"too_large", b"key")
    assert large["rta-cut"] == f"key 3, value {len(value)} bytes".encode()
    assert named["rta-key"] == key[:KEY_BYTES_KEPT]
    assert named["rta-cut"] == f"key {len(key)}, value 2 bytes".encode()
