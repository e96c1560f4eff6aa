"""How long from an event on Kafka to the live stream, at 1, 10, 50 and 90 % of the rate that can be counted?

The benchmark first finds the greatest rate. A separate process produces events as fast as it can, on the same cores,
and the benchmark measures how many are counted per second. Then the process produces at shares of that rate. Meanwhile
the benchmark sends single probe events at random moments. Probes have their own event name. For each probe, the
benchmark waits until `GET /v1/live` shows it.
"""

from __future__ import annotations

import json
import random
import secrets
import threading
import time
import urllib.parse
from datetime import UTC, datetime

import httpx
from confluent_kafka import Producer

from rtaplatform.bench.pipeline import read_counted, wait_counted
from rtaplatform.bench.report import BenchReport, find_percentiles_ms
from rtaplatform.bench.stack import PROJECT, BenchStack, run_in_background, running_stack, say
from rtaplatform.store.redis.redis_store import RedisStore
from rtaplatform.stream.kafka.broker import Broker
from rtaplatform.stream.kafka.config import make_producer_config

SHARES = (0.01, 0.1, 0.5, 0.9)
TOPIC = "rta.events.web"
PERSONS, PRODUCTS = 20_000, 2_000
SHOWN_SECONDS_MAX = 60.0
DRAINED_SECONDS_MAX = 600.0
TICK_SECONDS = 0.02
FLAT_OUT = 10_000_000.0  # events a second, more than any process can produce


def measure(report: BenchReport, *, probes: int, backlog: int, workers: int, seed: int) -> None:
    with running_stack(workers=workers) as stack:
        measure_on(stack, report, probes=probes, backlog=backlog, seed=seed)


def measure_on(stack: BenchStack, report: BenchReport, *, probes: int, backlog: int, seed: int) -> None:
    """Report the greatest rate of a running platform, and the delays at shares of that rate."""
    store = stack.store()
    rate = _find_greatest_rate(stack, store, backlog, seed)
    report.add_row(greatest_events_per_s=round(rate))
    for share in SHARES:
        with run_in_background(keep_producing, stack, rate * share, seed):
            latencies = _send_probes(stack, probes, seed)
        report.add_row(share=share, events_per_s=round(rate * share), probes=probes, **find_percentiles_ms(latencies))
        _wait_drained(stack, store)
    store.close()


def _find_greatest_rate(stack: BenchStack, store: RedisStore, backlog: int, seed: int) -> float:
    """Return the records counted per second while production is faster. The first tenth is left out."""
    say(f"Counting {backlog:,} events while more are produced")
    total, moments = read_counted(store), []
    with run_in_background(keep_producing, stack, FLAT_OUT, seed):
        for share in (0.1, 0.9):
            wait_counted(store, total + share * backlog, DRAINED_SECONDS_MAX)
            total = read_counted(store)
            moments.append((time.monotonic(), total))
        if sum(Broker(stack.kafka_settings).read_ends().values()) - total < backlog // 10:
            say("One producer is not enough to find the greatest rate: this is its rate.")
    _wait_drained(stack, store)
    (start_s, first), (end_s, last) = moments
    return (last - first) / (end_s - start_s)


def _wait_drained(stack: BenchStack, store: RedisStore) -> None:
    wait_counted(store, sum(Broker(stack.kafka_settings).read_ends().values()), DRAINED_SECONDS_MAX)


def keep_producing(stack: BenchStack, events_per_s: float, seed: int) -> None:
    """Produce events to Kafka at this rate, for ever."""
    producer, chance = _make_producer(stack), random.Random(seed)
    start_s, events_sent = time.monotonic(), 0
    while True:
        for _ in range(int((time.monotonic() - start_s) * events_per_s) - events_sent):
            _send(producer, f"a-{chance.randrange(PERSONS)}", _make_view(chance))
            events_sent += 1
        time.sleep(TICK_SECONDS)


def _make_producer(stack: BenchStack) -> Producer:
    return Producer(make_producer_config(stack.kafka_settings) | {"linger.ms": 1})


def _make_view(chance: random.Random) -> str:
    product = f'{{"product_id":"p-{chance.randrange(PRODUCTS)}","price":9.5}}'
    return f'"event":"Product Viewed","messageId":"{chance.getrandbits(96):x}","properties":{product}'


def _send(producer: Producer, person: str, ending: str) -> None:
    """Send an event with its own timestamp, as SDKs do. Such events are deduplicated by minute."""
    common = f'"projectId":"{PROJECT}","type":"track","timestamp":"{datetime.now(UTC).isoformat()}"'
    value = f'{{{common},"anonymousId":"{person}",{ending}}}'
    while True:
        try:
            producer.produce(TOPIC, value.encode(), f"{PROJECT}:{person}".encode())
            break
        except BufferError:
            producer.poll(0.1)
    producer.poll(0)


def _send_probes(stack: BenchStack, probes: int, seed: int) -> list[float]:
    """Send probes. Return the seconds until the stream showed each of them."""
    name, chance = f"Probe {secrets.token_hex(4)}", random.Random(seed)
    stream, producer, latencies = LatencyStream(stack.url, stack.keys.read_key, name), _make_producer(stack), []
    stream.wait_for(0)
    for number in range(1, probes + 1):
        time.sleep(chance.uniform(0.05, 0.35))  # at any moment of the stream's ticks
        start_s = time.perf_counter()
        _send(producer, secrets.token_hex(6), f'"event":"{name}"')
        latencies.append(stream.wait_for(number) - start_s)
    return latencies


class LatencyStream:
    """Follows the live stream of one event. Holds the highest total so far, and the time when it arrived."""

    def __init__(self, url: str, key: str, event: str) -> None:
        self._change, self._total, self._at = threading.Condition(), -1, 0.0
        address = f"{url}/v1/live?metrics=events&event={urllib.parse.quote(event)}"
        threading.Thread(target=self._run, args=(address, {"Authorization": f"Bearer {key}"}), daemon=True).start()

    def wait_for(self, total: int) -> float:
        """Wait for the total and return the time of its arrival, from `perf_counter`. Raises TimeoutError."""
        with self._change:
            if not self._change.wait_for(lambda: self._total >= total, SHOWN_SECONDS_MAX):
                raise TimeoutError(f"the stream did not show event {total}")
            return self._at

    def _run(self, address: str, headers: dict[str, str]) -> None:
        with httpx.stream("GET", address, headers=headers, timeout=None) as response:  # noqa: S113  (it never ends)
            for line in response.iter_lines():
                if line.startswith("data:"):
                    # A problem has no answers; the stream goes on after it.
                    self._take(json.loads(line[5:]).get("answers", []))

    def _take(self, answers: list[dict[str, list[dict[str, int]]]]) -> None:
        totals = [result["total"] for answer in answers for result in answer["results"]]
        with self._change:
            if totals and totals[0] > self._total:
                self._total, self._at = totals[0], time.perf_counter()
                self._change.notify_all()
