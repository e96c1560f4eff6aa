"""Put adapters together: the only module that names them.   Used by `cli`, `local` and tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from confluent_kafka import Producer
from pydantic import SecretStr

from rtaplatform.analytics.answer.engine import Engine
from rtaplatform.analytics.freshness.profiles_lag import ProfilesLag, watch_profiles
from rtaplatform.analytics.freshness.shard_observer import ShardObserver
from rtaplatform.analytics.freshness.tracker import FreshnessTracker
from rtaplatform.analytics.freshness.watch import read_clock, seed_floors, watch_ends, watch_ledgers
from rtaplatform.analytics.live.hub import LiveHub
from rtaplatform.catalog.change_notifications import CatalogChanges, CatalogListener
from rtaplatform.catalog.database import Database
from rtaplatform.catalog.keys.key_cache import KeyCache
from rtaplatform.catalog.products.product_tables import ProductTables
from rtaplatform.catalog.projects.project_list import list_slugs
from rtaplatform.catalog.projects.project_publisher import ProjectPublisher
from rtaplatform.collect.collector import Collector
from rtaplatform.collect.enrich.locations import LocationFile
from rtaplatform.collect.machine_clock import MachineClock, watch_clock
from rtaplatform.collect.producer import EventProducer
from rtaplatform.process.fold.job import ECOMMERCE_JOB, Job
from rtaplatform.process.people.erased import TOMBSTONE
from rtaplatform.process.worker import worker
from rtaplatform.process.worker.limits import WorkerLimits
from rtaplatform.process.worker.poison import Quarantine
from rtaplatform.profiles.erasure import PersonErasure
from rtaplatform.profiles.profile_worker import ProfileWorker
from rtaplatform.serve.connections.connection_limits import make_connection_limits
from rtaplatform.serve.connections.loop_standstill import watch_standstill
from rtaplatform.serve.http.background import BackgroundTask, keep_publishing, run_in_background, run_lifespan
from rtaplatform.serve.http.cors import CorsOrigins
from rtaplatform.serve.http.dependencies import CatalogServices, CollectIntake, QueryServices
from rtaplatform.serve.http.dependencies import Dependencies as Dependencies  # the type of what is built here
from rtaplatform.serve.http.health import Check, Health
from rtaplatform.serve.http.limits import REDIS_SECONDS, RateLimits, redis_counter
from rtaplatform.serve.http.store_room import RoomSample, StoreRoom, watch_room
from rtaplatform.serve.http.ticket_vault import TicketVault, redis_values
from rtaplatform.serve.http.tickets import Tickets
from rtaplatform.settings import (
    ApiSettings,
    CatalogSettings,
    CollectSettings,
    KafkaSettings,
    LimitSettings,
    ProfilesSettings,
    StoreSettings,
    WorkerSettings,
)
from rtaplatform.store.redis.connections import async_pool
from rtaplatform.store.redis.redis_ends import RedisEnds
from rtaplatform.store.redis.redis_generations import Cleaner, RedisGenerations, guard_store
from rtaplatform.store.redis.redis_reader import RedisReader
from rtaplatform.store.redis.redis_store import RedisStore
from rtaplatform.store.redis.shard_lifecycle import require_manifests
from rtaplatform.stream.kafka.broker import Broker
from rtaplatform.stream.kafka.config import collector_config
from rtaplatform.stream.kafka.consumer import KafkaConsumer
from rtaplatform.stream.kafka.control_log import ControlLog
from rtaplatform.stream.kafka.dead_letters import KafkaDeadLetters
from rtaplatform.stream.kafka.group_consumer import CommittingConsumer
from rtaplatform.stream.kafka.group_offsets import GroupOffsets

STOP_PRODUCER_SECONDS = 5.0


def build_api(
    kafka: KafkaSettings,
    store: StoreSettings,
    catalog: CatalogSettings,
    *,
    api: ApiSettings,
    collect: CollectSettings,
    limits: LimitSettings,
    limiter_url: SecretStr | None = None,
    workers_group: str,
    profiles_group: str,
    on_death: Callable[[], None] = lambda: None,
) -> Dependencies:
    """Build the API. It opens nothing before its lifespan is entered. Without `limiter_url` it counts limits alone."""
    parts, reader, redis_store = build_catalog(catalog), RedisReader(store), RedisStore(store)
    origins, bounds = CorsOrigins(), make_connection_limits(api, limits.trusted_proxies)
    watches = Watches(kafka, redis_store, StoreRoom(limits.nearly_full_percent / 100), workers_group, profiles_group)
    producer = build_producer(kafka, collect, watches.clock)
    publisher = ProjectPublisher(parts.database, origins.replace, redis_store.set_projects)
    engine = Engine(reader, watches.tracker, read_clock, parts.products)
    hub = LiveHub(engine, reader, interval_ms=api.live_interval_ms, connections_max=api.live_connections_max)

    def make_tasks() -> list[BackgroundTask]:
        observer = ShardObserver(partial(list_slugs, parts.database), engine.observe, store.shards)
        return [
            watch_standstill(),
            *watches.make_tasks(),
            hub.run(),
            watch_ledgers(observer.observe),
            keep_publishing(publisher.publish, parts.changes.projects_changed),
            parts.listener.run(),
            parts.keys.keep_writing_use(),
        ]

    close = partial(_close, parts, producer, reader, redis_store)
    return Dependencies(
        keys=parts.keys,
        collector=Collector(producer, bounds.turns),
        health=build_health(parts.database, redis_store, producer, watches, shard_count=store.shards),
        settings=api,
        bounds=bounds,
        origins=origins,
        intake=build_intake(collect),
        limits=build_limits(limits, limiter_url, store.connection_seconds_max, watches.room),
        questions=QueryServices(engine, hub, parts.products, build_tickets(limiter_url, store.connection_seconds_max)),
        catalog=CatalogServices(parts.database, build_erasure(kafka, parts.database, redis_store), publisher.publish),
        before_stop=hub.close,
        lifespan=lambda: run_lifespan(producer.start, run_in_background(make_tasks, hub.close, on_death), close),
    )


class Watches:
    """The parts that are sampled in the background and take part in health checks."""

    def __init__(
        self, kafka: KafkaSettings, redis_store: RedisStore, room: StoreRoom, workers_group: str, profiles_group: str
    ) -> None:
        self.clock, self.profiles, self.room = MachineClock(), ProfilesLag(), room
        self.tracker = FreshnessTracker(self.clock.fault)
        self._store, self._broker, self._workers_group = redis_store, Broker(kafka), workers_group
        self._group = GroupOffsets(kafka, profiles_group, self._broker)

    def make_tasks(self) -> list[BackgroundTask]:
        return [
            watch_clock(self.clock, lambda: asyncio.to_thread(self._store.clock_s)),
            watch_ends(self.tracker, lambda: asyncio.to_thread(self._broker.ends), read_clock),
            seed_floors(self.tracker, lambda: asyncio.to_thread(self._broker.committed, self._workers_group)),
            watch_room(self.room, self._sample_memory),
            watch_profiles(self.profiles, lambda: asyncio.to_thread(self._group.look), read_clock),
        ]

    def checks(self) -> dict[str, Check]:
        return {"clock": self.clock.check, "profiles": self.profiles.check, "store": self.room.check}

    async def _sample_memory(self) -> RoomSample:
        used, used_max = await asyncio.to_thread(self._store.memory)
        return RoomSample(used, used_max, *self.tracker.progress())


def build_intake(collect: CollectSettings) -> CollectIntake:
    file = LocationFile(collect.location_file) if collect.location_file is not None else None
    denied = frozenset(filter(None, map(str.strip, collect.denied_properties.split(","))))
    return CollectIntake(collect.batch_bytes_max, denied, file.find if file is not None else None)


def build_producer(kafka: KafkaSettings, collect: CollectSettings, clock: MachineClock) -> EventProducer:
    return EventProducer(Producer, collector_config(kafka, collect), collect.delivery_timeout_ms / 1000, clock)


async def _close(
    catalog_parts: CatalogParts, producer: EventProducer, reader: RedisReader, redis_store: RedisStore
) -> None:
    """Close everything that the API has opened."""
    await catalog_parts.products.close()
    await producer.stop(STOP_PRODUCER_SECONDS)
    await reader.close()
    await catalog_parts.database.close()
    redis_store.close()


@dataclass(frozen=True)
class CatalogParts:
    """PostgreSQL, the caches of its content, and the listener that keeps them up to date."""

    database: Database
    keys: KeyCache
    products: ProductTables
    changes: CatalogChanges
    listener: CatalogListener


def build_catalog(settings: CatalogSettings) -> CatalogParts:
    database = Database(settings)
    keys, products = KeyCache(database, settings), ProductTables(database)
    changes = CatalogChanges(keys, products)
    listener = CatalogListener(settings, on_change=changes.note_change, on_state=changes.set_listening)
    return CatalogParts(database, keys, products, changes, listener)


def build_health(
    database: Database, redis_store: RedisStore, producer: EventProducer, watches: Watches, *, shard_count: int
) -> Health:
    async def read_freshness() -> object:
        return watches.tracker.state(read_clock())

    async def check_redis() -> None:
        await asyncio.to_thread(require_manifests, redis_store, shard_count)
        await asyncio.to_thread(redis_store.check_writes)

    checks = {"postgres": database.check, "redis": check_redis, "kafka": producer.check}
    return Health({**checks, **watches.checks()}, read_freshness)


def build_limits(
    settings: LimitSettings, url: SecretStr | None, connection_seconds_max: float, room: StoreRoom
) -> RateLimits:
    if url is None:
        return RateLimits(settings, room=room)
    pool = async_pool(url.get_secret_value(), REDIS_SECONDS, connection_seconds_max)
    return RateLimits(settings, redis_counter(pool), room=room)


def build_tickets(url: SecretStr | None, connection_seconds_max: float) -> Tickets:
    if url is None:
        return Tickets()
    pool = async_pool(url.get_secret_value(), REDIS_SECONDS, connection_seconds_max)
    return Tickets(TicketVault(redis_values(pool)))


@dataclass(frozen=True)
class WorkerParts:
    """A worker, `guard`, which checks the store's settings and deletes old generations, and `close`."""

    worker: worker.Worker
    guard: Callable[[], None]
    close: Callable[[], None]


def build_worker(
    kafka: KafkaSettings, store: StoreSettings, settings: WorkerSettings, job: Job = ECOMMERCE_JOB
) -> WorkerParts:
    redis_store, log = RedisStore(store), KafkaConsumer(kafka, settings)  # unless closed, they keep the process alive
    cleaner = Cleaner(RedisGenerations(redis_store, store.shards), store.shards)
    limits = WorkerLimits(
        dedup_ids_cached_max=settings.dedup_ids_cached_max, idle_compare_seconds=settings.idle_compare_ms / 1000
    )
    new_worker = worker.Worker(
        log,
        KafkaDeadLetters(kafka),
        redis_store,
        shards=store.shards,
        limits=limits,
        job=job,
        quarantine=Quarantine(RedisEnds(redis_store)),
    )

    def close() -> None:
        log.close()
        redis_store.close()

    return WorkerParts(new_worker, partial(guard_store, redis_store, cleaner), close)


@dataclass(frozen=True)
class ProfilesParts:
    """The profiles process. Inside `running` a background task completes erasures that were interrupted."""

    profiles: ProfileWorker
    erasure: PersonErasure
    close: Callable[[], Awaitable[None]]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        finisher = asyncio.create_task(self.erasure.keep_finishing())
        try:
            yield
        finally:
            finisher.cancel()
            await asyncio.gather(finisher, return_exceptions=True)
            await self.close()


def build_profiles(
    kafka: KafkaSettings, store: StoreSettings, catalog: CatalogSettings, settings: ProfilesSettings
) -> ProfilesParts:
    """Build the profiles process. Must be called inside a running event loop."""
    log, database, redis_store = CommittingConsumer(kafka, settings), Database(catalog), RedisStore(store)

    async def close() -> None:
        await asyncio.to_thread(log.close)
        await database.close()
        redis_store.close()

    profiles = ProfileWorker(log, database, users_max=settings.batch_users_max)
    return ProfilesParts(profiles, build_erasure(kafka, database, redis_store), close)


def profiles_lag(kafka: KafkaSettings, group_id: str) -> int:
    """Return how many records the profiles process has still to read. Raises Unavailable."""
    return GroupOffsets(kafka, group_id, Broker(kafka)).look().behind


def build_erasure(kafka: KafkaSettings, database: Database, redis_store: RedisStore) -> PersonErasure:
    """Build the erasure of persons. It opens nothing beside its arguments."""
    control, forget = ControlLog(kafka), partial(redis_store.forget, tombstone=TOMBSTONE)
    return PersonErasure(database, control.append, forget, control.retention)
