"""What does one event cost the collector, step by step, and how many requests can one process take?

Everything runs in this process, so that only the collector is measured. Kafka is librdkafka's own mock cluster, whose
threads do not count: figures are CPU time of the thread that runs the event loop, which is what bounds a process.
`cpu_us` is that time of one event. The plain loop is the limit: it decodes, encodes and produces the same events.
Requests come straight to the ASGI application: the HTTP server's own work is not included.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from confluent_kafka import Producer

from rtaplatform.bench.report import BenchReport
from rtaplatform.catalog.keys.key_rows import KeyAccess
from rtaplatform.collect.body.envelope import RequestArrival, draft_batch, draft_single, read_batch
from rtaplatform.collect.collector import Collector
from rtaplatform.collect.producer import EventProducer
from rtaplatform.collect.steps.steps import run_steps
from rtaplatform.core.events import BATCH_EVENTS_MAX
from rtaplatform.serve.app import create_app
from rtaplatform.serve.http.dependencies import Dependencies
from rtaplatform.serve.http.health import Health
from rtaplatform.serve.http.limits import RateLimits
from rtaplatform.settings import CollectSettings, KafkaSettings, LimitSettings
from rtaplatform.stream.kafka.config import make_collector_config

AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
ACCESS = KeyAccess("demo", "prj_demo", frozenset({"collect"}), "key_demo")
CONCURRENT_SINGLES, CONCURRENT_BATCHES = 64, 16
NO_CLUSTER = KafkaSettings(bootstrap_servers="127.0.0.1:1")
MOCK_CLUSTER = {"test.mock.num.brokers": 1}
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode

Request = Callable[[int], Awaitable[None]]


def measure(report: BenchReport, *, events_total: int, batch_events: int) -> None:
    """Print the cost of each step, of the collector, of the application and of a plain loop."""
    batch_events = min(batch_events, BATCH_EVENTS_MAX)
    run_steps([draft_single(_encode(make_event(0)), "track", "demo", _make_arrival())], {})  # loads what is read once
    numbers = range(events_total // batch_events)
    singles = [_encode(make_event(n)) for n in range(events_total)]
    batches = [_encode({"batch": [make_event(n * batch_events + i) for i in range(batch_events)]}) for n in numbers]
    _measure_steps(report, "single", singles, lambda body: [draft_single(body, "track", "demo", _make_arrival())])
    _measure_steps(report, "batch", batches, lambda body: draft_batch(read_batch(body), "demo", _make_arrival()))
    asyncio.run(_measure_requests(report, singles, batches, batch_events))
    _measure_plain_loop(report, batches, batch_events)


def make_event(number: int) -> dict[str, Any]:
    """Make a view of a product, as a web page sends it."""
    return {
        "type": "track",
        "event": "Product Viewed",
        "anonymousId": f"a-{number % 5000}",
        "messageId": f"bench-{number}",
        "properties": {"product_id": f"p-{number % 200}", "price": 12.5, "quantity": 1},
        "context": {"page": {"path": "/p", "url": "https://shop.example/p?utm_source=news"}, "userAgent": AGENT},
    }


def _make_arrival() -> RequestArrival:
    return RequestArrival(received_ms=time.time_ns() // 1_000_000)


def _measure_steps(report: BenchReport, way: str, bodies: list[bytes], draft: Callable[[bytes], Any]) -> None:
    seconds: dict[str, float] = {}
    count = 0
    for body in bodies:
        ready, refusals = run_steps(draft(body), seconds)
        assert not refusals, refusals
        count += len(ready)
    report.add_row(
        way=f"steps of a {way}",
        **{f"{step}_us": _to_micro(step_seconds / count) for step, step_seconds in seconds.items()},
    )


async def _measure_requests(report: BenchReport, singles: list[bytes], batches: list[bytes], batch_events: int) -> None:
    config = make_collector_config(NO_CLUSTER, CollectSettings()) | MOCK_CLUSTER
    producer = EventProducer(Producer, config, wait_seconds=30)
    await producer.start()
    collector = Collector(producer)
    app = create_app(
        Dependencies(
            keys=_DemoKeys(), collector=collector, health=Health({}),
            limits=RateLimits(LimitSettings(collect_events_per_minute=1_000_000_000)),
        )
    )  # fmt: skip

    async def collect_single(number: int) -> None:
        await collector.collect_single(singles[number], "track", "demo", _make_arrival())

    async def collect_batch(number: int) -> None:
        await collector.collect_batch(await collector.read_batch(batches[number]), "demo", _make_arrival())

    async def request_single(number: int) -> None:
        await _request(app, "/v1/track", singles[number])

    async def request_batch(number: int) -> None:
        await _request(app, "/v1/batch", batches[number])

    for name, request, requests, at_once, events_each in (
        ("singles, collector alone", collect_single, len(singles), CONCURRENT_SINGLES, 1),
        ("singles, application", request_single, len(singles), CONCURRENT_SINGLES, 1),
        ("batches, collector alone", collect_batch, len(batches), CONCURRENT_BATCHES, batch_events),
        ("batches, application", request_batch, len(batches), CONCURRENT_BATCHES, batch_events),
    ):
        await _run(request, range(min(at_once, requests)), at_once)  # what is read once is read now
        cpu_s = time.thread_time()
        await _run(request, range(requests), at_once)
        _report_rate(report, name, (time.thread_time() - cpu_s), requests * events_each)
    await producer.stop(5)


async def _run(request: Request, numbers: range, at_once: int) -> None:
    """Send all requests, `at_once` of them side by side."""
    next_numbers = iter(numbers)

    async def keep_sending() -> None:
        for number in next_numbers:
            await request(number)

    await asyncio.gather(*(keep_sending() for _ in range(at_once)))


async def _request(app: Any, path: str, body: bytes) -> None:
    """Send a request as wrk does. Raises AssertionError if the status is not 200."""
    statuses = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    headers = [
        (b"host", b"127.0.0.1:8000"), (b"content-type", b"application/json"),
        (b"authorization", b"Bearer demo"), (b"content-length", b"%d" % len(body)),
    ]  # fmt: skip
    scope: Any = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": path,
        "raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "http", "headers": headers,
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000), "state": {}, "extensions": {},
    }  # fmt: skip
    await app(scope, receive, send)
    assert statuses == [200], statuses


class _DemoKeys:
    """Every key opens the demo project."""

    async def find(self, key: str) -> KeyAccess | None:
        return ACCESS

    async def find_hashed(self, key_hash: bytes) -> KeyAccess | None:
        return ACCESS

    async def find_from(self, address: str, key: str, *, may_guess: bool) -> KeyAccess | None:
        return ACCESS


def _measure_plain_loop(report: BenchReport, batches: list[bytes], batch_events: int) -> None:
    producer = Producer(make_collector_config(NO_CLUSTER, CollectSettings()) | MOCK_CLUSTER)
    records_open = 0

    def note_delivery(_error: Any, _message: Any) -> None:
        nonlocal records_open
        records_open -= 1

    cpu_s = time.thread_time()
    for body in batches:
        for event in _decode(body)["batch"]:
            event["projectId"], event["receivedAt"] = "demo", "2026-11-28T00:00:00.000Z"
            key = f"demo:{event['anonymousId']}".encode()
            producer.produce("rta.events.web", _encode(event), key=key, on_delivery=note_delivery)
            records_open += 1
        while records_open > 20_000:
            producer.poll(0.01)
        producer.poll(0)
    producer.flush()
    _report_rate(report, "plain loop", time.thread_time() - cpu_s, len(batches) * batch_events)


def _report_rate(report: BenchReport, way: str, cpu_s: float, events: int) -> None:
    report.add_row(way=way, events_per_cpu_s=round(events / cpu_s), cpu_us=_to_micro(cpu_s / events))


def _to_micro(seconds: float) -> float:
    return round(seconds * 1e6, 2)
