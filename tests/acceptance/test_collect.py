"""Collecting, from HTTP to Kafka and back: the API as its own process, in front of the real servers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka import Consumer, Message, TopicPartition
from pydantic import SecretStr

import rtaplatform
from rtaplatform.catalog.database import Database
from rtaplatform.catalog.demo_project import SeededDemoKeys, seed_demo
from rtaplatform.core.events import EVENT_TOPICS
from rtaplatform.core.time.timestamps import read_time_ms
from rtaplatform.core.values.murmur2 import find_bucket
from rtaplatform.settings import CatalogSettings, KafkaSettings, TopicSettings
from rtaplatform.stream.kafka.broker import Broker
from tests import plain_http
from tests.integration.chaos import wait_until
from tests.integration.log_ends import read_end
from tests.integration.servers import Servers, empty_catalog, flush

KEYS = SeededDemoKeys(write="rta_w_acceptance", read="rta_r_acceptance", admin="rta_a_acceptance")
WRITE = (KEYS.write, "")
DELIVERY_SECONDS = 3
SENDERS = 64  # each waits so long while the broker is away
SOURCES = Path(rtaplatform.__file__).parents[1]


@dataclass
class Api:
    """`rta api`, running."""

    process: subprocess.Popen[bytes]
    url: str

    def post(self, path: str, **options: Any) -> httpx.Response:
        return plain_http.post(self.url + path, timeout=30, **{"auth": WRITE, **options})


def prepare(running: Servers) -> None:
    flush(running.valkey)
    empty_catalog(running.postgres.server)

    async def seed() -> None:
        database = Database(CatalogSettings(url=SecretStr(running.postgres_url)))
        await seed_demo(database, KEYS, users=[], products=[])
        await database.close()

    asyncio.run(seed())
    Broker(KafkaSettings(bootstrap_servers=running.kafka_bootstrap_servers)).create_topics(TopicSettings())


def start_api(running: Servers, folder: Path) -> Api:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "PYTHONPATH": str(SOURCES),
        "RTA_KAFKA_BOOTSTRAP_SERVERS": running.kafka_bootstrap_servers,
        "RTA_REDIS_URL": running.redis_url,
        "RTA_POSTGRES_URL": running.postgres_url,
        "RTA_API_PORT": str(port),
        "RTA_COLLECT_DELIVERY_TIMEOUT_MS": str(DELIVERY_SECONDS * 1000),
    }
    command = [sys.executable, "-m", "rtaplatform.cli.main", "api"]
    with (folder / "api.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
    api = Api(process, f"http://127.0.0.1:{port}")
    deadline = time.monotonic() + 30
    while True:
        try:
            if plain_http.get(f"{api.url}/health/live", timeout=1).status_code == 200:
                return api
        except httpx.TransportError:
            assert process.poll() is None, (folder / "api.log").read_text()
            assert time.monotonic() < deadline, (folder / "api.log").read_text()
            time.sleep(0.05)


@pytest.fixture(scope="module")
def api(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    prepare(servers)
    running = start_api(servers, tmp_path_factory.mktemp("api"))
    yield running
    if running.process.poll() is None:
        running.process.terminate()
        running.process.wait(timeout=15)


def read_all(running: Servers) -> list[Message]:
    """Everything in the event topics."""
    consumer = Consumer({"bootstrap.servers": running.kafka_bootstrap_servers, "group.id": "tests"})
    try:
        places = [TopicPartition(topic, partition, 0) for topic in EVENT_TOPICS for partition in range(4)]
        ends = {(place.topic, place.partition): read_end(consumer, place) for place in places}
        ends_ahead = {place: end for place, end in ends.items() if end}
        # All at once: what a consumer asks later waits for the fetch that is under way, half a second each time.
        consumer.assign([TopicPartition(topic, partition, 0) for topic, partition in ends_ahead])
        messages: list[Message] = []
        while ends_ahead:
            message = consumer.poll(10)
            assert message is not None
            assert message.error() is None
            messages.append(message)
            place = str(message.topic()), message.partition() or 0
            if (message.offset() or 0) >= ends[place] - 1:
                ends_ahead.pop(place, None)
        return messages
    finally:
        consumer.close()


def select_by_event(messages: list[Message], event: str) -> list[tuple[Message, dict[str, Any]]]:
    """The records of this event. Other tests' records need not even be JSON."""
    decoded = [
        (message, json.loads(value)) for message in messages if event.encode() in (value := message.value() or b"")
    ]
    return [(message, record) for message, record in decoded if record.get("event") == event]


def test_event_is_on_kafka_as_the_contract_says(api: Api, servers: Servers) -> None:
    body = json.dumps(
        {
            "event": "Product Viewed",
            "messageId": "m-1",
            "anonymousId": "a-17",
            "userId": "u-4",
            "timestamp": "2026-01-02T03:04:05.678901Z",
            "context": {"library": {"name": "analytics.js"}},
            "properties": {"product_id": "p-9", "price": 12.5},
        }
    )
    before = time.time_ns() // 1_000_000
    answer = api.post("/v1/track", content=body)
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    [(message, record)] = select_by_event(read_all(servers), "Product Viewed")
    assert message.topic() == "rta.events.web"
    assert message.key() == b"demo:a-17"
    assert message.partition() == find_bucket(b"demo:a-17", 4)
    assert dict(message.headers() or [])["rta-collected"] == str(len(body)).encode()
    assert message.timestamp()[1] == read_time_ms(record["receivedAt"])
    assert before <= message.timestamp()[1] <= time.time_ns() // 1_000_000
    assert record == {
        **json.loads(body),
        "projectId": "demo",
        "type": "track",
        "source": "web",
        "originalTimestamp": "2026-01-02T03:04:05.678901Z",
        "timestamp": "2026-01-02T03:04:05.678Z",
        "receivedAt": record["receivedAt"],
    }


def test_batch_is_stored_but_for_what_is_listed(api: Api, servers: Servers) -> None:
    events = [
        {"type": "track", "event": "Batched", "userId": f"u-{n}", "source": source}
        for n, source in enumerate(("web", "ios", "android", "server"))
    ]
    answer = api.post("/v1/batch", json={"batch": [*events, {"type": "track", "userId": "u"}]}).json()
    assert (answer["success"], answer["accepted"]) == (False, 4)
    assert [(item["index"], item["reason"]) for item in answer["rejected"]] == [(4, "missing_event")]
    topics = [message.topic() for message, _ in select_by_event(read_all(servers), "Batched")]
    assert sorted(str(topic) for topic in topics) == [
        "rta.events.mobile", "rta.events.mobile", "rta.events.server", "rta.events.web",
    ]  # fmt: skip


def test_nothing_is_stored_for_a_key_that_may_not(api: Api, servers: Servers) -> None:
    event = {"event": "Refused", "userId": "u"}
    assert api.post("/v1/track", json=event, auth=(KEYS.read, "")).status_code == 403
    assert api.post("/v1/track", json=event, auth=("nobody", "")).status_code == 401
    assert select_by_event(read_all(servers), "Refused") == []


def test_not_ready_while_redis_has_no_manifest(api: Api) -> None:
    answer = plain_http.get(f"{api.url}/health/ready", timeout=10)
    assert answer.status_code == 503
    assert answer.json()["missing"] == ["redis"]


def test_every_answered_event_is_on_kafka_when_the_broker_is_killed(api: Api, servers: Servers) -> None:
    answers: dict[str, int] = {}

    def send(number: int) -> None:
        event = {"event": "Through The Storm", "userId": "u", "messageId": f"storm-{number}"}
        answers[event["messageId"]] = api.post("/v1/track", json=event).status_code

    with ThreadPoolExecutor(SENDERS) as pool:
        for number in range(600):
            pool.submit(send, number)
            if number == 300:
                wait_until(lambda: list(answers.values()).count(200) > 50, "fifty answers")
                servers.kafka.kill()
    assert set(answers.values()) == {200, 503}
    servers.kafka.start()
    deadline = time.monotonic() + 60
    while api.post("/v1/track", json={"event": "After", "userId": "u"}).status_code != 200:
        assert time.monotonic() < deadline
    stored = {record["messageId"] for _, record in select_by_event(read_all(servers), "Through The Storm")}
    assert {name for name, status in answers.items() if status == 200} <= stored


def test_stop_finishes_what_is_in_progress(servers: Servers, tmp_path: Path, api: Api) -> None:
    running = start_api(servers, tmp_path)
    statuses: list[int] = []

    def send(number: int) -> None:
        try:
            statuses.append(running.post("/v1/track", json={"event": "Last", "userId": "u"}).status_code)
        except httpx.TransportError:
            statuses.append(0)

    with ThreadPoolExecutor(8) as pool:
        for number in range(200):
            pool.submit(send, number)
        wait_until(lambda: statuses.count(200) > 20, "twenty answers")
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(timeout=60) == 0
    assert len(select_by_event(read_all(servers), "Last")) >= statuses.count(200) > 0
