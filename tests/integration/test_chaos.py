"""Kill -9 of workers, Valkey and Kafka under load; after it every aggregate equals the oracle's."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from confluent_kafka import Producer

from rtaplatform.stream.kafka import producer_config
from tests.integration.chaos import Stack


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    running = Stack.start(tmp_path / "a stack")
    yield running
    running.stop()


def test_every_aggregate_is_the_oracles_after_kills_under_load(stack: Stack) -> None:
    rng = Random(17)
    workers = [stack.spawn("worker"), stack.spawn("worker")]
    visitors = stack.spawn(
        "simulate",
        "--rate",
        "1500",
        "--duration",
        "40s",
        "--late",
        "0.03",
        "--duplicates",
        "0.02",
        "--malformed",
        "0.01",
    )
    faults: list[str] = []
    while visitors.poll() is None:
        time.sleep(rng.uniform(1.0, 3.0))
        fault = rng.choice(["worker", "worker", "valkey", "kafka"])
        faults.append(fault)
        if fault == "worker":
            number = rng.randrange(2)
            stack.kill(workers[number])
            workers[number] = stack.spawn("worker")
        else:
            (stack.valkey if fault == "valkey" else stack.kafka).restart()
    assert visitors.returncode == 0, (stack.folder / "simulate.log").read_text()[-2_000:]
    stack.drain()
    wrong = stack.check()
    assert not wrong, f"after {faults}: {len(wrong)} differences, the first:\n" + "\n".join(wrong[:20])


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
