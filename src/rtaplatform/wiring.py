"""The one place where adapters are named and put together; used by `cli`, `local` and tests only."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from confluent_kafka import IsolationLevel, KafkaException, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # public, but not listed in __all__

from rtaplatform.analytics.engine import Engine
from rtaplatform.analytics.freshness import FreshnessTracker, Instant
from rtaplatform.analytics.hub import Hub
from rtaplatform.analytics.watch import watch_ends, watch_ledgers
from rtaplatform.catalog.database import Database
from rtaplatform.catalog.keys import KeyRing
from rtaplatform.catalog.products import Products
from rtaplatform.catalog.projects import list_projects
from rtaplatform.collect.collector import Collector
from rtaplatform.collect.producer import EventProducer
from rtaplatform.core.errors import Stopped, Unavailable
from rtaplatform.core.events import EVENT_TOPICS
from rtaplatform.serve.health import Health
from rtaplatform.serve.parts import Parts
from rtaplatform.settings import ApiSettings, CatalogSettings, CollectSettings, KafkaSettings, StoreSettings
from rtaplatform.store.port import Place, shard_of
from rtaplatform.store.redis import RedisStore
from rtaplatform.store.redis_reader import RedisReader
from rtaplatform.stream.kafka import client_config, producer_config

PROJECTS_SECONDS = 30.0
TOPICS_SECONDS = 10.0
STOP_PRODUCER_SECONDS = 5.0


def build_api(
    kafka: KafkaSettings,
    store: StoreSettings,
    catalog: CatalogSettings,
    *,
    api: ApiSettings,
    collect: CollectSettings,
) -> Parts:
    """The API's parts. Nothing is opened before `parts.lifespan` is entered."""
    database, reader, shards = Database(catalog), RedisReader(store), RedisStore(store)
    producer = EventProducer(Producer, collector_config(kafka, collect), collect.delivery_timeout_ms / 1000)
    tracker, ends = FreshnessTracker(), LogEnds(kafka)
    engine = Engine(reader, tracker, read_clock)
    hub = Hub(engine, reader, interval_ms=api.live_interval_ms, connections_max=api.live_connections_max)

    async def freshness() -> dict[str, Any]:
        return dict(msgspec.to_builtins(tracker.state(read_clock())))

    async def manifests() -> None:
        await asyncio.to_thread(require_manifests, shards, store.shards)

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        await producer.start()
        tasks = [
            asyncio.create_task(hub.run()),
            asyncio.create_task(watch_ends(tracker, ends, read_clock)),
            asyncio.create_task(watch_ledgers(observer(engine, database, store.shards))),
        ]
        try:
            yield
        finally:
            hub.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await producer.stop(STOP_PRODUCER_SECONDS)
            await reader.close()
            await database.close()

    return Parts(
        keys=KeyRing(database, catalog),
        collector=Collector(producer),
        health=Health({"postgres": database.check, "redis": manifests, "kafka": producer.check}, freshness),
        settings=api,
        collect=collect,
        products=Products(database),
        engine=engine,
        hub=hub,
        before_stop=hub.close,
        lifespan=lifespan,
    )


def collector_config(kafka: KafkaSettings, collect: CollectSettings) -> dict[str, Any]:
    return producer_config(kafka) | {
        "linger.ms": collect.linger_ms,
        "delivery.timeout.ms": collect.delivery_timeout_ms,
        "queue.buffering.max.kbytes": collect.queue_kbytes_max,
    }


def read_clock() -> Instant:
    return Instant(time.time_ns() // 1_000_000, time.monotonic())


def require_manifests(store: RedisStore, shards: int) -> None:
    """Raise Stopped where a shard has no manifest, Unavailable where Redis is away."""
    for shard in range(shards):
        if store.state(shard) is None:
            raise Stopped(f"shard {shard}", "no_manifest", "Redis has no totals of this shard: run `rta migrate`.")


def observer(engine: Engine, database: Database, shards: int) -> Callable[[], Awaitable[None]]:
    """Looks at one project of each shard, so that health knows how each stands."""
    chosen: dict[int, str] = {}
    read_at = -PROJECTS_SECONDS

    async def observe() -> None:
        nonlocal read_at
        if time.monotonic() - read_at >= PROJECTS_SECONDS:
            read_at = time.monotonic()
            projects = await list_projects(database)
            chosen.clear()
            chosen.update({shard_of(project.slug, shards): project.slug for project in projects})
        for slug in chosen.values():
            await engine.observe(slug)

    return observe


class LogEnds:
    """Where the event topics end: place → the next offset. Raises Unavailable."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._config = client_config(settings)
        self._admin: AdminClient | None = None
        self._topics: dict[str, tuple[str, int]] = {}
        self._read_at = -TOPICS_SECONDS

    async def __call__(self) -> Mapping[Place, int]:
        try:
            return await asyncio.to_thread(self._read)
        except KafkaException as error:
            self._read_at = -TOPICS_SECONDS
            raise Unavailable("kafka", error.args[0].str()) from error

    def _read(self) -> dict[Place, int]:
        admin = self._admin = self._admin or AdminClient(self._config)
        if time.monotonic() - self._read_at >= TOPICS_SECONDS:
            found = admin.describe_topics(TopicCollection(list(EVENT_TOPICS)), request_timeout=3.0)
            described = {name: future.result() for name, future in found.items()}
            self._topics = {name: (str(one.topic_id), len(one.partitions)) for name, one in described.items()}
            self._read_at = time.monotonic()
        asked = {
            TopicPartition(name, partition): OffsetSpec.latest()  # type: ignore[no-untyped-call]  # untyped there
            for name, (_, partitions) in self._topics.items()
            for partition in range(partitions)
        }
        answers = admin.list_offsets(asked, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=3.0)
        return {
            Place(self._topics[one.topic][0], one.partition): future.result().offset for one, future in answers.items()
        }
