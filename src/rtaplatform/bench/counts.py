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
from rtaplatform.core.buckets import MINUTE_MS, Kind
from rtaplatform.core.murmur2 import buckets_of
from rtaplatform.core.rollups import SEPARATOR
from rtaplatform.core.times import read_time_ms
from rtaplatform.process.dedup import Seen, in_block
from rtaplatform.process.loose import LooseKey
from rtaplatform.process.people import People, PersonKey
from rtaplatform.process.worker import Limits, Worker
from rtaplatform.settings import KafkaSettings, StoreSettings, WorkerSettings
from rtaplatform.store import layout
from rtaplatform.store.port import DEDUP_SLICES, CellsKey, Delta, Project, SketchKey
from rtaplatform.store.redis import RedisStore
from rtaplatform.store.wire import Keeping
from rtaplatform.stream.broker import Broker
from rtaplatform.stream.consumer import KafkaLog
from rtaplatform.stream.dead_letters import KafkaDeadLetters
from rtaplatform.stream.port import DeadLetter, Partition, Run

PROJECT = Project("bench", "UTC", "EUR")
GENERATION = "bench"
KEPT_SECONDS = 86_400
WAIT_MS_MAX = 300
ORDERED = "Order Completed"


class Properties(Struct, gc=False):
    product_id: str
    price: float
    quantity: int


class Event(Struct, gc=False):
    event: str
    userId: str  # noqa: N815  # Segment's name
    timestamp: str
    properties: Properties


class Identified(Struct, gc=False):
    event: str
    messageId: str  # noqa: N815
    userId: str  # noqa: N815
    timestamp: str
    properties: Properties


@dataclass(frozen=True)
class Chunk:
    run: Run
    items: Sequence[Any]
    record_ms: int

    def __len__(self) -> int:
        return len(self.items)

    def since(self, offset: int) -> Chunk:
        first = bisect_left(self.run.offsets, offset)
        return understood(self.run.part(first, len(self)), self.items[first:]) if first else self

    def of(self, _shard: int, _shards: int) -> Sequence[Any]:
        return self.items

    def unknown_projects(self) -> Sequence[str]:
        return ()


def understood(run: Run, items: Sequence[Any], record_ms: int = 0) -> Chunk:
    return Chunk(run, items, max(record_ms, max(run.timestamps_ms), 0))


class Counts:
    """The job, without a look at repeats."""

    def __init__(self) -> None:
        self._decode = msgspec.json.Decoder(Event).decode

    def understand(self, run: Run, record_ms: int, _projects: Mapping[str, Project], _shards: int) -> Chunk:
        return understood(run, list(map(self._decode, run.values)), record_ms)  # type: ignore[arg-type]  # none is empty

    def block_names(self, _read: Sequence[Any]) -> Iterable[str]:
        return ()

    def loose_ids(self, _read: Sequence[Any]) -> Iterable[LooseKey]:
        return ()

    def persons(self, _read: Sequence[Any]) -> Iterable[PersonKey]:
        return ()

    def fold(self, _projects: Mapping[str, Project], seen: Seen, _people: People, _server_s: int = 0) -> Fold:
        return Fold(seen)


Minute = tuple[dict[str, dict[str, int]], list[str]]  # counts by event and product; each event's user


class Fold:
    """Increments of one batch."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._minutes: dict[str, Minute] = {}
        self._revenue: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self.letters: list[DeadLetter] = []

    def add(self, place: str, read: Sequence[Event]) -> None:
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
            users[SketchKey(PROJECT.slug, Kind.MINUTE, start, "", "")] = list(
                map(xxhash.xxh3_64_digest, map(str.encode, persons))
            )
        for minute, cents in self._revenue.items():
            cells[_key("revenue", _minute(minute))] = {"cents": cents}
        return Delta([], cells=cells, sketches=users, blocks=self._seen.writes(), counts=self._counts)


class CountsOnce(Counts):
    """The job, each messageId once."""

    def __init__(self) -> None:
        self._decode = msgspec.json.Decoder(Identified).decode  # type: ignore[assignment]  # more fields

    def understand(self, run: Run, record_ms: int, projects: Mapping[str, Project], shards: int) -> Chunk:
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
        return Chunk(run, items, at)

    def block_names(self, read: Sequence[Any]) -> Iterable[str]:
        return (where.block for _, where, _, _ in read)

    def fold(self, _projects: Mapping[str, Project], seen: Seen, _people: People, _server_s: int = 0) -> Fold:
        return FoldOnce(seen)


class FoldOnce(Fold):
    def add(self, place: str, read: Sequence[Any]) -> None:
        is_repeat = self._seen.is_repeat
        super().add(place, [event for event, where, identity, at in read if not is_repeat(where, identity, at)])


def _key(rollup: str, start: int) -> CellsKey:
    return CellsKey(PROJECT.slug, rollup, Kind.MINUTE, start)


def _minute(text: str) -> int:
    at = read_time_ms(text + ":00.000Z")
    assert at is not None, text
    return at // MINUTE_MS


@dataclass(frozen=True)
class Job:
    """What the surroundings name."""

    kafka: str
    topic: str
    events: int
    redis: str
    result: Path
    run: str

    @classmethod
    def read(cls) -> Job:
        """Raises KeyError where a name is missing."""
        of = os.environ
        return cls(
            of["BENCH_KAFKA"], of["BENCH_TOPIC"], int(of["BENCH_EVENTS"]), of["BENCH_REDIS"],
            Path(of["BENCH_RESULT"]), of["BENCH_RUN"],
        )  # fmt: skip

    def store(self) -> RedisStore:
        until = int(time.time()) + KEPT_SECONDS
        settings = StoreSettings(url=SecretStr(self.redis), timeout_seconds=60)
        return RedisStore(settings, Keeping(lambda _kind, _start: until))


def count(job: Job, *, processes: int, batch: int, once: bool) -> int:
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


def _work(job: Job, partitions: Sequence[Partition], batch: int, counting: Counts) -> int:
    gc.disable()  # a batch's objects are gone with it, and none is in a cycle
    kafka = KafkaSettings(bootstrap_servers=job.kafka)
    settings = WorkerSettings(
        group_id=job.run, group_protocol="classic", batch_events_max=batch,
        batch_bytes_max=1_000_000_000, batch_wait_ms_max=WAIT_MS_MAX,
    )  # fmt: skip
    log = Timed(KafkaLog(kafka, settings, partitions))
    worker = Worker(
        log, KafkaDeadLetters(kafka), job.store(), shards=1,
        limits=Limits(dedup_ids_cached_max=10_000_000, persons_known_max=0), counting=counting,
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


class Timed:
    """The log, which says when the first record is there."""

    def __init__(self, log: KafkaLog) -> None:
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


def _results(job: Job) -> dict[str, dict[str, int]]:
    """What Redis holds, in the words of the comparison."""
    found: dict[str, dict[str, int]] = {"counts": {}, "products": {}, "uniques": {}, "revenue_cents": {}}
    base = layout.base(0, GENERATION)
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
        job = Job.read()
    except KeyError as error:
        print(f"{error.args[0]} is not set: see the comparison's contract.", file=sys.stderr)
        return 2
    head = {"benchmark": "counts", "commit": commit(), "processes": processes, "batch": batch, "dedup": once}
    print(json.dumps(head | {"machine": machine()}), file=sys.stderr)  # standard output is the comparison's
    return count(job, processes=processes, batch=batch, once=once)
