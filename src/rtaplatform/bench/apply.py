"""How long does one call of the store take, and how large is it, as rates, batches, projects and products grow?

The benchmark starts its own Valkey. A real worker reads a simulated shop's records from memory and writes them there.
The benchmark times each `apply` call of the worker. It measures the encoding separately from the call, which lasts
from the first byte sent to the answer.

The first cases measure the steady state. Events arrive at a fixed rate, and a batch holds the events that arrived while
the worker waited. The other cases measure a worker that catches up. Batches follow one another, as large as the log and
the worker make them. `RTA_REDIS_SHARDS` sets the number of shards.

Python's garbage collector is off. Otherwise it would scan the records in memory, which a real worker does not hold.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice, zip_longest
from typing import NamedTuple

from rtaplatform.bench.report import BenchReport, find_percentile, find_percentiles_ms
from rtaplatform.bench.servers import running_valkey
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.values.murmur2 import murmur2
from rtaplatform.process.worker.limits import BatchSize
from rtaplatform.process.worker.worker import Worker
from rtaplatform.settings import StoreSettings, WorkerSettings
from rtaplatform.simulate.shop.plan import SimulationPlan
from rtaplatform.simulate.shop.records import TOPICS, SimulatedRecord
from rtaplatform.simulate.traffic import draw_events
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
    """An `AggregateStore` that notes how long each call takes, its size in bytes and its records."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store
        self.encoding: list[float] = []
        self.calls: list[float] = []
        self.sizes: list[int] = []
        self.records: list[int] = []

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        start_s = time.perf_counter()
        size = len(encode(generation, delta))
        encoded_s = time.perf_counter()
        outcome = self._store.apply(shard, generation, delta)
        total_s = time.perf_counter() - encoded_s
        if delta.cells:
            self.encoding.append(encoded_s - start_s)
            self.calls.append(max(0.0, total_s - (encoded_s - start_s)))
            self.sizes.append(size)
            self.records.append(sum(n for name, n in delta.counts.items() if name.endswith("|consumed")))
        return outcome

    def read_state(self, shard: int) -> ShardState | None:
        return self._store.read_state(shard)

    def read_clock_s(self) -> int:
        return self._store.read_clock_s()

    def read_projects(self, shard: int, slugs: Sequence[str]) -> dict[str, ProjectSettings]:
        return self._store.read_projects(shard, slugs)

    def read_blocks(self, shard: int, generation: str, names: Sequence[str]) -> list[bytes]:
        return self._store.read_blocks(shard, generation, names)

    def read_loose_ids(self, shard: int, generation: str, query: LooseIdQuery) -> list[list[int]]:
        return self._store.read_loose_ids(shard, generation, query)

    def read_persons(self, shard: int, generation: str, keys: Sequence[tuple[str, bytes]]) -> list[bytes]:
        return self._store.read_persons(shard, generation, keys)

    def set_stop(self, shard: int, subject: str, reason: str) -> None:
        self._store.set_stop(shard, subject, reason)


class ApplyCase(NamedTuple):
    batch_max: int
    projects: int
    products: int


# Cases by size of the batch, by projects, and by products.
# 20,000 records is the default batch size of a worker.
CASES = (
    *(ApplyCase(size, 1, 200) for size in (BATCH // 10, BATCH, BATCH * 2, BATCH * 4)),
    *(ApplyCase(BATCH * 2, projects, 200) for projects in (10, 100)),
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
    """Report one row per rate, measured for `seconds`, and one row per case, measured over `calls`."""
    gc.collect()
    gc.disable()
    try:
        for rate in rates:
            with running_valkey() as (settings, _pid):
                _report_calls(report, _measure_rate(settings, rate, seconds=seconds, seed=seed), {"events_per_s": rate})
        for case in cases:
            with running_valkey() as (settings, _pid):
                _report_calls(report, _measure_batches(settings, case, calls=calls, seed=seed), case._asdict())
    finally:
        gc.enable()


def _report_calls(report: BenchReport, store: TimedStore, case: Mapping[str, int]) -> None:
    sizes = {f"p{n}_kb": round(find_percentile(store.sizes, n / 100) / 1000, 1) for n in (50, 99)}
    encoding_ms = round(find_percentile(store.encoding, 0.5) * 1000, 2)
    report.add_row(
        **case,
        calls=len(store.calls),
        p50_records=find_percentile(store.records, 0.5),
        **find_percentiles_ms(store.calls),
        encoding_p50_ms=encoding_ms,
        **sizes,
    )


def _measure_rate(settings: StoreSettings, rate: int, *, seconds: float, seed: int) -> TimedStore:
    """Events arrive at the rate. The worker takes a batch every WAIT_S seconds."""
    start, name = time.time_ns() // 1_000_000, "site-0"
    plan = SimulationPlan(start, project=name, rate=float(rate), products=200, seed=seed)
    records = list(islice(draw_events(plan), int(rate * seconds)))
    with _running_worker(settings, [name], BATCH) as (broker, worker, store):
        due = time.monotonic()
        for at in range(0, len(records), round(rate * WAIT_S)):
            _append(broker, iter(records[at : at + round(rate * WAIT_S)]))
            worker.turn()
            due += WAIT_S
            time.sleep(max(0.0, due - time.monotonic()))
    return store


def _measure_batches(settings: StoreSettings, case: ApplyCase, *, calls: int, seed: int) -> TimedStore:
    names = [f"site-{n}" for n in range(case.projects)]
    records = _draw_records(names, case.batch_max * calls, case.products, seed)
    with _running_worker(settings, names, case.batch_max) as (broker, worker, store):
        for _ in range(calls):
            # A batch has records of all partitions, like the batches of a worker that keeps up.
            _append(broker, islice(records, case.batch_max))
            while not (worker.is_settled and _is_read(broker, worker)):  # records must not be made during a call
                worker.turn()
    return store


def _is_read(broker: MemoryBroker, worker: Worker) -> bool:
    return all(worker.positions.find_next_read_offset(p) == len(records) for p, records in broker.records.items())


@contextmanager
def _running_worker(
    settings: StoreSettings, names: Sequence[str], batch: int
) -> Iterator[tuple[MemoryBroker, Worker, TimedStore]]:
    """A worker that owns all partitions of an empty log. At the end it writes all remaining records to the store."""
    batch_size = BatchSize()
    broker = MemoryBroker(dict.fromkeys(TOPICS, PARTITIONS))
    redis_store = RedisStore(settings, note_call=batch_size.note_call)
    redis_store.load_functions()
    redis_store.set_projects([ProjectSettings(name, "Europe/Berlin", "EUR") for name in names])
    begin_missing(redis_store, settings.shards, dict(broker.ids), {})
    log, store = MemoryLog(broker, batch), TimedStore(redis_store)
    log.assign(broker.list_partitions())
    worker = Worker(log, log, store, shards=settings.shards, batch_size=batch_size)
    worker.turn()
    yield broker, worker, store
    while not worker.is_settled:
        worker.turn()
    redis_store.close()


def _draw_records(names: Sequence[str], total: int, products: int, seed: int) -> Iterator[SimulatedRecord]:
    """The records of all projects in turn. The last ones have a time close to now."""
    start = time.time_ns() // 1_000_000 - int(total / RATE * 1000)
    streams = [
        draw_events(SimulationPlan(start, project=name, rate=RATE / len(names), products=products, seed=seed + n))
        for n, name in enumerate(names)
    ]
    return (record for turn in zip_longest(*streams) for record in turn if record is not None)


def _append(broker: MemoryBroker, records: Iterator[SimulatedRecord]) -> None:
    for record in records:
        partition = Partition(record.topic, (murmur2(record.key) & 0x7FFFFFFF) % PARTITIONS)
        broker.append(partition, record.timestamp, record.key, record.value)
