"""How much memory do an event, a field of a bucket, a dedup id and a person take, and how much do the processes take?

For events, a worker counts a simulated shop's records in steps. After each step, the benchmark reads the memory of
Valkey and of the processes. For the other items, the benchmark writes a growing number of them through `apply`, and
nothing else.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from typing import TypeVar

import psutil

from rtaplatform.bench.pipeline import fill, wait_counted
from rtaplatform.bench.report import BenchReport
from rtaplatform.bench.servers import PROJECT, BenchServers, running_servers
from rtaplatform.core.rollups import PRODUCTS, field
from rtaplatform.core.time.buckets import BucketKind
from rtaplatform.store.port import Applied, BlockWrite, CellsKey, Delta, LooseWrite, SketchKey
from rtaplatform.store.redis.connections import connect
from rtaplatform.store.redis.redis_store import RedisStore
from rtaplatform.stream.kafka.broker import Broker

STEPS = (0.01, 0.1, 1.0)
FIELDS = (1, 10, 100, 1_000, 10_000)
BUCKETS_MAX = 5_000
IDS = (10, 1_000, 100_000)
PERSONS = (100, 10_000, 100_000)
AT_ONCE = 400
T = TypeVar("T")
COUNTED_SECONDS_MAX = 3_600.0
USERS, SHOP_PRODUCTS = 20_000, 2_000
TOPIC = "rta.events.web"


def measure(report: BenchReport, *, events: int, seed: int) -> None:
    with running_servers() as servers:
        probe = MemoryProbe(servers)
        for fields in FIELDS:
            _report_growth(
                report,
                probe,
                "field of a bucket",
                fields,
                _count_buckets(fields) * fields,
                partial(_make_buckets, fields),
            )
        for ids in IDS:
            _report_growth(report, probe, "dedup id", ids, ids, partial(_make_block_ids, ids))
        for ids in IDS:
            _report_growth(report, probe, "loose id", ids, ids, partial(_make_loose_ids, ids))
        for persons in PERSONS:
            _report_growth(report, probe, "person online", persons, persons, partial(_make_online_persons, persons))
            _report_growth(
                report, probe, "person of a sketch", persons, persons, partial(_make_sketch_members, persons)
            )
        _events(report, servers, probe, events, seed)


class MemoryProbe:
    """Writes through `apply` without moving a partition, and reads the memory use of Valkey."""

    def __init__(self, servers: BenchServers) -> None:
        self.store = RedisStore(servers.store)
        state = self.store.state(0)
        assert state is not None
        self._generation = state.generation
        self._client = connect(servers.store.url.get_secret_value(), servers.store.timeout_seconds, 3_600)

    def read_used_bytes(self) -> int:
        """Return the bytes in use, without the changing buffers of clients and of the append-only file."""
        info = self._client.info("memory")
        return int(info["used_memory"]) - int(info["mem_clients_normal"]) - int(info["mem_aof_buffer"])

    def write(self, delta: Delta) -> None:
        assert isinstance(self.store.apply(0, self._generation, delta), Applied)


def _report_growth(
    report: BenchReport,
    probe: MemoryProbe,
    what: str,
    variable: int,
    items: int,
    make_deltas: Callable[[], list[Delta]],
) -> None:
    before = probe.read_used_bytes()
    for delta in make_deltas():
        probe.write(delta)
    used_bytes = probe.read_used_bytes() - before
    report.row(of=what, in_one=variable, items=items, used_bytes=used_bytes, bytes_each=round(used_bytes / items, 1))


def _make_buckets(fields: int) -> list[Delta]:
    """Fill separate buckets for each number of fields. Small buckets are many, so that their memory stands out."""
    first, count = time.time_ns() // 60_000_000_000 + FIELDS.index(fields) * BUCKETS_MAX, _count_buckets(fields)
    cells = {field("views", f"product-{n}"): 1 for n in range(fields)}
    keys = [CellsKey(PROJECT.slug, PRODUCTS.name, BucketKind.MINUTE, first + n) for n in range(count)]
    writes = [(key, part) for key in keys for part in split_into_batches(cells.items())]
    several = split_into_batches(writes, max(1, AT_ONCE // fields))
    return [Delta([], cells={key: dict(part) for key, part in some}) for some in several]


def _count_buckets(fields: int) -> int:
    return max(10, min(BUCKETS_MAX, 100_000 // fields))


def _make_block_ids(ids: int) -> list[Delta]:
    """Append ids to one block."""
    name, token, deltas = f"{PROJECT.slug}:{TOPIC}:0:{ids}", b"", list[Delta]()
    for some in split_into_batches(range(ids)):
        following = secrets.token_bytes(8)
        written = BlockWrite(
            name, token, following, time.time_ns() // 1_000_000, secrets.token_bytes(8 * len(some)), False
        )
        deltas.append(Delta([], blocks=[written]))
        token = following
    return deltas


def _make_loose_ids(ids: int) -> list[Delta]:
    """Write ids that belong to no block."""
    now_ms, name = time.time_ns() // 1_000_000, f"{PROJECT.slug}-{ids}:{TOPIC}:0"
    portions = [[secrets.token_bytes(8) for _ in some] for some in split_into_batches(range(ids))]
    return [Delta([], loose=[LooseWrite(name, some, [-1] * len(some), [now_ms] * len(some))]) for some in portions]


def _make_online_persons(persons: int) -> list[Delta]:
    now_ms = time.time_ns() // 1_000_000
    seen = {secrets.token_bytes(8): now_ms for _ in range(persons)}
    return [Delta([], online={PROJECT.slug: dict(some)}) for some in split_into_batches(seen.items())]


def _make_sketch_members(persons: int) -> list[Delta]:
    key = SketchKey(PROJECT.slug, BucketKind.MINUTE, time.time_ns() // 60_000_000_000 + persons, "", "")
    members = [secrets.token_bytes(8) for _ in range(persons)]
    return [Delta([], sketches={key: set(some)}) for some in split_into_batches(members)]


def split_into_batches(items: Iterable[T], size: int = AT_ONCE) -> list[list[T]]:
    """Split the items into small batches. Large requests need a temporary buffer, which would distort the result."""
    rest = iter(items)
    return list(iter(lambda: list(islice(rest, size)), []))


def _events(report: BenchReport, servers: BenchServers, probe: MemoryProbe, events: int, seed: int) -> None:
    """Fill the log in steps while one worker counts. Report the memory after each step."""
    worker = servers.spawn("worker")
    try:
        before, done = probe.read_used_bytes(), 0
        for share in STEPS:
            step = max(1, int(events * share) - done)
            fill(servers.kafka, step, users=USERS, products=SHOP_PRODUCTS, seed=seed + done)
            done += step
            wait_counted(probe.store, sum(Broker(servers.kafka).ends().values()), COUNTED_SECONDS_MAX)
            used_bytes = probe.read_used_bytes() - before
            pids = servers.pids | {"worker": worker.pid}
            rss = {f"{name}_rss_mb": round(psutil.Process(pid).memory_info().rss / 2**20) for name, pid in pids.items()}
            report.row(of="event", items=done, used_bytes=used_bytes, bytes_each=round(used_bytes / done, 1), **rss)
    finally:
        worker.terminate()
        worker.wait()
