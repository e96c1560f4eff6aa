"""A worker's log as a member of a group on the real Kafka: what it gets, and how it comes back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from rtaplatform.settings import TopicSettings, WorkerSettings
from rtaplatform.stream.kafka.broker import Broker
from rtaplatform.stream.kafka.config import make_producer_config
from rtaplatform.stream.kafka.consumer import KafkaConsumer
from tests.integration.chaos import Stack, wait_until

TOPIC = "rta.events.web"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    running = Stack.start(tmp_path / "a stack")
    yield running
    running.stop()


def test_one_whom_the_group_has_lost_sight_of_joins_anew_and_reads(stack: Stack) -> None:
    partitions = 3 * TopicSettings().partitions
    log = KafkaConsumer(stack.kafka_settings, WorkerSettings(batch_wait_ms_max=100))

    def owned() -> int:
        log.poll()
        return len(log.read_assignment()[1])

    wait_until(lambda: owned() == partitions, "all partitions")
    log._consumer.unsubscribe()  # the group gives it nothing, and it hears of nothing
    wait_until(lambda: owned() == 0, "no partition")
    version = log.read_assignment()[0]
    log.rejoin()
    wait_until(lambda: owned() == partitions, "all partitions, again", 60)
    assert log.read_assignment()[0] > version
    producer = Producer(make_producer_config(stack.kafka_settings))
    producer.produce(TOPIC, b"{}", b"k", partition=0)
    assert producer.flush(20) == 0
    log.seek(dict.fromkeys(log.read_assignment()[1], 0))
    assert Broker(stack.kafka_settings).read_ends()
    wait_until(lambda: any(run.values == [b"{}"] for run in log.poll().runs), "the record")
    assert len(log.read_assignment()[1]) == partitions, "what the old one has lost is not ours"
    log.close()
