"""A record that ends the real worker, on the real servers, is quarantined after three ends, and all else is counted."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from confluent_kafka import Producer

from rtaplatform.process.worker.poison import ENDS_MAX
from rtaplatform.store import redis_keys
from rtaplatform.stream.kafka.config import make_producer_config
from tests.integration.chaos import Stack, wait_until
from tests.integration.raising_worker import MARKER
from tests.integration.servers import TESTER
from tests.integration.test_dead_letters import read_dead_letters

TOPIC, EVENTS, POISON_AT = "rta.events.web", 60, 25
ENDED_SECONDS_MAX = 60
# To the oracle a dead letter as well, for a reason of its own.
POISON = json.dumps({"projectId": "demo", "type": "unknown", "text": MARKER.decode()}).encode()


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    running = Stack.start(tmp_path / "a stack")
    yield running
    running.stop()


def start(stack: Stack) -> subprocess.Popen[bytes]:
    return stack.spawn("raising", module="tests.integration.raising_worker")


def read_ends(stack: Stack) -> list[int]:
    with redis.Redis.from_url(stack.valkey.server.make_url(TESTER)) as tester:
        return sorted(int(n) for n in tester.hgetall(redis_keys.make_ends_key(0)).values())


def send(stack: Stack) -> None:
    producer = Producer(make_producer_config(stack.kafka_settings))
    for n in range(EVENTS):
        event = {"projectId": "demo", "type": "page", "messageId": f"m-{n}", "userId": "u"}
        producer.produce(TOPIC, POISON if n == POISON_AT else json.dumps(event).encode(), b"demo:u", partition=0)
    assert producer.flush(20) == 0


def test_a_record_that_ends_three_workers_is_quarantined_and_all_else_is_counted(stack: Stack) -> None:
    send(stack)
    for n in range(1, ENDS_MAX + 1):
        assert start(stack).wait(ENDED_SECONDS_MAX) == 1
        assert read_ends(stack) == [n]
        assert "demo|applied" not in stack.read_totals().counts
    fourth = start(stack)
    stack.drain()
    assert not stack.check()
    assert stack.read_totals().counts["demo|applied"] == EVENTS - 1
    assert stack.read_totals().counts["demo|dead"] == 1
    [dead_letter] = read_dead_letters(stack)
    headers = dict(dead_letter.headers() or [])
    assert (dead_letter.key(), dead_letter.value()) == (f"{TOPIC}:0:{POISON_AT}".encode(), POISON)
    assert (headers["rta-reason"], headers["rta-project"]) == (b"internal", b"demo")
    wait_until(lambda: read_ends(stack) == [], "the count of what is passed is gone")
    assert fourth.poll() is None
