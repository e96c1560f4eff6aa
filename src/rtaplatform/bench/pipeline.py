"""How many events a second does everything that runs by default count: dedup, all rollups, dead letters?

The simulator first fills the log from a seed. Then the workers drain it. The rate is measured from the moment when a
fifth of the records are counted to the moment when four fifths are counted. This leaves out the start and the end,
when only some of the workers are busy: the first worker gets its partitions seconds before the last one, and finishes
sooner.

The report also splits the measured time into parts. They show whether the rate changes while the store fills up. CPU
time is reported per process. On a shared machine it is more reliable than elapsed time.
"""

from __future__ import annotations

import subprocess
import time
from itertools import islice
from typing import NamedTuple

from rtaplatform.bench.report import BenchReport
from rtaplatform.bench.servers import BenchServers, read_cpu_seconds, running_servers, wait_until
from rtaplatform.core.ledger import read_next_offset
from rtaplatform.settings import KafkaSettings
from rtaplatform.simulate.sender import Sender
from rtaplatform.simulate.shop.plan import LATE_SHARE, SimulationPlan
from rtaplatform.simulate.traffic import draw_events
from rtaplatform.store.redis.redis_store import RedisStore
from rtaplatform.stream.kafka.broker import Broker

SHARES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
DRAINED_SECONDS_MAX = 600.0
EVENTS_PER_SECOND = 2_000.0  # in the events' own time


def measure(
    report: BenchReport, *, events_total: int, workers: int, users: int, products: int, late: float, seed: int
) -> None:
    """Measure and report. `late` is the share of events that arrive late: 0 to 1."""
    with running_servers() as servers:
        report.say(f"filling the log with {events_total:,} events")
        fill(servers.kafka, events_total, users=users, products=products, seed=seed, late=late)
        children = [servers.spawn("worker") for _ in range(workers)]
        try:
            _drain(report, servers, children)
        finally:
            for child in children:
                child.terminate()
                child.wait()


def fill(
    kafka: KafkaSettings,
    total: int,
    *,
    users: int,
    products: int,
    seed: int,
    rate: float = EVENTS_PER_SECOND,
    late: float = LATE_SHARE,
) -> None:
    """Write the first `total` records of the seed, including repeats, late and broken ones. They end close to now."""
    start_ms = time.time_ns() // 1_000_000 - int(total / rate * 1000)
    plan = SimulationPlan(start_ms, rate=rate, users=users, products=products, seed=seed, late=late)
    sender = Sender(kafka, say=lambda _line: None, is_stopped=lambda: False)
    for number, record in enumerate(islice(draw_events(plan), total)):
        sender.send(record)
        if number % 1_000 == 0:
            sender.serve()
    sender.finish()


def keep_sending(kafka: KafkaSettings, rate: float, users: int, products: int, seed: int) -> None:
    """Send records of the seed in real time, at the rate, without end."""
    plan = SimulationPlan(time.time_ns() // 1_000_000, rate=rate, users=users, products=products, seed=seed)
    sender = Sender(kafka, say=lambda _line: None, is_stopped=lambda: False)
    for record in draw_events(plan):
        ahead = record.timestamp / 1000 - time.time()
        if ahead > 0:
            sender.serve()
            time.sleep(ahead)
        sender.send(record)


class PipelineSample(NamedTuple):
    """The number of records counted so far, and the CPU seconds that each process has used."""

    at: float
    counted: int
    cpu: dict[str, float]


def _drain(report: BenchReport, servers: BenchServers, children: list[subprocess.Popen[bytes]]) -> None:
    store = RedisStore(servers.store)
    total = sum(Broker(servers.kafka).read_ends().values())
    pids = servers.pids | {f"worker {number}": child.pid for number, child in enumerate(children)}
    moments = []
    for share in SHARES:
        wait_counted(store, share * total, DRAINED_SECONDS_MAX)
        cpu = {name: read_cpu_seconds(pid) for name, pid in pids.items()}
        moments.append(PipelineSample(time.monotonic(), read_counted(store), cpu))
    wait_counted(store, total, DRAINED_SECONDS_MAX)
    store.close()
    for share, first, last in zip(SHARES, moments, moments[1:], strict=False):
        if last.counted > first.counted:  # one batch may cover several parts of a small log
            report.add_row(from_share=share, **_compare_samples(first, last))
    report.add_row(**_compare_samples(moments[0], moments[-1]))


def _compare_samples(first: PipelineSample, last: PipelineSample) -> dict[str, float]:
    n = max(1, last.counted - first.counted)
    parts = {f"{name}_cpu_us": round((last.cpu[name] - first.cpu[name]) / n * 1e6, 2) for name in first.cpu}
    return {
        "events_per_s": round(n / max(last.at - first.at, 1e-9)),
        "cpu_us": round(sum(parts.values()), 2),
        **parts,
    }


def read_counted(store: RedisStore) -> int:
    """Return the number of records that the ledger of shard 0 has passed."""
    state = store.read_state(0)
    return sum(read_next_offset(row) for row in state.ledger.values()) if state else 0


def wait_counted(store: RedisStore, total: float, seconds: float) -> None:
    """Wait until the ledger has passed `total` records. Raises TimeoutError."""
    wait_until(lambda: read_counted(store) >= total, f"{total:,.0f} records counted", seconds)
