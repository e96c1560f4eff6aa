"""The one place where adapters are named and put together; used by `cli`, `local` and tests only."""

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
from rtaplatform.collect.machine_clock import MachineClock, watch_clock
from rtaplatform.collect.producer import EventProducer
from rtaplatform.process.fold.job import ECOMMERCE_JOB, Job
from rtaplatform.process.worker import worker
from rtaplatform.process.worker.limits import WorkerLimits
from rtaplatform.process.worker.poison import Quarantine
from rtaplatform.profiles.erasure import PersonErasure
from rtaplatform.profiles.profile_worker import ProfileWorker
from rtaplatform.serve.connections.connection_limits import make_connection_limits
from rtaplatform.serve.connections.loop_standstill import watch_standstill
from rtaplatform.serve.http.background import Work, going_on, keep_told, started_and_closed
from rtaplatform.serve.http.cors import CorsOrigins
from rtaplatform.serve.http.dependencies import CatalogServices, QueryServices
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
    """Nothing is opened before `parts.lifespan` is entered. Without `limiter_url`, limits are this process's alone."""
    known, reader, shards = build_catalog(catalog), RedisReader(store), RedisStore(store)
    origins, bounds = CorsOrigins(), make_connection_limits(api, limits.trusted_proxies)
    watched = Watched(kafka, shards, StoreRoom(limits.nearly_full_percent / 100), workers_group, profiles_group)
    producer = build_producer(kafka, collect, watched.clock)
    publisher = ProjectPublisher(known.database, origins.replace, shards.set_projects)
    engine = Engine(reader, watched.tracker, read_clock, known.products)
    hub = LiveHub(engine, reader, interval_ms=api.live_interval_ms, connections_max=api.live_connections_max)
    tickets = build_tickets(limiter_url, store.connection_seconds_max)

    def works() -> list[Work]:
        observer = ShardObserver(partial(list_slugs, known.database), engine.observe, store.shards)
        return [
            watch_standstill(),
            *watched.works(),
            hub.run(),
            watch_ledgers(observer.observe),
            keep_told(publisher.publish, known.news.projects_changed),
            known.listener.run(),
            known.keys.keep_writing_use(),
        ]

    close = partial(_close, known, producer, reader, shards)
    return Dependencies(
        keys=known.keys,
        collector=Collector(producer, bounds.turns),
        health=build_health(known.database, shards, producer, watched, shard_count=store.shards),
        settings=api,
        bounds=bounds,
        origins=origins,
        collect=collect,
        limits=build_limits(limits, limiter_url, store.connection_seconds_max, watched.room),
        questions=QueryServices(engine, hub, known.products, tickets),
        catalog=CatalogServices(known.database, build_erasure(kafka, known.database, shards), publisher.publish),
        before_stop=hub.close,
        lifespan=lambda: started_and_closed(producer.start, going_on(works, hub.close, on_death), close),
    )


class Watched:
    """What is looked at again and again, whoever asks, and has a say in health."""

    def __init__(
        self, kafka: KafkaSettings, shards: RedisStore, room: StoreRoom, workers_group: str, profiles_group: str
    ) -> None:
        self.clock, self.profiles, self.room = MachineClock(), ProfilesLag(), room
        self.tracker = FreshnessTracker(self.clock.fault)
        self._shards, self._broker, self._workers_group = shards, Broker(kafka), workers_group
        self._group = GroupOffsets(kafka, profiles_group, self._broker)

    def works(self) -> list[Work]:
        return [
            watch_clock(self.clock, lambda: asyncio.to_thread(self._shards.clock_s)),
            watch_ends(self.tracker, lambda: asyncio.to_thread(self._broker.ends), read_clock),
            seed_floors(self.tracker, lambda: asyncio.to_thread(self._broker.committed, self._workers_group)),
            watch_room(self.room, self._look_at_memory),
            watch_profiles(self.profiles, lambda: asyncio.to_thread(self._group.look), read_clock),
        ]

    def checks(self) -> dict[str, Check]:
        return {"clock": self.clock.check, "profiles": self.profiles.check, "store": self.room.check}

    async def _look_at_memory(self) -> RoomSample:
        used, most = await asyncio.to_thread(self._shards.memory)
        return RoomSample(used, most, *self.tracker.progress())


def build_producer(kafka: KafkaSettings, collect: CollectSettings, clock: MachineClock) -> EventProducer:
    return EventProducer(Producer, collector_config(kafka, collect), collect.delivery_timeout_ms / 1000, clock)


async def _close(known: CatalogParts, producer: EventProducer, reader: RedisReader, shards: RedisStore) -> None:
    """Close what the API's parts have opened."""
    await known.products.close()
    await producer.stop(STOP_PRODUCER_SECONDS)
    await reader.close()
    await known.database.close()
    shards.close()


@dataclass(frozen=True)
class CatalogParts:
    """PostgreSQL, what is kept of it here, and what keeps that up to date."""

    database: Database
    keys: KeyCache
    products: ProductTables
    news: CatalogChanges
    listener: CatalogListener


def build_catalog(settings: CatalogSettings) -> CatalogParts:
    database = Database(settings)
    keys, products = KeyCache(database, settings), ProductTables(database)
    news = CatalogChanges(keys, products)
    listener = CatalogListener(settings, on_change=news.note_change, on_state=news.set_listening)
    return CatalogParts(database, keys, products, news, listener)


def build_health(
    database: Database,
    shards: RedisStore,
    producer: EventProducer,
    watched: Watched,
    *,
    shard_count: int,
) -> Health:
    async def freshness() -> object:
        return watched.tracker.state(read_clock())

    async def manifests() -> None:
        await asyncio.to_thread(require_manifests, shards, shard_count)
        await asyncio.to_thread(shards.check_writes)

    checks = {"postgres": database.check, "redis": manifests, "kafka": producer.check}
    return Health({**checks, **watched.checks()}, freshness)


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
    """A worker, what looks after the store's settings and old generations, and what to close at the end."""

    worker: worker.Worker
    guard: Callable[[], None]
    close: Callable[[], None]


def build_worker(
    kafka: KafkaSettings, store: StoreSettings, settings: WorkerSettings, job: Job = ECOMMERCE_JOB
) -> WorkerParts:
    aggregates, log = RedisStore(store), KafkaConsumer(kafka, settings)  # what is open would keep a process from ending
    cleaner = Cleaner(RedisGenerations(aggregates, store.shards), store.shards)
    limits = WorkerLimits(
        dedup_ids_cached_max=settings.dedup_ids_cached_max, idle_compare_seconds=settings.idle_compare_ms / 1000
    )
    made = worker.Worker(
        log,
        KafkaDeadLetters(kafka),
        aggregates,
        shards=store.shards,
        limits=limits,
        job=job,
        quarantine=Quarantine(RedisEnds(aggregates)),
    )

    def close() -> None:
        log.close()
        aggregates.close()

    return WorkerParts(made, partial(guard_store, aggregates, cleaner), close)


@dataclass(frozen=True)
class ProfilesParts:
    """The process of profiles. Inside `running` erasures that were interrupted are finished beside it."""

    profiles: ProfileWorker
    erasure: PersonErasure
    close: Callable[[], Awaitable[None]]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        beside = asyncio.create_task(self.erasure.keep_finishing())
        try:
            yield
        finally:
            beside.cancel()
            await asyncio.gather(beside, return_exceptions=True)
            await self.close()


def build_profiles(
    kafka: KafkaSettings, store: StoreSettings, catalog: CatalogSettings, settings: ProfilesSettings
) -> ProfilesParts:
    """Made inside a running event loop."""
    log, database, shards = CommittingConsumer(kafka, settings), Database(catalog), RedisStore(store)

    async def close() -> None:
        await asyncio.to_thread(log.close)
        await database.close()
        shards.close()

    profiles = ProfileWorker(log, database, users_max=settings.batch_users_max)
    return ProfilesParts(profiles, build_erasure(kafka, database, shards), close)


def profiles_lag(kafka: KafkaSettings, group_id: str) -> int:
    """How many records the profiles have still to read. Raises Unavailable."""
    return GroupOffsets(kafka, group_id, Broker(kafka)).look().behind


def build_erasure(kafka: KafkaSettings, database: Database, shards: RedisStore) -> PersonErasure:
    """Nothing to close beside what it is given."""
    control = ControlLog(kafka)
    return PersonErasure(database, control.append, shards.forget, control.retention)
