"""How long does one call of the store take, and how large is it, as rates, batches, projects and products grow?

The real worker folds a simulated shop's records, out of memory, into a Valkey of its own; what is timed is its calls of
`apply`: the encoding apart, and the call from the first byte sent to the answer. First in steady state: events come at
a rate, and a batch is what has come in the time that a worker waits for one. Then batches of given sizes, one after the
other, as while it catches up. Python's garbage collector is off: it would look through the records that only this
process keeps.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice, zip_longest
from typing import NamedTuple

from rtaplatform.bench.report import BenchReport, milliseconds, percentile
from rtaplatform.bench.servers import running_valkey
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.values.murmur2 import murmur2
from rtaplatform.process.worker.worker import Worker
from rtaplatform.settings import StoreSettings, WorkerSettings
from rtaplatform.simulate.shop.plan import SimulationPlan
from rtaplatform.simulate.shop.records import TOPICS, SimulatedRecord
from rtaplatform.simulate.traffic import events
from rtaplatform.store.port import Delta, LooseIdQuery, Outcome, ShardState
from rtaplatform.store.redis.apply_payload import encode
from rtaplatform.store.redis.redis_store import RedisStore
from rtaplatform.store.redis.shard_lifecycle import begin_missing
from rtaplatform.stream.memory import MemoryBroker, MemoryLog
from rtaplatform.stream.port import Partition

PARTITIONS = 4
BATCH = 10_000
WAIT_S = int(WorkerSettings.model_fields["batch_wait_ms_max"].default) / 1000
RATE = 2_000.0  # in the events' own time
RATES = (500, 2_000, 5_000, 10_000)  # events a second, for one worker


class TimedStore:
    """An `AggregateStore` that remembers how long each call took, and how large it was."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store
        self.encoding: list[float] = []
        self.calls: list[float] = []
        self.sizes: list[int] = []

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        begun = time.perf_counter()
        size = len(encode(generation, delta))
        encoded = time.perf_counter()
        outcome = self._store.apply(shard, generation, delta)
        whole = time.perf_counter() - encoded
        if delta.cells:
            self.encoding.append(encoded - begun)
            self.calls.append(max(0.0, whole - (encoded - begun)))
            self.sizes.append(size)
        return outcome

    def state(self, shard: int) -> ShardState | None:
        return self._store.state(shard)

    def clock_s(self) -> int:
        return self._store.clock_s()

    def projects(self, shard: int, slugs: Sequence[str]) -> dict[str, ProjectSettings]:
        return self._store.projects(shard, slugs)

    def blocks(self, shard: int, generation: str, names: Sequence[str]) -> list[bytes]:
        return self._store.blocks(shard, generation, names)

    def loose_ids(self, shard: int, generation: str, query: LooseIdQuery) -> list[list[int]]:
        return self._store.loose_ids(shard, generation, query)

    def persons(self, shard: int, generation: str, keys: Sequence[tuple[str, bytes]]) -> list[bytes]:
        return self._store.persons(shard, generation, keys)

    def set_stop(self, shard: int, subject: str, reason: str) -> None:
        self._store.set_stop(shard, subject, reason)


class ApplyCase(NamedTuple):
    batch: int
    projects: int
    products: int


# Each varies one thing against a batch of one project with few products. 20,000 is the default size.
CASES = (
    *(ApplyCase(size, 1, 200) for size in (BATCH // 10, BATCH, BATCH * 2, BATCH * 4)),
    *(ApplyCase(BATCH, projects, 200) for projects in (10, 100)),
    *(ApplyCase(BATCH, 1, products) for products in (5_000, 100_000)),
)


def measure(
    report: BenchReport,
    *,
    calls: int,
    seconds: float,
    seed: int,
    cases: Sequence[ApplyCase] = CASES,
    rates: Sequence[int] = RATES,
) -> None:
    """A row for each rate, of so many seconds, and one for each case, of so many calls."""
    gc.collect()
    gc.disable()
    try:
        for rate in rates:
            with running_valkey() as (settings, _pid):
                _say(report, _steady(settings, rate, seconds=seconds, seed=seed), {"events_per_s": rate})
        for case in cases:
            with running_valkey() as (settings, _pid):
                _say(report, _counted(settings, case, calls=calls, seed=seed), case._asdict())
    finally:
        gc.enable()


def _say(report: BenchReport, timed: TimedStore, case: Mapping[str, int]) -> None:
    sizes = {f"p{n}_kb": round(percentile(timed.sizes, n / 100) / 1000, 1) for n in (50, 99)}
    encoding_ms = round(percentile(timed.encoding, 0.5) * 1000, 2)
    report.row(**case, calls=len(timed.calls), **milliseconds(timed.calls), encoding_p50_ms=encoding_ms, **sizes)


def _steady(settings: StoreSettings, rate: int, *, seconds: float, seed: int) -> TimedStore:
    """Events as they come, which a worker takes every WAIT_S."""
    start, name = time.time_ns() // 1_000_000, "site-0"
    plan = SimulationPlan(start, project=name, rate=float(rate), products=200, seed=seed)
    records = list(islice(events(plan), int(rate * seconds)))
    with _working(settings, [name], BATCH) as (broker, worker, timed):
        due = time.monotonic()
        for at in range(0, len(records), round(rate * WAIT_S)):
            _append(broker, iter(records[at : at + round(rate * WAIT_S)]))
            worker.turn()
            due += WAIT_S
            time.sleep(max(0.0, due - time.monotonic()))
    return timed


def _counted(settings: StoreSettings, case: ApplyCase, *, calls: int, seed: int) -> TimedStore:
    names = [f"site-{n}" for n in range(case.projects)]
    records = _records(names, case.batch * calls, case.products, seed)
    with _working(settings, names, case.batch) as (broker, worker, timed):
        for _ in range(calls):
            # A batch has records of all partitions, as those of a worker that keeps up.
            _append(broker, islice(records, case.batch))
            while not (worker.is_settled and _is_read(broker, worker)):  # else records are made beside the call
                worker.turn()
    return timed


def _is_read(broker: MemoryBroker, worker: Worker) -> bool:
    return all(worker.positions.next_read_offset(p) == len(records) for p, records in broker.records.items())


@contextmanager
def _working(
    settings: StoreSettings, names: Sequence[str], batch: int
) -> Iterator[tuple[MemoryBroker, Worker, TimedStore]]:
    """A worker that has taken its partitions of an empty log; at the end all that it was given is in the store."""
    broker, store = MemoryBroker(dict.fromkeys(TOPICS, PARTITIONS)), RedisStore(settings)
    store.load_functions()
    store.set_projects([ProjectSettings(name, "Europe/Berlin", "EUR") for name in names])
    begin_missing(store, settings.shards, dict(broker.ids), {})
    log, timed = MemoryLog(broker, batch), TimedStore(store)
    log.assign(broker.all_partitions())
    worker = Worker(log, log, timed, shards=settings.shards)
    worker.turn()
    yield broker, worker, timed
    while not worker.is_settled:
        worker.turn()
    store.close()


def _records(names: Sequence[str], total: int, products: int, seed: int) -> Iterator[SimulatedRecord]:
    """The records of all projects in turn, ending about now."""
    start = time.time_ns() // 1_000_000 - int(total / RATE * 1000)
    streams = [
        events(SimulationPlan(start, project=name, rate=RATE / len(names), products=products, seed=seed + n))
        for n, name in enumerate(names)
    ]
    return (record for turn in zip_longest(*streams) for record in turn if record is not None)


def _append(broker: MemoryBroker, records: Iterator[SimulatedRecord]) -> None:
    for record in records:
        partition = Partition(record.topic, (murmur2(record.key) & 0x7FFFFFFF) % PARTITIONS)
        broker.append(partition, record.timestamp, record.key, record.value)
