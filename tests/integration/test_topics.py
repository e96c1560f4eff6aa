"""A topic that is made again, or cut by its retention, stops; an operator accepts it, and counting goes on."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from rtaplatform.operations import adopt_topic, describe_topics
from rtaplatform.settings import TopicSettings
from rtaplatform.store.redis import RedisStore
from rtaplatform.stream.broker import Broker
from rtaplatform.stream.kafka import client_config, producer_config
from tests.integration.chaos import Stack, until

TOPIC = "rta.events.web"
ASK = """
import sys
from rtaplatform.core.errors import Unavailable
from rtaplatform.settings import KafkaSettings
from rtaplatform.stream.broker import Broker
try:
    assert Broker(KafkaSettings(bootstrap_servers=sys.argv[1])).committed(sys.argv[2]) == {}
except Unavailable:
    pass
"""


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    running = Stack.start(tmp_path / "a stack")
    yield running
    running.stop()


def send(stack: Stack, count: int, prefix: str) -> None:
    producer = Producer(producer_config(stack.kafka_settings))
    for number in range(count):
        event = {"projectId": "demo", "type": "page", "messageId": f"{prefix}-{number}", "userId": "u"}
        producer.produce(TOPIC, json.dumps(event).encode(), f"demo:{number}".encode())
    assert producer.flush(20) == 0


def stops(stack: Stack) -> dict[str, str]:
    store = RedisStore(stack.store_settings)
    try:
        return store.stops(0)
    finally:
        store.close()


def test_a_topic_made_again_stops_until_it_is_adopted(stack: Stack) -> None:
    stack.spawn("worker")
    send(stack, 40, "first")
    stack.drain()
    admin = AdminClient(client_config(stack.kafka_settings))
    admin.delete_topics([TOPIC])[TOPIC].result()
    time.sleep(1)
    until(lambda: Broker(stack.kafka_settings).create_topics(TopicSettings()) == [TOPIC], "the topic, again")
    send(stack, 60, "second")
    until(lambda: any("recreated" in why for why in stops(stack).values()), "the stop")
    assert stack.held().counts["demo|applied"] == 40
    assert adopt_topic(stack.kafka_settings, stack.store_settings, TOPIC)
    stack.drain()
    assert stack.held().counts["demo|applied"] == 100
    until(lambda: not stops(stack), "the stop to be taken back")
    rows = describe_topics(stack.kafka_settings, stack.store_settings)
    assert sum(len(row["gaps"]) for row in rows) == 4


def test_a_cluster_without_groups_can_be_asked_for_one(stack: Stack) -> None:
    """While it makes its first coordinators, one that is asked is often not the one: whoever asks lives on."""

    def ask(group: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", ASK, stack.kafka_settings.bootstrap_servers, f"group-{group}"]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, range(12)))
    assert [answer.returncode for answer in answers] == [0] * 12, [answer.stderr for answer in answers]
