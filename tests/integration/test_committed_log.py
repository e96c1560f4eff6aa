"""The log with committed offsets, on a Kafka of its own: it goes on where it was, and passes over nothing."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from rtaplatform.core.errors import Unavailable
from rtaplatform.settings import KafkaSettings, ProfilesSettings, TopicSettings
from rtaplatform.stream.kafka.broker import Broker
from rtaplatform.stream.kafka.group_consumer import CommittingConsumer
from tests.integration.chaos import wait_until
from tests.integration.servers import start_kafka

WEB = "rta.events.web"
READ_SECONDS_MAX = 30.0


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaSettings]:
    running = start_kafka(tmp_path_factory.mktemp("committed log"))
    settings = KafkaSettings(bootstrap_servers=running.server.bootstrap_servers)
    make_topics(settings)
    yield settings
    running.stop()


def make_topics(kafka: KafkaSettings) -> None:
    broker = Broker(kafka)
    wait_until(lambda: bool(broker.create_topics(TopicSettings()) or broker.describe_topics()), "the topics")
    wait_until(lambda: len(broker.read_ends()) == 12, "the topics' leaders")


def produce(kafka: KafkaSettings, name: str, records: int, timestamp_ms: int = 1_000) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for number in range(records):
        producer.produce(WEB, f"{name}-{number}".encode(), b"k", 0, timestamp=timestamp_ms + number)
    assert producer.flush(30) == 0


def read(log: CommittingConsumer, records: int) -> list[tuple[str, int]]:
    """So many records (more where they come together), and the stream time at each."""
    readings: list[tuple[str, int]] = []
    deadline = time.monotonic() + READ_SECONDS_MAX
    while len(readings) < records:
        assert time.monotonic() < deadline, readings
        # A partition that has just been assigned may not be sought yet: then it is with the next poll.
        with contextlib.suppress(Unavailable):
            readings += [((record.value or b"").decode(), at) for record, at in log.poll()]
    return readings


def list_values(name: str, start: int, end: int) -> list[str]:
    return [f"{name}-{number}" for number in range(start, end)]


def test_it_goes_on_where_it_was_through_restarts_gaps_and_new_topics(kafka: KafkaSettings) -> None:
    settings = ProfilesSettings(group_id="one", batch_wait_ms_max=100)
    produce(kafka, "a", 10, timestamp_ms=5_000)
    log = CommittingConsumer(kafka, settings)
    assert [value for value, _ in read(log, 10)] == list_values("a", 0, 10)
    log.commit()
    produce(kafka, "b", 5)
    assert len(read(log, 5)) == 5
    log.close()

    log = CommittingConsumer(kafka, settings)
    again = read(log, 5)
    assert [value for value, _ in again] == list_values("b", 0, 5), "what was not committed is read again"
    assert {at for _, at in again} == {5_009}, "and stream time goes on where it was"
    log.commit()
    log.close()

    produce(kafka, "c", 20)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    for future in admin.delete_records([TopicPartition(WEB, 0, 25)]).values():
        future.result()
    log = CommittingConsumer(kafka, settings)
    assert [value for value, _ in read(log, 10)] == list_values("c", 10, 20), "the log has no older ones"
    log.commit()
    log.close()

    admin.delete_topics([WEB])[WEB].result()
    wait_until(lambda: WEB not in Broker(kafka).describe_topics(), "the topic to go")
    make_topics(kafka)
    produce(kafka, "d", 60)
    log = CommittingConsumer(kafka, settings)
    assert [value for value, _ in read(log, 60)] == list_values("d", 0, 60), "another topic, from its start"
    log.close()
