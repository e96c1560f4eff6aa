"""How much memory do an event, a field of a bucket, a sketch, an id and a person take? And the processes?

For events, a worker counts a simulated shop's records in steps. After each step, the benchmark reads the memory of
Valkey and of the processes. For the other items (memory_items.py), the benchmark writes a number of them through
`apply`, and nothing else.
"""

from __future__ import annotations

import psutil

from rtaplatform.bench.memory.memory_items import PERSONS, MemoryItem, list_items
from rtaplatform.bench.pipeline import fill, wait_counted
from rtaplatform.bench.report import BenchReport
from rtaplatform.bench.servers import PROJECT, BenchServers, running_servers
from rtaplatform.store.port import Applied, Delta
from rtaplatform.store.redis.connections import connect
from rtaplatform.store.redis.redis_store import RedisStore
from rtaplatform.stream.kafka.broker import Broker

STEPS = (0.01, 0.1, 1.0)
COUNTED_SECONDS_MAX = 3_600.0
USERS, SHOP_PRODUCTS = 20_000, 2_000


def measure(report: BenchReport, *, events: int, seed: int, persons: int = PERSONS) -> None:
    with running_servers() as servers:
        probe = MemoryProbe(servers)
        for item in list_items(PROJECT.slug, persons):
            _report_growth(report, probe, item)
        _measure_events(report, servers, probe, events, seed)


class MemoryProbe:
    """Writes through `apply` without moving a partition, and reads the memory use of Valkey."""

    def __init__(self, servers: BenchServers) -> None:
        self.store = RedisStore(servers.store)
        state = self.store.read_state(0)
        assert state is not None
        self._generation = state.generation
        self._client = connect(servers.store.url.get_secret_value(), servers.store.timeout_seconds, 3_600)

    def read_used_bytes(self) -> int:
        """Return the bytes in use, without the changing buffers of clients and of the append-only file."""
        info = self._client.info("memory")
        return int(info["used_memory"]) - int(info["mem_clients_normal"]) - int(info["mem_aof_buffer"])

    def write(self, delta: Delta) -> None:
        assert isinstance(self.store.apply(0, self._generation, delta), Applied)


def _report_growth(report: BenchReport, probe: MemoryProbe, item: MemoryItem) -> None:
    before = probe.read_used_bytes()
    for delta in item.make_deltas():
        probe.write(delta)
    used_bytes = probe.read_used_bytes() - before
    bytes_each = round(used_bytes / item.count, 1)
    report.add_row(of=item.name, in_one=item.in_one, items=item.count, used_bytes=used_bytes, bytes_each=bytes_each)


def _measure_events(report: BenchReport, servers: BenchServers, probe: MemoryProbe, events: int, seed: int) -> None:
    """Fill the log in steps while one worker counts. Report the memory after each step."""
    worker = servers.spawn("worker")
    try:
        before, event_count = probe.read_used_bytes(), 0
        for share in STEPS:
            step = max(1, int(events * share) - event_count)
            fill(servers.kafka, step, users=USERS, products=SHOP_PRODUCTS, seed=seed + event_count)
            event_count += step
            wait_counted(probe.store, sum(Broker(servers.kafka).read_ends().values()), COUNTED_SECONDS_MAX)
            used_bytes = probe.read_used_bytes() - before
            pids = servers.pids | {"worker": worker.pid}
            rss = {f"{name}_rss_mb": round(psutil.Process(pid).memory_info().rss / 2**20) for name, pid in pids.items()}
            report.add_row(
                of="event",
                items=event_count,
                used_bytes=used_bytes,
                bytes_each=round(used_bytes / event_count, 1),
                **rss,
            )
    finally:
        worker.terminate()
        worker.wait()
