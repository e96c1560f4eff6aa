"""The catalog and the streams on the session's real servers, for tests of profiles and erasures."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from pydantic import SecretStr

from rtaplatform.catalog.database import Database
from rtaplatform.catalog.demo_project import SeededDemoKeys, seed_demo
from rtaplatform.core.errors import Unavailable
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.settings import CatalogSettings, KafkaSettings, StoreSettings, TopicSettings
from rtaplatform.store.redis.redis_store import RedisStore
from rtaplatform.store.redis.shard_lifecycle import begin_missing
from rtaplatform.stream.kafka.broker import Broker
from tests.integration.chaos import wait_until
from tests.integration.servers import Servers, empty_catalog, flush

KEYS = SeededDemoKeys(write="rta_w_profiles", read="rta_r_profiles", admin="rta_a_profiles")
PROJECT_ID = "prj_demo"
COORDINATOR_SECONDS_MAX = 30.0


@dataclass(frozen=True)
class CatalogStack:
    """An empty catalog with the project `demo`, topics, and a shard that has begun."""

    servers: Servers

    @property
    def kafka(self) -> KafkaSettings:
        return KafkaSettings(bootstrap_servers=self.servers.kafka_bootstrap_servers)

    @property
    def store(self) -> StoreSettings:
        return StoreSettings(url=SecretStr(self.servers.redis_url), loader_url=SecretStr(self.servers.redis_loader_url))

    @property
    def catalog(self) -> CatalogSettings:
        return CatalogSettings(url=SecretStr(self.servers.postgres_url))

    def make_environment(self) -> dict[str, str]:
        return {
            "PYTHONPATH": "src",
            "RTA_KAFKA_BOOTSTRAP_SERVERS": self.servers.kafka_bootstrap_servers,
            "RTA_REDIS_URL": self.servers.redis_url,
            "RTA_REDIS_LOADER_URL": self.servers.redis_loader_url,
            "RTA_POSTGRES_URL": self.servers.postgres_url,
        }

    def measure_lag(self, group: str) -> int:
        """Records that the group has not committed. A coordinator that has just changed is asked again."""
        broker, deadline = Broker(self.kafka), time.monotonic() + COORDINATOR_SECONDS_MAX
        while True:
            try:
                committed = broker.read_committed(group)
                break
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        return sum(end - max(committed.get(place, 0), 0) for place, end in broker.read_ends().items())


def prepare(servers: Servers) -> CatalogStack:
    stack = CatalogStack(servers)
    empty_catalog(servers.postgres.server)

    async def seed() -> None:
        database = Database(stack.catalog)
        await seed_demo(database, KEYS, users=[], products=[])
        await database.close()

    asyncio.run(seed())
    broker = Broker(stack.kafka)
    broker.create_topics(TopicSettings())
    wait_until(lambda: len(broker.read_ends()) == 12, "the topics' leaders")
    flush(servers.valkey)
    store = RedisStore(stack.store)
    store.load_functions()
    store.set_projects([ProjectSettings("demo", "Europe/Berlin", "EUR")])
    begin_missing(store, 1, {name: topic_id for name, (topic_id, _) in broker.describe_topics().items()}, {})
    store.close()
    return stack
