"""A collector whose servers fail at the n-th call: librdkafka, PostgreSQL and Redis in memory, and a patient client.

What the client does is what SDKs do: it sends again what was not answered by 200, the same bytes, until it is.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import httpx
from confluent_kafka import KafkaError, KafkaException
from limits.errors import StorageError

from rtaplatform.catalog.keys.key_cache import KeyCache
from rtaplatform.collect.body.draft import CollectedRecord
from rtaplatform.collect.collector import Collector
from rtaplatform.collect.producer import EventProducer
from rtaplatform.core.errors import Unavailable
from rtaplatform.serve.app import create_app
from rtaplatform.serve.http.dependencies import Dependencies
from rtaplatform.serve.http.health import Health
from rtaplatform.serve.http.limits import RateLimits
from rtaplatform.settings import CatalogSettings, LimitSettings

SECRET = "10.1.2.3:9092, password hunter2"  # what no answer may tell
WAIT_SECONDS = 0.05
STEP_SECONDS = 40.0  # between two requests: a key is looked up anew at every second one
TRIES_MAX = 10
Report = Callable[[KafkaError | None, None], None]


@dataclass
class Plan:
    """The n-th call fails in this way, if it is one that can; `calls` are those so far, by name."""

    n: int = 0
    way: str = ""
    calls: list[str] = field(default_factory=list)

    def choose_way(self, name: str, ways: Sequence[str]) -> str:
        """Count a call; in which way it fails, "" where it does not."""
        self.calls.append(name)
        return self.way if len(self.calls) == self.n and self.way in ways else ""


class Broker:
    """What Kafka has, and which of it has been acknowledged."""

    def __init__(self) -> None:
        self.stored: list[CollectedRecord] = []
        self.acknowledged: set[str] = set()


class Librdkafka:
    """A producer. Reports come at the next poll; those of silent calls when all others have been given up."""

    PRODUCE = ("queue full", "refused", "fatal", "fatal twice", "reported", "stored, reported", "silent",
               "stored, silent")  # fmt: skip
    POLL = ("fatal by callback", "fatal by callback twice", "a bug in a callback")
    MAKE = ("not made",)

    def __init__(self, config: dict[str, Any], plan: Plan, broker: Broker) -> None:
        if plan.choose_way("make", self.MAKE) or plan.way == "no other one":
            plan.way = ""
            raise KafkaException(KafkaError(KafkaError._CRIT_SYS_RESOURCE, SECRET))
        self._config, self._plan, self._broker = config, plan, broker
        self._is_fatal = False
        self.waiting: list[tuple[Report, KafkaError | None, str]] = []
        self.silent: list[Report] = []

    def produce(self, topic: str, **message: Any) -> None:
        way = "fatal" if self._is_fatal else self._plan.choose_way("produce", self.PRODUCE)
        self._raise(way)
        record = CollectedRecord(topic, message["key"], message["value"], message["timestamp"], 0)
        if way in ("", "stored, reported", "stored, silent"):
            self._broker.stored.append(record)
        if "silent" in way:
            self.silent.append(message["on_delivery"])
        else:
            error = KafkaError(KafkaError._MSG_TIMED_OUT, SECRET) if way else None
            self.waiting.append((message["on_delivery"], error, read_message_id(record)))

    def _raise(self, way: str) -> None:
        if way == "queue full":
            raise BufferError(SECRET)
        if way == "refused":
            raise KafkaException(KafkaError(KafkaError._STATE, SECRET))
        if way.startswith("fatal"):
            self._is_fatal = True
            self._plan.way = "no other one" if way == "fatal twice" else ""
            raise KafkaException(KafkaError(KafkaError._FATAL, SECRET, True))

    def poll(self, _: float) -> None:
        if self.waiting:
            self._call_back(self._plan.choose_way("poll", self.POLL))
        reports, self.waiting = self.waiting, []
        for report, error, id in reports:
            if error is None:
                self._broker.acknowledged.add(id)
            report(error, None)

    def _call_back(self, way: str) -> None:
        if way == "a bug in a callback":
            raise RuntimeError(SECRET)
        if way:
            self._is_fatal = True
            self._plan.way = "no other one" if way == "fatal by callback twice" else ""
            self._config["error_cb"](KafkaError(KafkaError._FATAL, SECRET, True))

    def __len__(self) -> int:
        return len(self.waiting) + len(self.silent)

    def end_silence(self) -> None:
        """librdkafka's verdict on what nobody waits for any more."""
        reports, self.silent = self.silent, []
        for report in reports:
            report(KafkaError(KafkaError._MSG_TIMED_OUT), None)

    def purge(self) -> None:
        self.waiting = [(report, KafkaError(KafkaError._PURGE_QUEUE), id) for report, _, id in self.waiting]
        self.end_silence()

    def flush(self, _: float) -> int:
        self.poll(0)
        return 0


class Database:
    """PostgreSQL: every key opens the project `demo`."""

    WAYS = ("away",)

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    async def run(self, work: Callable[[Any], Any], *, seconds: float) -> Any:
        if self._plan.choose_way("look up", self.WAYS):
            raise Unavailable("postgres", SECRET)
        return work(self)

    def execute(self, *_: Any) -> Any:
        return self

    def one_or_none(self) -> tuple[Any, ...]:
        return "demo", "prj_1", ["collect"], "key_1", None


class Counter:
    """Redis, as limits are counted in."""

    WAYS = ("error", "reset", "counted, reset", "no answer")

    def __init__(self, plan: Plan) -> None:
        self._plan, self._counts = plan, dict[str, int]()

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        way = self._plan.choose_way("incr", self.WAYS)
        if way == "no answer":
            await asyncio.Event().wait()
        if way in ("error", "reset"):
            raise StorageError(OSError(SECRET)) if way == "error" else ConnectionResetError(SECRET)
        self._counts[key] = self._counts.get(key, 0) + amount
        if way:
            raise ConnectionResetError(SECRET)
        return self._counts[key]


WAYS = {
    "make": Librdkafka.MAKE, "produce": Librdkafka.PRODUCE, "poll": Librdkafka.POLL, "look up": Database.WAYS,
    "incr": Counter.WAYS,
}  # fmt: skip


class Site:
    """The application over these servers, and what its clients have been told."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.broker, self.producers = plan, Broker(), list[Librdkafka]()
        self.now = 60_000_000.0
        self.producer = EventProducer(self._make, {}, WAIT_SECONDS - 1.0)  # which adds a second of its own
        keys = KeyCache(cast(Any, Database(plan)), CatalogSettings(url=cast(Any, "postgresql://x")), lambda: self.now)
        limits = RateLimits(LimitSettings(collect_events_per_minute=200), Counter(plan), lambda: self.now)
        self.app = create_app(
            Dependencies(keys=keys, collector=Collector(self.producer), health=Health({}), limits=limits)
        )  # fmt: skip
        self.wrong: list[str] = []

    def _make(self, config: dict[str, Any]) -> Any:
        self.producers.append(Librdkafka(config, self.plan, self.broker))
        return self.producers[-1]

    @contextmanager
    def _opening_client(self) -> Iterator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(app=cast(Any, self.app), raise_app_exceptions=False)
        yield httpx.AsyncClient(transport=transport, base_url="http://test")

    async def send_all(self, requests: Sequence[Sending]) -> None:
        """Each until it is answered by 200."""
        with self._opening_client() as client:
            for sending in requests:
                for attempt in range(TRIES_MAX):
                    self.now += STEP_SECONDS
                    if await self._send(client, sending, attempt):
                        break
                else:
                    self.wrong.append(f"{sending.path} is never answered by 200")

    async def _send(self, client: httpx.AsyncClient, sending: Sending, attempt: int) -> bool:
        retry = {"X-Retry-Count": str(attempt)} if attempt else {}
        answer = await client.post(sending.path, content=sending.body, headers=sending.headers | retry)
        for kafka in self.producers:
            kafka.end_silence()
        if answer.status_code == 200:
            missing = sending.ids - self.broker.acknowledged
            self.wrong += [f"200 without an acknowledgement of {id}" for id in missing]
            return True
        self.wrong += [f"{sending.path}: {objection}" for objection in find_objections(answer)]
        return False


@dataclass(frozen=True)
class Sending:
    """A request, and the ids of its events that are right."""

    path: str
    body: bytes
    ids: frozenset[str]
    headers: dict[str, str] = field(default_factory=dict)


def find_objections(answer: httpx.Response) -> list[str]:
    """What is wrong with an answer that is not the one hoped for."""
    document = answer.json()
    checks = {
        f"status {answer.status_code}": answer.status_code == 503,
        "no Retry-After": answer.headers.get("retry-after", "0").isdigit()
        and int(answer.headers.get("retry-after", "0")) > 0,
        "not a problem document": answer.headers["content-type"] == "application/problem+json",
        "not the code": document.get("code") == "unavailable" and document.get("message") == document.get("detail"),
        "internals are shown": not any(word in answer.text for word in (*SECRET.split(), "Traceback", "KafkaError")),
        "no header for browsers": answer.headers.get("access-control-allow-origin") == "*",
    }
    return [name for name, is_right in checks.items() if not is_right]


def read_message_id(record: CollectedRecord) -> str:
    return str(json.loads(record.value)["messageId"])


def make_requests() -> list[Sending]:
    """A client's morning: every way to show a key, own times and none, a clock that is wrong, a repeat, a reject."""
    basic = {"Authorization": "Basic " + base64.b64encode(b"rta_w_key:").decode()}
    bearer = {"Authorization": "Bearer rta_w_key"}
    hour_off = {"originalTimestamp": "2026-11-22T10:00:00Z", "sentAt": "2026-11-22T10:00:59Z"}
    batch = [_make_event(f"b-{n}", timestamp=f"2026-11-22T10:0{n}:00Z") for n in range(3)]
    return [
        _make_single("track", _make_event("t-1"), bearer),
        _make_batch([*batch, batch[0], {"type": "page", "messageId": "nobody"}], basic),
        _make_single("page", _make_event("p-1", **hour_off) | {"writeKey": "rta_w_key"}, {}),
        _make_batch([_make_event("c-1", **hour_off), _make_event("c-2", anonymousId="b")], bearer),
        _make_single("identify", _make_event("i-1"), basic),
        _make_batch([_make_event(f"d-{n}") for n in range(4)], bearer),
    ]  # fmt: skip


def _make_event(id: str, **more: Any) -> dict[str, Any]:
    return {"type": "track", "event": "x", "messageId": id, "anonymousId": "a", **more}


def _make_single(kind: str, event: dict[str, Any], headers: dict[str, str]) -> Sending:
    body = json.dumps({**event, "type": kind}).encode()
    return Sending(f"/v1/{kind}", body, frozenset({event["messageId"]}), headers)


def _make_batch(events: list[dict[str, Any]], headers: dict[str, str]) -> Sending:
    ids = frozenset(event["messageId"] for event in events if "anonymousId" in event)
    return Sending("/v1/batch", json.dumps({"batch": events}).encode(), ids, headers)
