"""G10: more than can be taken. What is not taken is told so, what is taken is kept, and memory is bounded."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor

import httpx

from rtaplatform.settings import KafkaSettings
from rtaplatform.stream.broker import Broker
from tests.attacks.harm import unharmed
from tests.attacks.stack import EVENT, WRITE_KEY, Stack

SENDERS = 60
SECONDS = 12.0
EVENTS_PER_BATCH = 500
GROWTH_BYTES_MAX = 96 << 20  # of which most is what librdkafka holds until Kafka answers


def test_overload_is_refused_and_loses_nothing_acknowledged(stack: Stack) -> None:
    broker = Broker(KafkaSettings(bootstrap_servers=stack.servers.kafka_bootstrap_servers))
    before = sum(broker.ends().values())
    with unharmed(stack, rss_growth_bytes_max=GROWTH_BYTES_MAX), ThreadPoolExecutor(SENDERS) as pool:
        deadline = time.monotonic() + SECONDS
        accepted = sum(pool.map(lambda number: send_until(stack, deadline, number), range(SENDERS)))
    assert accepted > 0
    assert sum(broker.ends().values()) - before >= accepted


def send_until(stack: Stack, deadline: float, number: int) -> int:
    """How many events were acknowledged. Each refusal has to say when to try again."""
    batch = {"batch": [{**EVENT, "anonymousId": f"a-{number}-{n}"} for n in range(EVENTS_PER_BATCH)]}
    accepted, wait = 0, random.Random(number)
    with httpx.Client(base_url=stack.url, headers={"Authorization": f"Bearer {WRITE_KEY}"}, timeout=30) as client:
        while time.monotonic() < deadline:
            answer = client.post("/v1/batch", json=batch)
            if answer.status_code == 200:
                accepted += answer.json()["accepted"]
                continue
            assert answer.status_code in (429, 503), answer.text
            assert int(answer.headers["Retry-After"]) >= 1
            time.sleep(wait.uniform(0.1, 0.5))
    return accepted
