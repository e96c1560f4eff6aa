"""How long do popular products and a breakdown by category take, with 100,000 products?

    PYTHONPATH=src:. .venv/bin/python benchmarks/popular.py --products 100000 --seconds 130

Starts a Valkey and a PostgreSQL of its own in a temporary folder, fills every bucket of the last 24 hours to the cap
(10,000 fields) and a catalog of so many products, and asks through the engine, the clock running, while a writer
counts 2,000 product views a second. Prints the first answer, then p50, p99 and the maximum in milliseconds, and the
greatest delay that the event loop had (what other requests wait for).
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import multiprocessing
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import redis
from pydantic import SecretStr

from rtaplatform.analytics.engine import Engine
from rtaplatform.analytics.freshness import FreshnessTracker, Instant
from rtaplatform.analytics.parse import parse_object
from rtaplatform.analytics.popular import PopularProducts
from rtaplatform.catalog import migrate
from rtaplatform.catalog.database import Database
from rtaplatform.catalog.products import Products
from rtaplatform.catalog.seed import DemoKeys, seed_demo
from rtaplatform.core.buckets import Kind, bucket_starts
from rtaplatform.core.query import DAY_AGO
from rtaplatform.core.rollups import OTHER, PRODUCTS, field
from rtaplatform.settings import CatalogSettings, StoreSettings
from rtaplatform.store import layout
from rtaplatform.store.generations import begin_missing
from rtaplatform.store.port import CellsKey, Place, Project
from rtaplatform.store.redis import RedisStore
from rtaplatform.store.redis_reader import RedisReader
from tests.integration.servers import TESTER, start_postgres, start_valkey

ZONE = "Europe/Berlin"
VIEWS_A_SECOND = 2_000
CAP = 9_990


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--products", type=int, default=100_000)
    arguments.add_argument("--seconds", type=int, default=130)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        valkey, postgres = start_valkey(Path(folder)), start_postgres(Path(folder))
        try:
            url = postgres.server.url
            fill_catalog(url, options.products)
            settings = StoreSettings(
                url=SecretStr(valkey.server.url("rta")), loader_url=SecretStr(valkey.server.url("rta-loader"))
            )
            with redis.Redis.from_url(valkey.server.url(TESTER)) as client:
                base = begin(settings)
                fill_store(client, base, options.products)
            views = (valkey.server.url(TESTER), base, options.products)
            writer = multiprocessing.Process(target=write, args=views, daemon=True)
            writer.start()
            try:
                asyncio.run(measure(settings, url, options.seconds))
            finally:
                writer.terminate()
        finally:
            valkey.stop()
            postgres.stop()


def fill_catalog(url: str, products: int) -> None:
    migrate.upgrade(url)

    async def seed() -> None:
        database = Database(CatalogSettings(url=SecretStr(url)))
        await seed_demo(database, DemoKeys("rta_w_b", "rta_r_b", "rta_a_b"), users=[], products=[])
        await database.close()

    asyncio.run(seed())
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO products (project_id, id, name, category, brand, price, currency) "
            "SELECT 'prj_demo', 'p-' || n, 'Product ' || n, 'category ' || n %% 40, 'brand ' || n %% 300, 9.5, 'EUR' "
            "FROM generate_series(0, %s) n",
            (products - 1,),
        )


def begin(settings: StoreSettings) -> str:
    store = RedisStore(settings)
    store.load_functions()
    store.set_projects([Project("demo", ZONE, "EUR")])
    begin_missing(store, settings.shards, {"rta.events.web": "t1"}, {Place("t1", 0): 0})
    state = store.state(0)
    assert state is not None
    return layout.base(0, state.generation)


def fill_store(client: redis.Redis, base: str, products: int) -> None:
    """Hours to the cap, minutes to the cap too: as if much more were counted."""
    now = int(time.time()) // 60
    hours = sorted({bucket_starts(now - 60 * n, ZONE).hour for n in range(26)})
    chance = random.Random(1)
    for kind, start in [*((Kind.HOUR, h) for h in hours), *((Kind.MINUTE, now - n) for n in range(1, 24 * 60 + 70))]:
        if kind is Kind.MINUTE and 70 < now - start < 24 * 60 - 70:
            continue
        cells: dict[Any, Any] = {
            field("views", f"p-{int(products * chance.random() ** 2)}"): chance.randint(1, 40) for _ in range(CAP)
        }
        cells[field("views", OTHER)] = 10_000
        client.hset(name(base, kind, start), mapping={**cells, "views": sum(cells.values())})


def name(base: str, kind: Kind, start: int) -> str:
    return f"{base}c:{layout.cells(CellsKey('demo', PRODUCTS.name, kind, start))}"


def write(url: str, base: str, products: int) -> None:
    """Count views as the workers would, in a process of its own."""
    client, chance = redis.Redis.from_url(url), random.Random(2)
    known: dict[tuple[Kind, int], set[str]] = {}
    while True:
        begun, starts = time.monotonic(), bucket_starts(int(time.time()) // 60, ZONE)
        for bucket in ((Kind.MINUTE, starts.minute), (Kind.HOUR, starts.hour)):
            fields = known.setdefault(bucket, set())
            with client.pipeline(transaction=True) as pipe:
                for _ in range(VIEWS_A_SECOND // 20):
                    one = field("views", f"p-{int(products * chance.random() ** 2)}")
                    if len(fields) < CAP:
                        fields.add(one)
                    pipe.hincrby(name(base, *bucket), one if one in fields else field("views", OTHER), 1)
                pipe.hincrby(name(base, *bucket), "views", VIEWS_A_SECOND // 20)
                pipe.execute()
        time.sleep(max(0.0, 0.05 - (time.monotonic() - begun)))


async def measure(settings: StoreSettings, url: str, seconds: int) -> None:
    database, reader = Database(CatalogSettings(url=SecretStr(url))), RedisReader(settings)
    products = Products(database)
    engine = Engine(reader, FreshnessTracker(), lambda: Instant(int(time.time() * 1000), time.monotonic()), products)
    popular = PopularProducts(engine, products)
    queries = {
        "popular": lambda: popular.popular("demo", "views", window=DAY_AGO, limit=20),
        "popular of a category": lambda: popular.popular(
            "demo", "views", window=DAY_AGO, limit=20, category="category 7"
        ),
        "breakdown by category": lambda: engine.answer(
            "demo", [parse_object({"metric": "product_views", "breakdown": ["product_category"], "limit": 100})]
        ),
        "filter by category": lambda: engine.answer(
            "demo", [parse_object({"metric": "product_views", "filters": {"product_category": ["category 7"]}})]
        ),
    }
    begun = time.perf_counter()
    await products.products("demo")
    print(f"reading the catalog {1000 * (time.perf_counter() - begun):.0f} ms")
    for about, ask in queries.items():
        print(f"{about:22} first {1000 * await timed(ask):.0f} ms")
    gc.freeze()  # as `rta api` does
    taken: dict[str, list[float]] = {about: [] for about in queries}
    delays = list[float]()
    beside = asyncio.create_task(watch_loop(delays))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for about, ask in queries.items():
            taken[about].append(await timed(ask))
            await asyncio.sleep(0.01)
    beside.cancel()
    for about, found in taken.items():
        report(about, found)
    report("delay of the loop", delays)
    await reader.close()
    await database.close()


async def timed(ask: Callable[[], Awaitable[object]]) -> float:
    begun = time.perf_counter()
    msgspec.json.encode(await ask())
    return time.perf_counter() - begun


async def watch_loop(delays: list[float]) -> None:
    while True:
        begun = time.perf_counter()
        await asyncio.sleep(0.005)
        delays.append(time.perf_counter() - begun - 0.005)


def report(what: str, seconds: list[float]) -> None:
    ms = sorted(s * 1000 for s in seconds)
    p = statistics.quantiles(ms, n=100)
    print(f"{what:22} n {len(ms)}  p50 {p[49]:.1f} ms  p99 {p[98]:.1f} ms  max {ms[-1]:.0f} ms")


main()
