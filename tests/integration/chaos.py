"""A stack of its own for tests that kill things: Kafka, Valkey and workers, and the oracle over what Kafka holds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from confluent_kafka import Consumer, KafkaError, TopicPartition
from pydantic import SecretStr

from rtaplatform.core.projects import ProjectSettings
from rtaplatform.local.servers.kafka import Kafka
from rtaplatform.local.servers.valkey import Valkey
from rtaplatform.settings import KafkaSettings, StoreSettings, TopicSettings
from rtaplatform.simulate.oracle.oracle import ConsumedRecord, recount
from rtaplatform.store.redis.redis_store import RedisStore
from rtaplatform.store.redis.shard_lifecycle import begin_missing
from rtaplatform.stream.kafka.broker import Broker
from rtaplatform.stream.kafka.config import make_client_config
from rtaplatform.stream.port import Partition
from tests.comparison import (
    SKETCH_ERROR_MAX,
    Totals,
    check_the_law,
    compute_expected,
    find_differences,
    read_redis_totals,
)
from tests.integration.servers import TESTER, Running, start_kafka, start_valkey

PROJECT = ProjectSettings("demo", "Europe/Berlin", "EUR")
DRAINED_SECONDS_MAX = 120


@dataclass
class Stack:
    """Started by `start`; `stop` ends all of it. `say` is where the children's words go."""

    kafka: Running[Kafka]
    valkey: Running[Valkey]
    folder: Path
    shards: int = 1
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @classmethod
    def start(cls, folder: Path, *, shards: int = 1) -> Stack:
        folder.mkdir(parents=True)
        stack = cls(start_kafka(folder), start_valkey(folder), folder, shards)
        broker = Broker(stack.kafka_settings)
        wait_until(lambda: bool(broker.create_topics(TopicSettings()) or broker.describe_topics()), "the topics")
        wait_until(lambda: len(broker.read_ends()) == 12, "the topics' leaders")
        store = RedisStore(stack.store_settings)
        store.load_functions()
        store.set_projects([PROJECT])
        begin_missing(store, shards, {name: i for name, (i, _) in broker.describe_topics().items()}, {})
        return stack

    def stop(self) -> None:
        for child in self.children:
            child.kill()
            child.wait()
        self.valkey.stop()
        self.kafka.stop()

    @property
    def kafka_settings(self) -> KafkaSettings:
        return KafkaSettings(bootstrap_servers=self.kafka.server.bootstrap_servers)

    @property
    def store_settings(self) -> StoreSettings:
        server = self.valkey.server
        return StoreSettings(
            url=SecretStr(server.make_url("rta")),
            loader_url=SecretStr(server.make_url("rta-loader")),
            shards=self.shards,
        )

    def spawn(self, *arguments: str, module: str = "rtaplatform.cli.main") -> subprocess.Popen[bytes]:
        """One of our own commands, as `rta` would run it, or another module with the same environment."""
        log = (self.folder / f"{arguments[0]}.log").open("ab")
        child = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], env=self.make_environment(), stdout=log, stderr=log
        )
        self.children.append(child)
        return child

    def make_environment(self) -> dict[str, str]:
        store = self.store_settings
        assert store.loader_url is not None
        return os.environ | {
            "PYTHONPATH": os.pathsep.join(["src", os.environ.get("PYTHONPATH", "")]),
            "RTA_KAFKA_BOOTSTRAP_SERVERS": self.kafka.server.bootstrap_servers,
            "RTA_REDIS_URL": store.url.get_secret_value(),
            "RTA_REDIS_LOADER_URL": store.loader_url.get_secret_value(),
            "RTA_REDIS_SHARDS": str(self.shards),
        }

    def kill(self, child: subprocess.Popen[bytes]) -> None:
        child.send_signal(signal.SIGKILL)
        child.wait()
        self.children.remove(child)

    # what is true ----------------------------------------------------------------------------------------------

    def read_records(self) -> Iterator[ConsumedRecord]:
        """All that Kafka holds for readers; each partition in its order."""
        config = {"group.id": "oracle", "auto.offset.reset": "error", "enable.partition.eof": True}
        consumer = Consumer(make_client_config(self.kafka_settings) | config)
        try:
            extents = Broker(self.kafka_settings).read_extents(self._list_partitions())
            there = {partition for partition, extent in extents.items() if extent.high}
            consumer.assign([TopicPartition(partition.topic, partition.number, 0) for partition in there])
            yield from _read_to_the_ends(consumer, there)
        finally:
            consumer.close()

    def _list_partitions(self) -> list[Partition]:
        return [
            Partition(name, n)
            for name, (_, count) in Broker(self.kafka_settings).describe_topics().items()
            for n in range(count)
        ]

    def recount_totals(self) -> Totals:
        return compute_expected(
            recount(self.read_records(), projects={"demo": {"zone": PROJECT.zone, "currency": PROJECT.currency}})
        )

    def read_totals(self) -> Totals:
        with redis.Redis.from_url(self.valkey.server.make_url(TESTER)) as client:
            return read_redis_totals(client)

    def drain(self) -> None:
        """Wait until every shard's ledger stands at the log's end."""
        broker, store = Broker(self.kafka_settings), RedisStore(self.store_settings)

        def at_the_end() -> bool:
            ends = {place: end for place, end in broker.read_ends().items() if end}
            for shard in range(self.shards):
                state = store.read_state(shard)
                assert state is not None
                for place, end in ends.items():
                    if int(state.ledger.get(place, "0").split("|")[0]) != end:
                        return False
            return True

        wait_until(at_the_end, "the ledger at the log's end", DRAINED_SECONDS_MAX)

    def check(self) -> list[str]:
        """Everything that differs from the oracle; sketches may be off by their error."""
        totals = self.read_totals()
        return find_differences(totals, self.recount_totals(), distinct_tolerance=SKETCH_ERROR_MAX) + check_the_law(
            totals
        )


def _read_to_the_ends(consumer: Consumer, unfinished_partitions: set[Partition]) -> Iterator[ConsumedRecord]:
    while unfinished_partitions:
        for message in consumer.consume(2_000, 0.2):
            partition = Partition(str(message.topic()), message.partition() or 0)
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                unfinished_partitions.discard(partition)
                continue
            assert error is None, error
            kind, at = message.timestamp()
            key: Any = message.key()
            value: Any = message.value()
            headers: Any = message.headers()
            time_ms, offset = at if kind else None, message.offset() or 0
            yield ConsumedRecord(partition.topic, partition.number, offset, time_ms, key, value, headers)


def wait_until(condition: Any, what: str, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    trouble: Exception | None = None
    while True:
        try:
            if condition():
                return
        except Exception as error:  # noqa: BLE001  (whatever is away may come back)
            trouble = error
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s ({trouble})"
        time.sleep(0.2)
