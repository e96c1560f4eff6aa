"""How many events a second does everything that runs by default count: dedup, all rollups, dead letters?

The log is filled from the simulator's seed first; then the workers drain it. The rate is that between the moments at
which a fifth and four fifths were counted, so that neither start nor end is in it: of several workers, the first has
its partitions seconds before the last, and has counted them sooner. What lies between is also told in parts: how the
rate moves, and what grows with what is there. CPU is said by process: on a machine that others use as well, it tells
more than the clock.
"""

from __future__ import annotations

import subprocess
import time
from itertools import islice
from typing import NamedTuple

from rtaplatform.bench.report import BenchReport
from rtaplatform.bench.servers import BenchServers, cpu_seconds, running_servers, wait_until
from rtaplatform.core.ledger import next_offset
from rtaplatform.settings import KafkaSettings
from rtaplatform.simulate.sender import Sender
from rtaplatform.simulate.shop.plan import SimulationPlan
from rtaplatform.simulate.traffic import events
from rtaplatform.store.redis.redis_store import RedisStore
from rtaplatform.stream.kafka.broker import Broker

SHARES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
DRAINED_SECONDS_MAX = 600.0
EVENTS_PER_SECOND = 2_000.0  # in the events' own time


def measure(report: BenchReport, *, events_total: int, workers: int, users: int, products: int, seed: int) -> None:
    with running_servers() as servers:
        report.say(f"filling the log with {events_total:,} events")
        fill(servers.kafka, events_total, users=users, products=products, seed=seed)
        children = [servers.spawn("worker") for _ in range(workers)]
        try:
            _drain(report, servers, children)
        finally:
            for child in children:
                child.terminate()
                child.wait()


def fill(
    kafka: KafkaSettings, total: int, *, users: int, products: int, seed: int, rate: float = EVENTS_PER_SECOND
) -> None:
    """The first so many records of the seed, with repeats, late and broken ones, ending about now."""
    span_ms = int(total / rate * 1000)
    plan = SimulationPlan(time.time_ns() // 1_000_000 - span_ms, rate=rate, users=users, products=products, seed=seed)
    sender = Sender(kafka, say=lambda _line: None, is_stopped=lambda: False)
    for number, record in enumerate(islice(events(plan), total)):
        sender.send(record)
        if number % 1_000 == 0:
            sender.serve()
    sender.finish()


def keep_coming(kafka: KafkaSettings, rate: float, users: int, products: int, seed: int) -> None:
    """Records of the seed at that rate, as they happen, without end."""
    plan = SimulationPlan(time.time_ns() // 1_000_000, rate=rate, users=users, products=products, seed=seed)
    sender = Sender(kafka, say=lambda _line: None, is_stopped=lambda: False)
    for record in events(plan):
        ahead = record.timestamp / 1000 - time.time()
        if ahead > 0:
            sender.serve()
            time.sleep(ahead)
        sender.send(record)


class PipelineSample(NamedTuple):
    """How much was counted, and what CPU each process had used, in seconds."""

    at: float
    counted: int
    cpu: dict[str, float]


def _drain(report: BenchReport, servers: BenchServers, children: list[subprocess.Popen[bytes]]) -> None:
    store = RedisStore(servers.store)
    total = sum(Broker(servers.kafka).ends().values())
    pids = servers.pids | {f"worker {number}": child.pid for number, child in enumerate(children)}
    moments = []
    for share in SHARES:
        wait_counted(store, share * total, DRAINED_SECONDS_MAX)
        cpu = {name: cpu_seconds(pid) for name, pid in pids.items()}
        moments.append(PipelineSample(time.monotonic(), counted(store), cpu))
    wait_counted(store, total, DRAINED_SECONDS_MAX)
    store.close()
    for share, first, last in zip(SHARES, moments, moments[1:], strict=False):
        if last.counted > first.counted:  # of a small log, several parts may be counted at once
            report.row(from_share=share, **_between(first, last))
    report.row(**_between(moments[0], moments[-1]))


def _between(first: PipelineSample, last: PipelineSample) -> dict[str, float]:
    n = max(1, last.counted - first.counted)
    used = {f"{name}_cpu_us": round((last.cpu[name] - first.cpu[name]) / n * 1e6, 2) for name in first.cpu}
    return {"events_per_s": round(n / max(last.at - first.at, 1e-9)), "cpu_us": round(sum(used.values()), 2), **used}


def counted(store: RedisStore) -> int:
    """How many records the shard's ledger is past."""
    state = store.state(0)
    return sum(next_offset(row) for row in state.ledger.values()) if state else 0


def wait_counted(store: RedisStore, total: float, seconds: float) -> None:
    """Until the ledger is past so many records. Raises TimeoutError."""
    wait_until(lambda: counted(store) >= total, f"{total:,.0f} records counted", seconds)
