"""How many records a second does a rebuild read, beside what workers count of the same log?

The log is filled from the simulator's seed, and workers count it. Then `rta rebuild` counts it again, alone, as an
operator would run it; its own figure is shown, with its CPU and that of the store.
"""

from __future__ import annotations

import json
import subprocess
import time

from rtaplatform.bench.pipeline import fill, wait_counted
from rtaplatform.bench.report import BenchReport
from rtaplatform.bench.servers import BenchServers, cpu_seconds, running_servers
from rtaplatform.store.redis.redis_store import RedisStore
from rtaplatform.stream.kafka.broker import Broker

COUNTED_SECONDS_MAX = 1_200.0
REBUILT_SECONDS_MAX = 1_800.0


def measure(report: BenchReport, *, events_total: int, users: int, products: int, rate: float, seed: int) -> None:
    """`rate`: events a second in their own time; the lower it is, the more buckets each batch has."""
    with running_servers() as servers:
        report.say(f"filling the log with {events_total:,} events")
        fill(servers.kafka, events_total, users=users, products=products, seed=seed, rate=rate)
        total = sum(Broker(servers.kafka).ends().values())
        report.row(what="worker", records_per_s=round(total / _count_with_a_worker(servers, total)))
        report.row(what="rebuild", **_rebuild(servers))


def _count_with_a_worker(servers: BenchServers, total: int) -> float:
    """Seconds that one worker takes, its start included, as a rebuild's is."""
    store, begin = RedisStore(servers.store), time.monotonic()
    child = servers.spawn("worker")
    try:
        wait_counted(store, total, COUNTED_SECONDS_MAX)
        return time.monotonic() - begin
    finally:
        store.close()
        child.terminate()
        child.wait()


def _rebuild(servers: BenchServers) -> dict[str, float]:
    before = {name: cpu_seconds(pid) for name, pid in servers.pids.items()}
    child = servers.spawn("rebuild", "--json", "--keep-old", "0", stdout=subprocess.PIPE)
    said, _ = child.communicate(timeout=REBUILT_SECONDS_MAX)
    if child.returncode:
        raise RuntimeError(f"rta rebuild has ended with {child.returncode}")
    summary = json.loads(said)
    used = {name: cpu_seconds(pid) - before[name] for name, pid in servers.pids.items()}
    return {
        "records_per_s": summary["rate"],
        **{f"{name}_cpu_us": round(seconds / summary["records"] * 1e6, 2) for name, seconds in used.items()},
    }
