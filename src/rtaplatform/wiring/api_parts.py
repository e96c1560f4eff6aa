"""Build the single parts of the API: catalog, intake, limits, tickets, health checks and what they watch."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from confluent_kafka import Producer
from pydantic import SecretStr

from rtaplatform.analytics.freshness.profiles_lag import ProfilesLag, watch_profiles
from rtaplatform.analytics.freshness.tracker import FreshnessTracker
from rtaplatform.analytics.freshness.watch import read_clock, seed_floors, watch_ends
from rtaplatform.catalog.change_notifications import CatalogChanges, CatalogListener
from rtaplatform.catalog.database import Database
from rtaplatform.catalog.keys.key_cache import KeyCache
from rtaplatform.catalog.products.product_tables import ProductTables
from rtaplatform.collect.cooperative_queue import CooperativeQueue
from rtaplatform.collect.enrich.locations import LocationFile
from rtaplatform.collect.machine_clock import MachineClock, watch_clock
from rtaplatform.collect.producer import EventProducer
from rtaplatform.collect.rejected_events import RejectedEvents
from rtaplatform.serve.collect.daily_salt import DailySalt
from rtaplatform.serve.http.background import BackgroundTask
from rtaplatform.serve.http.dependencies import CollectIntake
from rtaplatform.serve.http.health import Check, Health
from rtaplatform.serve.http.limits import REDIS_SECONDS, RateLimits, make_redis_counter
from rtaplatform.serve.http.store_room import RoomSample, StoreRoom, watch_room
from rtaplatform.serve.http.ticket_vault import SharedValues, TicketVault, make_redis_values
from rtaplatform.serve.http.tickets import Tickets
from rtaplatform.serve.session.sessions import Sessions
from rtaplatform.settings import (
    CatalogSettings,
    CollectSettings,
    KafkaSettings,
    LimitSettings,
)
from rtaplatform.store.redis.connections import make_async_pool
from rtaplatform.store.redis.redis_store import RedisStore
from rtaplatform.store.redis.shard_lifecycle import require_manifests
from rtaplatform.stream.kafka.broker import Broker
from rtaplatform.stream.kafka.config import make_collector_config, make_producer_config
from rtaplatform.stream.kafka.group_offsets import GroupOffsets

STOP_PRODUCER_SECONDS = 5.0


class Watches:
    """The parts that are sampled in the background and take part in health checks."""

    def __init__(
        self, kafka: KafkaSettings, redis_store: RedisStore, room: StoreRoom, workers_group: str, profiles_group: str
    ) -> None:
        self.clock, self.profiles, self.room = MachineClock(), ProfilesLag(), room
        self.tracker = FreshnessTracker(self.clock.describe_fault)
        self._store, self._broker, self._workers_group = redis_store, Broker(kafka), workers_group
        self._group = GroupOffsets(kafka, profiles_group, self._broker)

    def make_tasks(self) -> list[BackgroundTask]:
        return [
            watch_clock(self.clock, lambda: asyncio.to_thread(self._store.read_clock_s)),
            watch_ends(self.tracker, lambda: asyncio.to_thread(self._broker.read_ends), read_clock),
            seed_floors(self.tracker, lambda: asyncio.to_thread(self._broker.read_committed, self._workers_group)),
            watch_room(self.room, self._sample_memory),
            watch_profiles(self.profiles, lambda: asyncio.to_thread(self._group.look), read_clock),
        ]

    def list_checks(self) -> dict[str, Check]:
        return {"clock": self.clock.check, "profiles": self.profiles.check, "store": self.room.check}

    async def _sample_memory(self) -> RoomSample:
        used_bytes, used_max = await asyncio.to_thread(self._store.read_memory)
        return RoomSample(used_bytes, used_max, *self.tracker.estimate_progress())


@dataclass(frozen=True)
class CatalogParts:
    """PostgreSQL, the caches of its content, and the listener that keeps them up to date."""

    database: Database
    keys: KeyCache
    products: ProductTables
    changes: CatalogChanges
    listener: CatalogListener

    async def close(self) -> None:
        await self.products.close()
        await self.database.close()


def build_catalog(settings: CatalogSettings) -> CatalogParts:
    database = Database(settings)
    keys, products = KeyCache(database, settings), ProductTables(database)
    changes = CatalogChanges(keys, products)
    listener = CatalogListener(settings, on_change=changes.note_change, on_state=changes.set_listening)
    return CatalogParts(database, keys, products, changes, listener)


def build_intake(collect: CollectSettings, url: SecretStr | None, connection_seconds_max: float) -> CollectIntake:
    file = LocationFile(collect.location_file) if collect.location_file is not None else None
    denied_names = frozenset(filter(None, map(str.strip, collect.denied_properties.split(","))))
    salt = DailySalt(build_shared_values(url, connection_seconds_max))
    find_location = file.find if file is not None else None
    return CollectIntake(collect.batch_bytes_max, denied_names, find_location, salt, collect.bot_events_per_minute)


def build_producer(
    kafka: KafkaSettings, collect: CollectSettings, clock: MachineClock, turns: CooperativeQueue | None = None
) -> EventProducer:
    return EventProducer(
        Producer, make_collector_config(kafka, collect), collect.delivery_timeout_ms / 1000, clock, turns
    )


def build_rejected(kafka: KafkaSettings) -> RejectedEvents:
    return RejectedEvents(Producer, make_producer_config(kafka))


def build_health(
    database: Database, redis_store: RedisStore, producer: EventProducer, watches: Watches, *, shard_count: int
) -> Health:
    async def read_freshness() -> object:
        return watches.tracker.report_state(read_clock())

    async def check_redis() -> None:
        await asyncio.to_thread(require_manifests, redis_store, shard_count)
        await asyncio.to_thread(redis_store.check_writes)

    checks = {"postgres": database.check, "redis": check_redis, "kafka": producer.check}
    return Health({**checks, **watches.list_checks()}, read_freshness)


def build_limits(
    settings: LimitSettings, url: SecretStr | None, connection_seconds_max: float, room: StoreRoom
) -> RateLimits:
    if url is None:
        return RateLimits(settings, room=room)
    pool = make_async_pool(url.get_secret_value(), REDIS_SECONDS, connection_seconds_max)
    return RateLimits(settings, make_redis_counter(pool), room=room)


def build_tickets(url: SecretStr | None, connection_seconds_max: float) -> tuple[Tickets, Sessions]:
    """Build tickets and sessions, whose state all API processes share as the limiter's user."""
    shared_values = build_shared_values(url, connection_seconds_max)
    return Tickets(TicketVault(shared_values)), Sessions(shared_values)


def build_shared_values(url: SecretStr | None, connection_seconds_max: float) -> SharedValues | None:
    """Build what all API processes keep together in Redis, with the limiter's user."""
    if url is None:
        return None
    return make_redis_values(make_async_pool(url.get_secret_value(), REDIS_SECONDS, connection_seconds_max))
