"""How much memory does an event, a bucket's field, a dedup id, a person take, and how much do the processes?

Events: a simulated shop's are counted by a worker, in steps, and after each Valkey's memory and that of the processes
are read. The others: only they are written, through `apply`, more and more of them.
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
            _say(report, probe, "field of a bucket", fields, _buckets_of(fields) * fields, partial(_buckets, fields))
        for ids in IDS:
            _say(report, probe, "dedup id", ids, ids, partial(_ids, ids))
        for ids in IDS:
            _say(report, probe, "loose id", ids, ids, partial(_loose, ids))
        for persons in PERSONS:
            _say(report, probe, "person online", persons, persons, partial(_online, persons))
            _say(report, probe, "person of a sketch", persons, persons, partial(_sketch, persons))
        _events(report, servers, probe, events, seed)


class MemoryProbe:
    """Writes through `apply`, moving no partition, and reads what Valkey uses."""

    def __init__(self, servers: BenchServers) -> None:
        self.store = RedisStore(servers.store)
        state = self.store.state(0)
        assert state is not None
        self._generation = state.generation
        self._client = connect(servers.store.url.get_secret_value(), servers.store.timeout_seconds, 3_600)

    def used(self) -> int:
        """Bytes in use, without the buffers of clients and of the append-only file, which come and go."""
        said = self._client.info("memory")
        return int(said["used_memory"]) - int(said["mem_clients_normal"]) - int(said["mem_aof_buffer"])

    def write(self, delta: Delta) -> None:
        assert isinstance(self.store.apply(0, self._generation, delta), Applied)


def _say(
    report: BenchReport, probe: MemoryProbe, what: str, variable: int, items: int, made: Callable[[], list[Delta]]
) -> None:
    before = probe.used()
    for delta in made():
        probe.write(delta)
    grown = probe.used() - before
    report.row(of=what, in_one=variable, items=items, used_bytes=grown, bytes_each=round(grown / items, 1))


def _buckets(fields: int) -> list[Delta]:
    """Buckets of their own for each number of fields; many of small ones, to be seen beside what else changes."""
    first, count = time.time_ns() // 60_000_000_000 + FIELDS.index(fields) * BUCKETS_MAX, _buckets_of(fields)
    cells = {field("views", f"product-{n}"): 1 for n in range(fields)}
    keys = [CellsKey(PROJECT.slug, PRODUCTS.name, BucketKind.MINUTE, first + n) for n in range(count)]
    writes = [(key, part) for key in keys for part in batched(cells.items())]
    several = batched(writes, max(1, AT_ONCE // fields))
    return [Delta([], cells={key: dict(part) for key, part in some}) for some in several]


def _buckets_of(fields: int) -> int:
    return max(10, min(BUCKETS_MAX, 100_000 // fields))


def _ids(ids: int) -> list[Delta]:
    """One block, appended to."""
    name, token, deltas = f"{PROJECT.slug}:{TOPIC}:0:{ids}", b"", list[Delta]()
    for some in batched(range(ids)):
        following = secrets.token_bytes(8)
        written = BlockWrite(
            name, token, following, time.time_ns() // 1_000_000, secrets.token_bytes(8 * len(some)), False
        )
        deltas.append(Delta([], blocks=[written]))
        token = following
    return deltas


def _loose(ids: int) -> list[Delta]:
    """A set of ids that are in no block."""
    now_ms, name = time.time_ns() // 1_000_000, f"{PROJECT.slug}-{ids}:{TOPIC}:0"
    portions = [[secrets.token_bytes(8) for _ in some] for some in batched(range(ids))]
    return [Delta([], loose=[LooseWrite(name, some, [-1] * len(some), [now_ms] * len(some))]) for some in portions]


def _online(persons: int) -> list[Delta]:
    now_ms = time.time_ns() // 1_000_000
    seen = {secrets.token_bytes(8): now_ms for _ in range(persons)}
    return [Delta([], online={PROJECT.slug: dict(some)}) for some in batched(seen.items())]


def _sketch(persons: int) -> list[Delta]:
    key = SketchKey(PROJECT.slug, BucketKind.MINUTE, time.time_ns() // 60_000_000_000 + persons, "", "")
    members = [secrets.token_bytes(8) for _ in range(persons)]
    return [Delta([], sketches={key: set(some)}) for some in batched(members)]


def batched(items: Iterable[T], size: int = AT_ONCE) -> list[list[T]]:
    """Few at once: the server's buffer for large requests comes and goes, and would be measured too."""
    rest = iter(items)
    return list(iter(lambda: list(islice(rest, size)), []))


def _events(report: BenchReport, servers: BenchServers, probe: MemoryProbe, events: int, seed: int) -> None:
    """The rest of the log is written step by step, and counted by a worker that is there throughout."""
    worker = servers.spawn("worker")
    try:
        before, done = probe.used(), 0
        for share in STEPS:
            step = max(1, int(events * share) - done)
            fill(servers.kafka, step, users=USERS, products=SHOP_PRODUCTS, seed=seed + done)
            done += step
            wait_counted(probe.store, sum(Broker(servers.kafka).ends().values()), COUNTED_SECONDS_MAX)
            grown = probe.used() - before
            pids = servers.pids | {"worker": worker.pid}
            rss = {f"{name}_rss_mb": round(psutil.Process(pid).memory_info().rss / 2**20) for name, pid in pids.items()}
            report.row(of="event", items=done, used_bytes=grown, bytes_each=round(grown / done, 1), **rss)
    finally:
        worker.terminate()
        worker.wait()
