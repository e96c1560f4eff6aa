"""The oldest store that we support: Debian 12's Redis 7.0, started here with no settings but a port."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from pydantic import SecretStr

from rtaplatform.core.caps import CAPS, Caps
from rtaplatform.core.ledger import PartitionId
from rtaplatform.local.data.ports import keep_ports
from rtaplatform.settings import StoreSettings
from rtaplatform.store.redis.apply_payload import Retention
from rtaplatform.store.redis.redis_ends import RedisEnds
from rtaplatform.store.redis.redis_generations import RedisGenerations
from rtaplatform.store.redis.redis_reader import RedisReader
from rtaplatform.store.redis.redis_store import RedisStore
from tests.contract.conftest import BERLIN, TOPICS, Parts


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program, folder = shutil.which("redis-server"), tmp_path_factory.mktemp("redis")
    port = keep_ports(folder / "ports.json", ["redis"])["redis"]
    assert program, "redis-server is missing: apt install redis-server"
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([program, "--port", str(port), "--bind", "127.0.0.1"], cwd=folder, stdout=log)
    url = f"redis://127.0.0.1:{port}/0"
    _await(url, folder / "log")
    yield url
    server.terminate()
    server.wait()


def _await(url: str, log: Path) -> None:
    with redis.Redis.from_url(url) as client:
        for _ in range(100):
            try:
                client.ping()
                return
            except redis.ConnectionError:
                time.sleep(0.05)
    raise AssertionError(f"redis-server does not answer:\n{log.read_text()}")


@pytest.fixture
def caps() -> Caps:
    return CAPS


@pytest.fixture
def parts(redis_url: str, caps: Caps) -> Iterator[Parts]:
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        client.function_flush()
    settings = StoreSettings(url=SecretStr(redis_url))
    store = RedisStore(settings, Retention(caps=caps))
    store.begin(0, expected="", generation="g1", topics=TOPICS, starts={PartitionId("topic-web", 0): 0})
    store.set_projects([BERLIN])
    yield Parts(store, RedisReader(settings), "redis 7.0", RedisGenerations(store, 1), store.forget, RedisEnds(store))
    store.close()
