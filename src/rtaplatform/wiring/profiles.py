"""Build the profiles process, and the erasure of persons."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from rtaplatform.catalog.database import Database
from rtaplatform.process.people.erased import TOMBSTONE
from rtaplatform.profiles.erasure import PersonErasure
from rtaplatform.profiles.profile_worker import ProfileWorker
from rtaplatform.settings import (
    CatalogSettings,
    KafkaSettings,
    ProfilesSettings,
    StoreSettings,
)
from rtaplatform.store.redis.redis_store import RedisStore
from rtaplatform.stream.kafka.broker import Broker
from rtaplatform.stream.kafka.control_log import ControlLog
from rtaplatform.stream.kafka.group_consumer import CommittingConsumer
from rtaplatform.stream.kafka.group_offsets import GroupOffsets

STOP_PRODUCER_SECONDS = 5.0


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


def count_unread_records(kafka: KafkaSettings, group_id: str) -> int:
    """Return how many records the profiles process has still to read. Raises Unavailable."""
    return GroupOffsets(kafka, group_id, Broker(kafka)).look().behind


def build_erasure(kafka: KafkaSettings, database: Database, redis_store: RedisStore) -> PersonErasure:
    """Build the erasure of persons. It opens nothing beside its arguments."""
    control, forget = ControlLog(kafka), partial(redis_store.forget, tombstone=TOMBSTONE)
    return PersonErasure(database, control.append, forget, control.read_retention)
