"""How many records a second does a rebuild read, compared with a worker on the same log?

The simulator fills the log from a seed, and a worker counts it. Then `rta rebuild` runs alone and counts it again, as
an operator would run it. The report shows the rate that `rta rebuild` prints, and the CPU time of the servers.
"""

from __future__ import annotations

import json
import subprocess
import time

from rtaplatform.bench.pipeline import fill, wait_counted
from rtaplatform.bench.report import BenchReport
from rtaplatform.bench.servers import BenchServers, read_cpu_seconds, running_servers
from rtaplatform.store.redis.redis_store import RedisStore
from rtaplatform.stream.kafka.broker import Broker

COUNTED_SECONDS_MAX = 1_200.0
REBUILT_SECONDS_MAX = 1_800.0


def measure(report: BenchReport, *, events_total: int, users: int, products: int, rate: float, seed: int) -> None:
    """`rate` is in events per second of event time. A lower rate gives each batch more buckets."""
    with running_servers() as servers:
        report.say(f"filling the log with {events_total:,} events")
        fill(servers.kafka, events_total, users=users, products=products, seed=seed, rate=rate)
        total = sum(Broker(servers.kafka).read_ends().values())
        report.add_row(what="worker", records_per_s=round(total / _count_with_a_worker(servers, total)))
        report.add_row(what="rebuild", **_rebuild(servers))


def _count_with_a_worker(servers: BenchServers, total: int) -> float:
    """Return the seconds that one worker takes, including its start."""
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
    before = {name: read_cpu_seconds(pid) for name, pid in servers.pids.items()}
    child = servers.spawn("rebuild", "--json", "--keep-old", "0", stdout=subprocess.PIPE)
    output, _ = child.communicate(timeout=REBUILT_SECONDS_MAX)
    if child.returncode:
        raise RuntimeError(f"rta rebuild has ended with {child.returncode}")
    summary = json.loads(output)
    cpu_s = {name: read_cpu_seconds(pid) - before[name] for name, pid in servers.pids.items()}
    return {
        "records_per_s": summary["rate"],
        **{f"{name}_cpu_us": round(seconds / summary["records"] * 1e6, 2) for name, seconds in cpu_s.items()},
    }
