"""A worker that catches up on the real Kafka: what is held back is neither lost nor read twice, and nobody is late."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping

import pytest
from confluent_kafka import Producer

from rtaplatform import telemetry
from rtaplatform.core.time.timestamps import format_iso_utc
from rtaplatform.process.worker.limits import WorkerLimits
from rtaplatform.process.worker.worker import Worker
from rtaplatform.settings import WorkerSettings
from rtaplatform.store.redis.redis_store import RedisStore
from rtaplatform.stream.kafka.broker import Broker
from rtaplatform.stream.kafka.config import make_producer_config
from rtaplatform.stream.kafka.consumer import KafkaConsumer
from rtaplatform.stream.kafka.dead_letters import KafkaDeadLetters
from rtaplatform.stream.port import Partition
from tests.integration.chaos import Stack, wait_until

WEB, SERVER = "rta.events.web", "rta.events.server"
PARTITIONS = [Partition(WEB, n) for n in range(4)] + [Partition(SERVER, n) for n in range(4)]
RECORDS = 2_000  # of each partition of the website; a server sends one for ten of them
SPAN_MS = 40 * 3_600_000  # within which minutes are kept, and far more than persons take
SECONDS_MAX = 120.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    running = Stack.start(tmp_path_factory.mktemp("catch-up") / "a stack")
    produce_hours(running)
    yield running
    running.stop()


def produce_hours(stack: Stack) -> None:
    """Ten persons over 40 hours, each in all partitions."""
    producer = Producer(make_producer_config(stack.kafka_settings))
    begin_ms = int(time.time() * 1000) // 1000 * 1000 - SPAN_MS
    for number in range(RECORDS):
        at_ms = begin_ms + number * SPAN_MS // RECORDS // 1000 * 1000
        for partition in PARTITIONS if number % 10 == 0 else PARTITIONS[:4]:
            event = {
                "projectId": "demo", "type": "page", "messageId": f"{number} {partition}", "userId": f"u{number % 10}",
                "source": partition.topic.rpartition(".")[2], "timestamp": format_iso_utc(at_ms),
            }  # fmt: skip
            producer.produce(partition.topic, json.dumps(event).encode(), b"k", partition.number, timestamp=at_ms)
        producer.poll(0)
    assert producer.flush(60) == 0


def read_ends(stack: Stack) -> Mapping[Partition, int]:
    return {p: extent.high for p, extent in Broker(stack.kafka_settings).read_extents(PARTITIONS).items()}


def test_what_is_held_back_and_let_go_again_is_neither_lost_nor_repeated(stack: Stack) -> None:
    log = KafkaConsumer(stack.kafka_settings, WorkerSettings(group_protocol="classic"), PARTITIONS)
    log.seek(dict.fromkeys(PARTITIONS, 0))
    offsets: dict[Partition, list[int]] = defaultdict(list)
    ends, deadline = read_ends(stack), time.monotonic() + SECONDS_MAX
    polls, held_back = 0, set[Partition]()
    while any(len(offsets[p]) < end for p, end in ends.items()):
        assert time.monotonic() < deadline, {p: len(read) for p, read in offsets.items()}
        for run in log.poll(100).runs:
            assert run.partition not in held_back, "it was let go only later"
            offsets[run.partition] += run.offsets
        polls += 1
        held_back = {p for p in PARTITIONS if (polls // 3 + p.number) % 3 == 0}
        log.hold_back(held_back)
    assert {p: read == list(range(ends[p])) for p, read in offsets.items()} == dict.fromkeys(PARTITIONS, True)
    log.hold_back(PARTITIONS)
    log.seek(dict.fromkeys(PARTITIONS, 10))
    partitions_read: set[Partition] = set()
    while len(partitions_read) < len(PARTITIONS):
        assert time.monotonic() < deadline, "a seek lets go"
        partitions_read |= {run.partition for run in log.poll().runs if run.offsets[0] >= 10}
    log.close()


def test_the_brokers_say_how_late_the_next_record_is(stack: Stack) -> None:
    broker, empty = Broker(stack.kafka_settings), Partition("rta.events.mobile", 0)
    first = broker.read_next_times(dict.fromkeys([*PARTITIONS, empty], -1))
    assert set(first) == set(PARTITIONS), "one has no records"
    assert {at.offset for at in first.values()} == {0}
    begin_ms = first[PARTITIONS[0]].timestamp_ms
    assert begin_ms == pytest.approx(time.time() * 1000 - SPAN_MS, abs=600_000)
    web, server = PARTITIONS[0], PARTITIONS[-1]
    step_ms = SPAN_MS // RECORDS
    later = broker.read_next_times({web: begin_ms, server: begin_ms + 1, PARTITIONS[1]: begin_ms + SPAN_MS})
    assert later == {web: (1, begin_ms + step_ms), server: (1, begin_ms + 10 * step_ms)}


def test_two_workers_that_were_away_count_people_as_the_oracle_does(stack: Stack) -> None:
    workers = []
    for number in range(2):
        store = RedisStore(stack.store_settings)
        ours = PARTITIONS[number::2]
        log = KafkaConsumer(stack.kafka_settings, WorkerSettings(group_protocol="classic"), ours)
        limits = WorkerLimits(held_records_max=400)  # so that partitions are held back
        workers.append(
            Worker(log, KafkaDeadLetters(stack.kafka_settings), store, shards=stack.shards, limits=limits)
        )  # fmt: skip
    ends = read_ends(stack)

    def is_counted() -> bool:
        for _ in range(20):
            for worker in workers:
                worker.turn()
        at = [(worker.positions, p) for number, worker in enumerate(workers) for p in PARTITIONS[number::2]]
        return all(worker.is_settled for worker in workers) and all(
            positions.find_next_read_offset(p) >= ends[p] for positions, p in at if p in positions.extents
        )

    wait_until(is_counted, "everything is counted", SECONDS_MAX)
    assert stack.check() == []
    assert stack.read_totals().counts.get("demo|late_state", 0) == 0
    telemetry.WORKER_LAG.clear()  # other tests read what workers of this process show
