"""G10: three times what the API can take. What is not taken is told so, what is taken is kept."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx

from rtaplatform.settings import KafkaSettings
from rtaplatform.stream.kafka.broker import Broker
from tests.attacks.harm import expecting_no_harm
from tests.attacks.stack import ATTACKER, EVENT, WRITE_KEY, Stack
from tests.plain_http import NO_TLS

EVENTS = 2_500
PATIENCE_SECONDS = 10.0  # the API refuses a body that has waited for room so long
OVERLOAD = 3
SENDERS_MIN, SENDERS_MAX = 40, 200
SECONDS = 10.0
# Each event is another person's, so that the limit of a person is not what refuses.
VISITS = [{**EVENT, "anonymousId": f"a-{n}", "properties": {"number": n, "text": "x" * 200}} for n in range(EVENTS)]
BODY = gzip.compress(json.dumps({"batch": VISITS}).encode(), mtime=0)


class Overload:
    """Senders behind an address of their own, each with one batch after the other; what was said to them."""

    def __init__(self, stack: Stack) -> None:
        self.statuses, self.accepted, self.unsaid = Counter[int](), 0, list[str]()
        self._lock, self._deadline = threading.Lock(), time.monotonic() + SECONDS
        self._stack = stack

    def send(self, _: int) -> None:
        transport = httpx.HTTPTransport(verify=NO_TLS, local_address=ATTACKER)
        headers = {"Authorization": f"Bearer {WRITE_KEY}", "Content-Encoding": "gzip"}
        with httpx.Client(base_url=self._stack.url, headers=headers, transport=transport, timeout=60) as client:
            while time.monotonic() < self._deadline:
                self._note(client.post("/v1/batch", content=BODY))

    def _note(self, answer: httpx.Response) -> None:
        with self._lock:
            self.statuses[answer.status_code] += 1
            if answer.status_code == 200:
                self.accepted += answer.json()["accepted"]
            elif not answer.headers.get("Retry-After", "").isdecimal():
                self.unsaid.append(answer.text[:200])


def test_overload_is_refused_and_loses_nothing_acknowledged(stack: Stack) -> None:
    broker = Broker(KafkaSettings(bootstrap_servers=stack.servers.kafka_bootstrap_servers))
    senders = min(SENDERS_MAX, max(SENDERS_MIN, round(OVERLOAD * PATIENCE_SECONDS / measure_one_batch(stack))))
    before = sum(broker.read_ends().values())
    with expecting_no_harm(stack), ThreadPoolExecutor(senders) as pool:
        overload = Overload(stack)
        list(pool.map(overload.send, range(senders)))
    print(f"    {senders} senders: {dict(overload.statuses)}, {overload.accepted} events taken", flush=True)
    assert overload.statuses.keys() <= {200, 429, 503}
    assert overload.unsaid == [], "each refusal says when to come back"
    assert overload.accepted > 0
    assert sum(broker.read_ends().values()) - before >= overload.accepted


def measure_one_batch(stack: Stack) -> float:
    """How long one batch takes while nobody else sends."""
    headers = {"Content-Encoding": "gzip"}
    for _ in range(2):
        begin = time.monotonic()
        stack.ask("POST", "/v1/batch", WRITE_KEY, content=BODY, headers=headers).raise_for_status()
    return time.monotonic() - begin
