"""A log that is not the one that was counted stops its partition; an operator accepts it, and counting goes on."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions  # type: ignore[attr-defined]  # public, not in __all__
from msgspec import structs

from rtaplatform.core.errors import SetupError
from rtaplatform.core.ledger import read_row
from rtaplatform.operate.operations import adopt_topic, describe_topics
from rtaplatform.operate.rebuild_run import RebuildRun
from rtaplatform.settings import TopicSettings, WorkerSettings
from rtaplatform.store.redis.redis_store import RedisStore
from rtaplatform.stream.kafka.broker import Broker
from rtaplatform.stream.kafka.config import make_client_config, make_producer_config
from tests.integration.chaos import Stack, wait_until
from tests.integration.servers import TESTER

TOPIC = "rta.events.web"
ASK = """
import sys
from rtaplatform.core.errors import Unavailable
from rtaplatform.settings import KafkaSettings
from rtaplatform.stream.kafka.broker import Broker
try:
    assert Broker(KafkaSettings(bootstrap_servers=sys.argv[1])).read_committed(sys.argv[2]) == {}
except Unavailable:
    pass
"""


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    running = Stack.start(tmp_path / "a stack")
    yield running
    running.stop()


def send(stack: Stack, count: int, prefix: str) -> None:
    producer = Producer(make_producer_config(stack.kafka_settings))
    for number in range(count):
        event = {"projectId": "demo", "type": "page", "messageId": f"{prefix}-{number}", "userId": "u"}
        producer.produce(TOPIC, json.dumps(event).encode(), f"demo:{number}".encode())
    assert producer.flush(20) == 0


def read_stops(stack: Stack) -> dict[str, str]:
    store = RedisStore(stack.store_settings)
    try:
        return store.read_stops(0)
    finally:
        store.close()


def test_a_topic_made_again_stops_until_it_is_adopted(stack: Stack) -> None:
    stack.spawn("worker")
    send(stack, 40, "first")
    stack.drain()
    admin = AdminClient(make_client_config(stack.kafka_settings))
    admin.delete_topics([TOPIC])[TOPIC].result()
    time.sleep(1)
    wait_until(lambda: Broker(stack.kafka_settings).create_topics(TopicSettings()) == [TOPIC], "the topic, again")
    send(stack, 60, "second")
    wait_until(lambda: any("recreated" in why for why in read_stops(stack).values()), "the stop")
    assert stack.read_totals().counts["demo|applied"] == 40
    assert adopt_topic(stack.kafka_settings, stack.store_settings, TOPIC)
    stack.drain()
    assert stack.read_totals().counts["demo|applied"] == 100
    wait_until(lambda: not read_stops(stack), "the stop to be taken back")
    rows = describe_topics(stack.kafka_settings, stack.store_settings)
    assert sum(len(row["gaps"]) for row in rows) == 4


def test_what_retention_took_before_it_was_counted_stops_until_it_is_adopted(stack: Stack) -> None:
    worker = stack.spawn("worker")
    send(stack, 40, "first")
    stack.drain()
    stack.kill(worker)
    counted = read_ends(stack)
    send(stack, 60, "second")
    kept_from = {partition: offset + 3 for partition, offset in counted.items()}
    admin = AdminClient(make_client_config(stack.kafka_settings))
    for future in admin.delete_records([TopicPartition(TOPIC, n, at) for n, at in kept_from.items()]).values():
        future.result()
    stack.spawn("worker")
    wait_until(lambda: sum("retention" in why for why in read_stops(stack).values()) == 4, "the stops")
    assert stack.read_totals().counts["demo|applied"] == 40
    lines = adopt_topic(stack.kafka_settings, stack.store_settings, TOPIC)
    assert len(lines) == 4
    stack.drain()
    assert stack.read_totals().counts["demo|applied"] == 100 - 4 * 3
    wait_until(lambda: not read_stops(stack), "the stops to be taken back")
    lost = {where: gap for row in describe_partitions(stack) for where, gap in row["gaps"].items()}
    assert lost == {
        f"{TOPIC}:{n}:{at}": f"records {counted[n]} to {at - 1} had gone from the log and are not counted"
        for n, at in kept_from.items()
    }
    # What is gone is missing from new totals: a rebuild says so, and goes on only when told.
    running = RebuildRun(stack.kafka_settings, stack.store_settings, None, worker=WorkerSettings())
    with pytest.raises(SetupError, match=r"begins at .* now, and began at 0"):
        running.check(partial=False)
    assert len([line for line in running.check(partial=True) if "not in the new totals" in line]) == 4
    while running.step():
        pass
    running.close()
    assert stack.read_totals().counts["demo|applied"] == sum(read_ends(stack).values()) - sum(kept_from.values())


def test_a_log_with_another_record_where_it_was_counted_stops_until_it_is_adopted(stack: Stack) -> None:
    worker = stack.spawn("worker")
    send(stack, 40, "first")
    stack.drain()
    stack.kill(worker)
    counted = read_ends(stack)
    with redis.Redis.from_url(stack.valkey.server.make_url(TESTER)) as tester:
        ledger = next(tester.scan_iter("rta:{s00}:*:ledger"))
        place = next(name for name in tester.hkeys(ledger) if name.endswith(b":0"))
        row = read_row(tester.hget(ledger, place).decode())
        tester.hset(ledger, place, structs.replace(row, last_hash="0" * 16).to_text())
    send(stack, 60, "second")
    stack.spawn("worker")
    wait_until(lambda: any("another log" in why for why in read_stops(stack).values()), "the stop")
    lines = adopt_topic(stack.kafka_settings, stack.store_settings, TOPIC)
    assert lines == [
        f"shard 0, {TOPIC}:0:{counted[0]}: record {counted[0] - 1} is not the one that was counted: of this log only "
        "what follows is counted"
    ]
    stack.drain()
    assert stack.read_totals().counts["demo|applied"] == 100
    wait_until(lambda: not read_stops(stack), "the stop to be taken back")
    assert adopt_topic(stack.kafka_settings, stack.store_settings, TOPIC) == [
        f"{TOPIC}: nothing stands in the way, nothing was changed"
    ]


def test_partitions_that_are_added_are_counted_and_repeats_found_in_them(stack: Stack) -> None:
    stack.spawn("worker")
    send(stack, 200, "both")
    stack.drain()
    admin = AdminClient(make_client_config(stack.kafka_settings))
    admin.create_partitions([NewPartitions(TOPIC, 8)])[TOPIC].result()
    wait_until(lambda: len(read_ends(stack)) == 8, "the new partitions")
    send(stack, 300, "both")  # the first 200 have been there, most of them in another partition
    wait_until(lambda: sum(read_ends(stack).values()) == 500, "all records")
    stack.drain()
    assert min(list(read_ends(stack).values())[4:]) > 0, "the new ones have records"
    assert not stack.check()
    counts = stack.read_totals().counts
    assert (counts["demo|applied"], counts["demo|duplicate"]) == (300, 200)


def read_ends(stack: Stack) -> dict[int, int]:
    """Partition of the topic → the offset that comes next."""
    return {int(row["partition"].rpartition(":")[2]): row["ends"] for row in describe_partitions(stack)}


def describe_partitions(stack: Stack) -> list[dict[str, Any]]:
    rows = describe_topics(stack.kafka_settings, stack.store_settings)
    return [row for row in rows if row["partition"].startswith(f"{TOPIC}:")]


def test_a_cluster_without_groups_can_be_asked_for_one(stack: Stack) -> None:
    """While it makes its first coordinators, one that is asked is often not the one: whoever asks lives on."""

    def ask(group: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", ASK, stack.kafka_settings.bootstrap_servers, f"group-{group}"]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, range(12)))
    assert [answer.returncode for answer in answers] == [0] * 12, [answer.stderr for answer in answers]
