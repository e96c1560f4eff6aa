"""The adapters that the contract suites run on."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import redis
from pydantic import SecretStr

from rtaplatform.core.caps import CAPS, Caps
from rtaplatform.core.ledger import PartitionId
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.local.servers.valkey import Valkey
from rtaplatform.settings import StoreSettings
from rtaplatform.store.memory.memory_ends import MemoryEnds
from rtaplatform.store.memory.memory_store import MemoryStore
from rtaplatform.store.port import AggregateReader, AggregateStore, EndCounts, Tombstone
from rtaplatform.store.redis.apply_payload import Retention
from rtaplatform.store.redis.redis_ends import RedisEnds
from rtaplatform.store.redis.redis_generations import RedisGenerations
from rtaplatform.store.redis.redis_reader import RedisReader
from rtaplatform.store.redis.redis_store import RedisStore
from tests.contract.shard import Shard
from tests.integration.servers import TESTER, Running, flush

TOPICS = {"rta.events.web": "topic-web"}
# A value that names another id of its person is `also ` and this id.
TOMBSTONE = Tombstone(b"erased", lambda value: [value[5:]] if value.startswith(b"also ") else [])
BERLIN = ProjectSettings("demo", "Europe/Berlin", "EUR")


@dataclass
class Parts:
    """One adapter's two sides, begun with generation `g1` and the project `demo`."""

    store: AggregateStore
    reader: AggregateReader
    kind: str
    generations: Any
    forget: Callable[[str, Sequence[bytes], Tombstone], Any]
    ends: EndCounts
    generation: str = "g1"


@pytest.fixture
def caps() -> Caps:
    """Of the buckets of `parts`: a test may have smaller ones."""
    return CAPS


@pytest.fixture(params=["memory", "redis"])
def parts(request: pytest.FixtureRequest, caps: Caps) -> Iterator[Parts]:
    if request.param == "memory":
        memory = MemoryStore(caps=caps)
        memory.begin(0, expected="", generation="g1", topics=TOPICS, starts={PartitionId("topic-web", 0): 0})
        memory.set_projects([BERLIN], secrets.token_hex(8))
        yield Parts(memory, memory, "memory", memory, memory.forget, MemoryEnds(memory))
        return
    valkey: Running[Valkey] = request.getfixturevalue("valkey_server")
    settings = store_settings(valkey)
    flush(valkey)
    store = RedisStore(settings, Retention(caps=caps))
    store.begin(0, expected="", generation="g1", topics=TOPICS, starts={PartitionId("topic-web", 0): 0})
    store.set_projects([BERLIN])
    yield Parts(store, RedisReader(settings), "redis", RedisGenerations(store, 1), store.forget, RedisEnds(store))
    store.close()


def store_settings(valkey: Running[Valkey], shards: int = 1) -> StoreSettings:
    return StoreSettings(
        url=SecretStr(valkey.server.make_url("rta")),
        loader_url=SecretStr(valkey.server.make_url("rta-loader")),
        shards=shards,
    )


def make_tester_url(valkey: Running[Valkey]) -> str:
    return valkey.server.make_url(TESTER)


@pytest.fixture(scope="module")
def server(valkey_server: Running[Valkey]) -> Iterator[Shard]:
    flush(valkey_server)
    store = RedisStore(store_settings(valkey_server))
    store.load_functions()
    with redis.Redis.from_url(valkey_server.server.make_url(TESTER)) as tester:
        yield Shard(store, store_settings(valkey_server), tester)
    store.close()


@pytest.fixture
def shard(server: Shard) -> Shard:
    server.begin_again()
    return server
