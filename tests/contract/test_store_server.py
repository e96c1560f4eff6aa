"""What a worker demands of the server before it writes there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from rtaplatform.core.errors import SetupError, Stopped, Unable
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.time.buckets import BucketKind
from rtaplatform.local.servers.valkey import Valkey
from rtaplatform.store.port import BucketContent, ReadPersonCounts, ReadPersons, ReadPersonValues
from rtaplatform.store.redis.redis_reader import RedisReader
from rtaplatform.store.redis.redis_store import RedisStore
from rtaplatform.store.redis.shard_lifecycle import begin_missing
from tests.contract.conftest import TOPICS, store_settings
from tests.integration.servers import TESTER, Running, flush


@pytest.fixture
def store(valkey_server: Running[Valkey]) -> Iterator[RedisStore]:
    store = RedisStore(store_settings(valkey_server))
    store.load_functions()
    yield store
    store.close()


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_a_server_that_evicts_is_refused(store: RedisStore, valkey_server: Running[Valkey], policy: str) -> None:
    with redis.Redis.from_url(valkey_server.server.make_url(TESTER)) as tester:
        tester.config_set("maxmemory-policy", policy)
        try:
            with pytest.raises(Stopped, match="noeviction"):
                store.check()
        finally:
            tester.config_set("maxmemory-policy", "noeviction")
    store.check()


async def test_a_server_that_takes_no_writes_counts_no_sketches_and_still_answers(
    store: RedisStore, valkey_server: Running[Valkey]
) -> None:
    flush(valkey_server)
    settings = store_settings(valkey_server)
    store.begin(0, expected="", generation="g1", topics=TOPICS, starts={})
    store.set_projects([ProjectSettings("demo")])
    reader, buckets = RedisReader(settings), ((BucketKind.HOUR, 0),)
    with redis.Redis.from_url(valkey_server.server.make_url(TESTER)) as tester:
        tester.config_set("min-replicas-to-write", 1)
        try:
            with pytest.raises(Unable):
                await reader.read("demo", [ReadPersonCounts("product_id", BucketKind.HOUR, (0,))])
            snapshot = await reader.read("demo", [ReadPersons(buckets), ReadPersonValues(buckets, "product_id")])
        finally:
            tester.config_set("min-replicas-to-write", 0)
    assert snapshot.answers == (0, [])
    assert (await reader.read("demo", [ReadPersonCounts("product_id", BucketKind.HOUR, (0,))])).answers == (
        [BucketContent([])],
    )
    await reader.close()


def test_where_some_shards_have_lost_their_totals_none_is_begun_anew(valkey_server: Running[Valkey]) -> None:
    flush(valkey_server)
    store = RedisStore(store_settings(valkey_server, shards=2))
    store.begin(1, expected="", generation="g1", topics=TOPICS, starts={})
    with pytest.raises(SetupError, match="lost the totals of shard 0"):
        begin_missing(store, 2, TOPICS, {})
    assert store.read_state(0) is None
    store.close()


@pytest.mark.parametrize("name", ["rta:{s00}:g1:ledger", "rta:{s00}:x", "rta:{s01}:g7:c:demo:activity:d:0"])
def test_keys_of_ours_without_a_manifest_are_not_counted_on(valkey_server: Running[Valkey], name: str) -> None:
    flush(valkey_server)
    with redis.Redis.from_url(valkey_server.server.make_url(TESTER)) as tester:
        tester.set(name, "x")
    store = RedisStore(store_settings(valkey_server, shards=2))
    with pytest.raises(SetupError, match="not the manifest"):
        begin_missing(store, 2, TOPICS, {})
    assert store.read_state(int(name[6:8])) is None
    store.close()


def test_an_empty_store_is_begun_once(valkey_server: Running[Valkey]) -> None:
    flush(valkey_server)
    store = RedisStore(store_settings(valkey_server, shards=2))
    assert begin_missing(store, 2, TOPICS, {}) == [0, 1]
    assert begin_missing(store, 2, TOPICS, {}) == []
    store.close()
