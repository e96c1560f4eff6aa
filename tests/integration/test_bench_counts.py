"""The job of the comparison, on the real servers: every counter is right, and no cap of the platform bounds them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # public, not in __all__

from rtaplatform.settings import KafkaSettings
from rtaplatform.stream.kafka.config import make_client_config, make_producer_config
from tests.integration.servers import Servers, flush

TOPIC = "bench-counts"
MINUTE = 29_900_000  # 2026-11-06
USERS, PRODUCTS = 200, 12_000  # products of a minute, as many as the comparison has
EVENTS = 2 * PRODUCTS
ROOT = Path(__file__).resolve().parents[2]


def make_event(number: int) -> dict[str, object]:
    time = f"2026-11-06T21:{20 + number // PRODUCTS}:{number % 60:02d}.000Z"
    return {
        "event": "Order Completed" if number % 5 == 0 else "Product Viewed",
        "messageId": f"m-{number}",
        "userId": f"u-{number % USERS}",
        "timestamp": time,
        "properties": {"product_id": f"p-{number % PRODUCTS}", "price": 1.25, "quantity": 1 + number % 3},
    }


def fill_topic(kafka: KafkaSettings) -> None:
    admin = AdminClient(make_client_config(kafka))
    admin.create_topics([NewTopic(TOPIC, 4, 1)])[TOPIC].result(20)
    producer = Producer(make_producer_config(kafka))
    for number in range(EVENTS):
        event = make_event(number)
        producer.produce(TOPIC, json.dumps(event).encode(), str(event["userId"]))
    assert producer.flush(20) == 0


@pytest.mark.parametrize("options", [[], ["--dedup"], ["--batch", "3000", "--processes", "1"]])
def test_every_counter_of_the_comparison_is_right(servers: Servers, tmp_path: Path, options: list[str]) -> None:
    kafka = KafkaSettings(bootstrap_servers=servers.kafka_bootstrap_servers)
    if TOPIC not in AdminClient(make_client_config(kafka)).list_topics(timeout=20).topics:
        fill_topic(kafka)
    flush(servers.valkey)
    result = tmp_path / "result.json"
    environment = os.environ | {
        "PYTHONPATH": str(ROOT / "src"), "BENCH_KAFKA": servers.kafka_bootstrap_servers, "BENCH_TOPIC": TOPIC,
        "BENCH_EVENTS": str(EVENTS), "BENCH_REDIS": servers.redis_tester_url, "BENCH_RESULT": str(result),
        "BENCH_RUN": f"run-{'-'.join(options)}",
    }  # fmt: skip
    command = [sys.executable, "-m", "rtaplatform.cli.main", "bench", "counts", *options]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert process.returncode == 0, process.stderr
    counts: Counter[str] = Counter()
    products: Counter[str] = Counter()
    cents: Counter[str] = Counter()
    for number in range(EVENTS):
        minute, order = MINUTE + number // PRODUCTS, number % 5 == 0
        name = "Order Completed" if order else "Product Viewed"
        counts[f"{minute}|{name}"] += 1
        products[f"{minute}|{name}|p-{number % PRODUCTS}"] += 1
        if order:
            cents[str(minute)] += 125 * (1 + number % 3)
    results = json.loads(result.read_text())
    uniques = results.pop("uniques")
    assert results == {"counts": counts, "products": products, "revenue_cents": cents}
    assert uniques.keys() == {str(MINUTE), str(MINUTE + 1)}
    for count in uniques.values():
        assert abs(count / USERS - 1) < 0.04
