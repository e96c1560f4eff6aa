"""How fast is the core alone: Kafka → counts by minute → Redis, exactly once, on the peers' job?

The real log, worker and store, with a counting of its own: per minute of the events' time the count by event, by event
and product, distinct users, and the revenue of orders. It keeps the contract that all peers of the comparison keep:
its surroundings name servers, topic and number of events; it prints `FIRST` and `LAST` with a time in ms, and writes
the results, read back from Redis, to a file.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import redis
import xxhash
from msgspec import Struct
from pydantic import SecretStr

from rtaplatform.bench.report import commit, machine
from rtaplatform.core.ledger import DEDUP_SLICES
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.rollups import SEPARATOR
from rtaplatform.core.time.buckets import MINUTE_MS, BucketKind
from rtaplatform.core.time.timestamps import read_time_ms
from rtaplatform.core.values.murmur2 import buckets_of
from rtaplatform.process.fold.dedup import RepeatFilter, in_block
from rtaplatform.process.fold.loose_ids import LooseKey
from rtaplatform.process.fold.person_state import PersonKey, PersonStates
from rtaplatform.process.worker.limits import WorkerLimits
from rtaplatform.process.worker.worker import Worker
from rtaplatform.settings import KafkaSettings, StoreSettings, WorkerSettings
from rtaplatform.store import redis_keys
from rtaplatform.store.port import CellsKey, Delta, SketchKey
from rtaplatform.store.redis.apply_payload import Retention
from rtaplatform.store.redis.redis_store import RedisStore
from rtaplatform.stream.kafka.broker import Broker
from rtaplatform.stream.kafka.consumer import KafkaConsumer
from rtaplatform.stream.kafka.dead_letters import KafkaDeadLetters
from rtaplatform.stream.port import DeadLetter, Partition, RecordColumns

PROJECT = ProjectSettings("bench", "UTC", "EUR")
GENERATION = "bench"
KEPT_SECONDS = 86_400
WAIT_MS_MAX = 300
ORDERED = "Order Completed"


class BenchProperties(Struct, gc=False):
    product_id: str
    price: float
    quantity: int


class BenchEvent(Struct, gc=False):
    event: str
    userId: str  # noqa: N815  # Segment's name
    timestamp: str
    properties: BenchProperties


class IdentifiedEvent(Struct, gc=False):
    event: str
    messageId: str  # noqa: N815
    userId: str  # noqa: N815
    timestamp: str
    properties: BenchProperties


@dataclass(frozen=True)
class CountsRun:
    run: RecordColumns
    items: Sequence[Any]
    record_ms: int

    def __len__(self) -> int:
        return len(self.items)

    def since(self, offset: int) -> CountsRun:
        first = bisect_left(self.run.offsets, offset)
        return decode_events(self.run.part(first, len(self)), self.items[first:]) if first else self

    def of(self, _shard: int, _shards: int) -> Sequence[Any]:
        return self.items

    def unknown_projects(self) -> Sequence[str]:
        return ()


def decode_events(run: RecordColumns, items: Sequence[Any], record_ms: int = 0) -> CountsRun:
    return CountsRun(run, items, max(record_ms, max(run.timestamps_ms), 0))


class Counts:
    """The job, without a look at repeats."""

    def __init__(self) -> None:
        self._decode = msgspec.json.Decoder(BenchEvent).decode

    def understand(
        self, run: RecordColumns, record_ms: int, _projects: Mapping[str, ProjectSettings], _shards: int
    ) -> CountsRun:
        return decode_events(run, list(map(self._decode, run.values)), record_ms)  # type: ignore[arg-type]  # none is empty

    def block_names(self, _read: Sequence[Any]) -> Iterable[str]:
        return ()

    def loose_ids(self, _read: Sequence[Any]) -> Iterable[LooseKey]:
        return ()

    def persons(self, _read: Sequence[Any]) -> Iterable[PersonKey]:
        return ()

    def fold(
        self, _projects: Mapping[str, ProjectSettings], seen: RepeatFilter, _people: PersonStates, _server_s: int = 0
    ) -> CountsFold:
        return CountsFold(seen)


Minute = tuple[dict[str, dict[str, int]], list[str]]  # counts by event and product; each event's user


class CountsFold:
    """Increments of one batch."""

    def __init__(self, seen: RepeatFilter) -> None:
        self._seen = seen
        self._minutes: dict[str, Minute] = {}
        self._revenue: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self.letters: list[DeadLetter] = []

    def add(self, place: str, read: Sequence[BenchEvent]) -> None:
        minutes = self._minutes
        for each in read:
            minute, event, product = each.timestamp[:16], each.event, each.properties.product_id
            found = minutes.get(minute)
            if found is None:
                found = minutes[minute] = ({}, [])
            events, users = found
            products = events.get(event)
            if products is None:
                products = events[event] = {}
            products[product] = products.get(product, 0) + 1
            users.append(each.userId)
            if event == ORDERED:
                cents = round(each.properties.price * 100) * each.properties.quantity
                self._revenue[minute] = self._revenue.get(minute, 0) + cents
        self._counts[f"{place}|consumed"] = self._counts.get(f"{place}|consumed", 0) + len(read)

    def delta(self) -> Delta:
        cells: dict[CellsKey, dict[str, int]] = {}
        users: dict[SketchKey, list[bytes]] = {}
        for minute, (events, persons) in self._minutes.items():
            start = _minute(minute)
            cells[_key("products", start)] = {
                f"{event}{SEPARATOR}{product}": n
                for event, products in events.items()
                for product, n in products.items()
            }
            cells[_key("counts", start)] = {event: sum(products.values()) for event, products in events.items()}
            users[SketchKey(PROJECT.slug, BucketKind.MINUTE, start, "", "")] = list(
                map(xxhash.xxh3_64_digest, map(str.encode, persons))
            )
        for minute, cents in self._revenue.items():
            cells[_key("revenue", _minute(minute))] = {"cents": cents}
        return Delta([], cells=cells, sketches=users, blocks=self._seen.writes(), counts=self._counts)


class CountsOnce(Counts):
    """The job, each messageId once."""

    def __init__(self) -> None:
        self._decode = msgspec.json.Decoder(IdentifiedEvent).decode  # type: ignore[assignment]  # more fields

    def understand(
        self, run: RecordColumns, record_ms: int, projects: Mapping[str, ProjectSettings], shards: int
    ) -> CountsRun:
        chunk = super().understand(run, record_ms, projects, shards)
        topic, at = run.partition.topic, chunk.record_ms
        items = [
            (
                event,
                in_block("bench", topic, piece, (read_time_ms(event.timestamp) or 0) // MINUTE_MS),
                xxhash.xxh3_64_intdigest(event.messageId.encode()),
                at,
            )
            for piece, event in zip(buckets_of(run.keys, DEDUP_SLICES), chunk.items, strict=True)
        ]
        return CountsRun(run, items, at)

    def block_names(self, read: Sequence[Any]) -> Iterable[str]:
        return (where.block for _, where, _, _ in read)

    def fold(
        self, _projects: Mapping[str, ProjectSettings], seen: RepeatFilter, _people: PersonStates, _server_s: int = 0
    ) -> CountsFold:
        return CountsFoldOnce(seen)


class CountsFoldOnce(CountsFold):
    def add(self, place: str, read: Sequence[Any]) -> None:
        is_repeat = self._seen.is_repeat
        super().add(place, [event for event, where, identity, at in read if not is_repeat(where, identity, at)])


def _key(rollup: str, start: int) -> CellsKey:
    return CellsKey(PROJECT.slug, rollup, BucketKind.MINUTE, start)


def _minute(text: str) -> int:
    at = read_time_ms(text + ":00.000Z")
    assert at is not None, text
    return at // MINUTE_MS


@dataclass(frozen=True)
class CountsTask:
    """What the surroundings name."""

    kafka: str
    topic: str
    events: int
    redis: str
    result: Path
    run: str

    @classmethod
    def read(cls) -> CountsTask:
        """Raises KeyError where a name is missing."""
        of = os.environ
        return cls(
            of["BENCH_KAFKA"], of["BENCH_TOPIC"], int(of["BENCH_EVENTS"]), of["BENCH_REDIS"],
            Path(of["BENCH_RESULT"]), of["BENCH_RUN"],
        )  # fmt: skip

    def store(self) -> RedisStore:
        until = int(time.time()) + KEPT_SECONDS
        settings = StoreSettings(url=SecretStr(self.redis), timeout_seconds=60)
        return RedisStore(settings, Retention(lambda _kind, _start: until))


def count(job: CountsTask, *, processes: int, batch: int, once: bool) -> int:
    """Run the job. Returns 0, or 1 where a process failed."""
    store, broker = job.store(), Broker(KafkaSettings(bootstrap_servers=job.kafka))
    topic_id, partitions = broker.topics([job.topic])[job.topic]
    store.load_functions()
    store.set_projects([PROJECT])
    store.begin(0, expected="", generation=GENERATION, topics={job.topic: topic_id}, starts={})
    del broker  # its threads must not be there when processes are forked
    store.close()
    children = []
    for number in range(processes):
        pid = os.fork()
        if pid == 0:
            mine = [Partition(job.topic, n) for n in range(number, partitions, processes)]
            os._exit(_work(job, mine, batch, CountsOnce() if once else Counts()))
        children.append(pid)
    failed = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    if not any(failed):
        job.result.write_text(json.dumps(_results(job)))
    return int(any(failed))


def _work(job: CountsTask, partitions: Sequence[Partition], batch: int, counting: Counts) -> int:
    gc.disable()  # a batch's objects are gone with it, and none is in a cycle
    kafka = KafkaSettings(bootstrap_servers=job.kafka)
    settings = WorkerSettings(
        group_id=job.run, group_protocol="classic", batch_events_max=batch,
        batch_bytes_max=1_000_000_000, batch_wait_ms_max=WAIT_MS_MAX,
    )  # fmt: skip
    log = TimedLog(KafkaConsumer(kafka, settings, partitions))
    worker = Worker(
        log, KafkaDeadLetters(kafka), job.store(), shards=1,
        limits=WorkerLimits(dedup_ids_cached_max=10_000_000, persons_known_max=0), counting=counting,
    )  # fmt: skip
    ends = {p: extent.high for p, extent in log.extents(partitions).items()}
    while not _is_done(worker, ends):
        worker.turn()
    _say("LAST")
    return 0


def _say(word: str) -> None:
    """In one piece: several processes share the output."""
    os.write(1, f"{word} {time.time_ns() // 1_000_000}\n".encode())


def _is_done(worker: Worker, ends: Mapping[Partition, int]) -> bool:
    at = worker.positions
    return worker.is_settled and bool(at.starts) and all(at.following(p) >= end for p, end in ends.items())


class TimedLog:
    """The log, which says when the first record is there."""

    def __init__(self, log: KafkaConsumer) -> None:
        self._log = log
        self._is_first = True

    def poll(self, at_most: int | None = None) -> Any:
        batch = self._log.poll(at_most)
        if batch.runs and self._is_first:
            self._is_first = False
            _say("FIRST")
        return batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


def _results(job: CountsTask) -> dict[str, dict[str, int]]:
    """What Redis holds, in the words of the comparison."""
    found: dict[str, dict[str, int]] = {"counts": {}, "products": {}, "uniques": {}, "revenue_cents": {}}
    base = redis_keys.base(0, GENERATION)
    with redis.Redis.from_url(job.redis, decode_responses=True) as client:
        for key in client.scan_iter(f"{base}c:*", count=10_000):
            *_, rollup, _kind, minute = key.split(":")
            for field, n in client.hgetall(key).items():
                name = "" if rollup == "revenue" else "|" + field.replace(SEPARATOR, "|")
                found["revenue_cents" if rollup == "revenue" else rollup][f"{minute}{name}"] = int(n)
        for key in client.scan_iter(f"{base}p:*", count=10_000):
            found["uniques"][key.rsplit(":", 1)[1]] = client.pfcount(key)
    return found


def main(*, processes: int, batch: int, once: bool) -> int:
    try:
        job = CountsTask.read()
    except KeyError as error:
        print(f"{error.args[0]} is not set: see the comparison's contract.", file=sys.stderr)
        return 2
    head = {"benchmark": "counts", "commit": commit(), "processes": processes, "batch": batch, "dedup": once}
    print(json.dumps(head | {"machine": machine()}), file=sys.stderr)  # standard output is the comparison's
    return count(job, processes=processes, batch=batch, once=once)
