"""What a worker demands of the server before it writes there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from rtaplatform.core.errors import Stopped
from rtaplatform.local.valkey import Valkey
from rtaplatform.store.redis import RedisStore
from tests.contract.conftest import store_settings
from tests.integration.servers import TESTER, Running


@pytest.fixture
def store(valkey_server: Running[Valkey]) -> Iterator[RedisStore]:
    store = RedisStore(store_settings(valkey_server))
    store.load_functions()
    yield store
    store.close()


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_a_server_that_evicts_is_refused(store: RedisStore, valkey_server: Running[Valkey], policy: str) -> None:
    with redis.Redis.from_url(valkey_server.server.url(TESTER)) as tester:
        tester.config_set("maxmemory-policy", policy)
        try:
            with pytest.raises(Stopped, match="noeviction"):
                store.check()
        finally:
            tester.config_set("maxmemory-policy", "noeviction")
    store.check()
