"""A Kafka before 4.0, whose brokers do not know the new group protocol: readers fall back to the old one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from rtaplatform.core.errors import Unavailable
from rtaplatform.local.data.cache_folder import find_cache_folder
from rtaplatform.local.data.ports import keep_ports
from rtaplatform.local.servers.kafka import Kafka
from rtaplatform.settings import KafkaSettings, LocalSettings, ProfilesSettings, TopicSettings, WorkerSettings
from rtaplatform.stream.kafka.broker import Broker
from rtaplatform.stream.kafka.config import make_producer_config
from rtaplatform.stream.kafka.consumer import KafkaConsumer
from rtaplatform.stream.kafka.group_consumer import CommittingConsumer
from tests.integration.chaos import wait_until
from tests.integration.servers import start_server

LOCK = Path(__file__).with_name("kafka-3.9.lock.toml")
WEB = "rta.events.web"
RECORDS = 200
SECONDS_MAX = 60.0


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaSettings]:
    folder = tmp_path_factory.mktemp("kafka 3.9")
    ports = keep_ports(folder / "ports.json", ["kafka", "controller"])
    cache = find_cache_folder(LocalSettings().cache_dir)
    server = Kafka(folder / "kafka", cache, ports["kafka"], ports["controller"], lock_file=LOCK)
    running = start_server(server, folder)
    settings = KafkaSettings(bootstrap_servers=server.bootstrap_servers)
    broker = Broker(settings)
    wait_until(lambda: bool(broker.create_topics(TopicSettings()) or broker.describe_topics()), "the topics")
    wait_until(lambda: len(broker.read_ends()) == 12, "the topics' leaders")
    producer = Producer(make_producer_config(settings))
    for number in range(RECORDS):
        producer.produce(WEB, b"%d" % number, b"k%d" % number)
    assert producer.flush(20) == 0
    yield settings
    running.stop()


class Reader:
    """A worker's log; it seeks to the start of what it is given, as a worker without a ledger would."""

    def __init__(self, kafka: KafkaSettings, protocol: str, group: str) -> None:
        settings = WorkerSettings(group_id=group, group_protocol=protocol)  # type: ignore[arg-type]  # one of two
        self.log, self.version = KafkaConsumer(kafka, settings), -1
        self.values: set[bytes] = set()

    def turn(self) -> None:
        version, ours = self.log.read_assignment()
        if version != self.version:
            self.log.seek(dict.fromkeys(ours, 0))
            self.version = version
        for run in self.log.poll().runs:
            self.values |= {value for value in run.values if value}


def turn_until(readers: list[Reader], is_done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while not is_done():
        assert time.monotonic() < deadline
        for reader in readers:
            reader.turn()


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_workers_share_the_partitions_and_read_everything(kafka: KafkaSettings, protocol: str) -> None:
    readers = [Reader(kafka, protocol, f"workers-{protocol}") for _ in range(2)]
    sizes = [0, 0]

    def is_shared() -> bool:
        sizes[:] = [len(reader.log.read_assignment()[1]) for reader in readers]
        return sizes == [6, 6] and len(readers[0].values | readers[1].values) == RECORDS

    turn_until(readers, is_shared)
    readers[0].log.close()
    turn_until(readers[1:], lambda: len(readers[1].log.read_assignment()[1]) == 12)
    readers[1].log.close()


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_profiles_read_and_go_on_where_they_were(kafka: KafkaSettings, protocol: str) -> None:
    settings = ProfilesSettings(group_id=f"profiles-{protocol}", group_protocol=protocol)  # type: ignore[arg-type]
    log = CommittingConsumer(kafka, settings)
    values: set[bytes | None] = set()
    deadline = time.monotonic() + SECONDS_MAX
    while len(values) < RECORDS:
        assert time.monotonic() < deadline
        try:
            values |= {record.value for record, _ in log.poll()}
        except Unavailable:
            continue  # a partition that has just been assigned may not be sought yet
    log.commit()
    log.close()
    assert sum(Broker(kafka).read_committed(settings.group_id).values()) == RECORDS
