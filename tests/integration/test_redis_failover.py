"""A relay that leads to another primary: workers, questions and limits follow it, and health tells the truth.

The old primary stays, as a replica that takes no writes or cut off from all others, and keeps its connections open.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import redis
from pydantic import SecretStr

from rtaplatform.core.errors import Unable
from rtaplatform.core.ledger import PartitionId
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.local.data.ports import LOOPBACK, keep_ports
from rtaplatform.local.servers.valkey import Valkey
from rtaplatform.serve.http.health import Health
from rtaplatform.serve.http.limits import COLLECT, REDIS_SECONDS, Counter, RateLimits, make_redis_counter
from rtaplatform.settings import LimitSettings, StoreSettings
from rtaplatform.store.redis.connections import make_async_pool
from rtaplatform.store.redis.redis_reader import RedisReader
from rtaplatform.store.redis.redis_store import RedisStore
from tests.integration.chaos import wait_until
from tests.integration.relay import Relay
from tests.integration.servers import TESTER, Running, flush, start_server

SECONDS_MAX = 10.0
LIMIT = 1_000_000
PORTION = LIMIT // 100  # so that Redis is asked each time
PROJECT = ProjectSettings("demo", "Europe/Berlin", "EUR")


@dataclass
class Pair:
    """Two servers whose totals differ, and the relay before them, which leads to `old`."""

    old: Running[Valkey]
    new: Running[Valkey]
    relay: Relay

    def make_url(self, user: str = "rta") -> str:
        """Through the relay. The two servers know the same passwords."""
        return self.old.server.make_url(user).replace(
            f"{LOOPBACK}:{self.old.server.port}", f"{LOOPBACK}:{self.relay.port}"
        )

    def make_settings(self) -> StoreSettings:
        return StoreSettings(url=SecretStr(self.make_url()), loader_url=SecretStr(self.make_url("rta-loader")))

    def demote_old(self) -> None:
        with redis.Redis.from_url(self.old.server.make_url(TESTER)) as tester:
            tester.replicaof(LOOPBACK, str(self.new.server.port))


@pytest.fixture(scope="module")
def valkeys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running[Valkey], Running[Valkey]]]:
    folder = tmp_path_factory.mktemp("pair")
    ports = keep_ports(folder / "ports.json", ["old", "new"])
    running = []
    for name in ("old", "new"):
        (folder / name).mkdir()
        for user in ("rta", "rta-loader", "rta-limiter", "rta-keeper", TESTER):
            (folder / name / f"{user}.password").write_text(f"password-of-{user}")
        server = Valkey(folder / name, ports[name], extra_users={TESTER: "~* &* +@all"})
        running.append(start_server(server, folder / name))
    yield running[0], running[1]
    for valkey in running:
        valkey.stop()


@pytest.fixture
def pair(valkeys: tuple[Running[Valkey], Running[Valkey]]) -> Iterator[Pair]:
    for running, generation in zip(valkeys, ("old", "new"), strict=True):
        with redis.Redis.from_url(running.server.make_url(TESTER)) as tester:
            tester.replicaof("NO", "ONE")
        flush(running)
        url, loader = (SecretStr(running.server.make_url(user)) for user in ("rta", "rta-loader"))
        store = RedisStore(StoreSettings(url=url, loader_url=loader))
        store.begin(0, expected="", generation=generation, topics={"t": "t-1"}, starts={PartitionId("t-1", 0): 0})
        store.set_projects([PROJECT])
        store.close()
    relay = Relay(valkeys[0].server.port)
    yield Pair(*valkeys, relay)
    relay.close()


def make_counter(url: str) -> Counter:
    return make_redis_counter(make_async_pool(url, REDIS_SECONDS, 4))


async def are_all_following(pair: Pair, store: RedisStore, reader: RedisReader, limits: RateLimits) -> bool:
    """Workers' side, questions, and limits, each with one more call."""
    await limits.take(COLLECT, "key_1", PORTION)
    state = store.read_state(0)
    generation = (await reader.read("demo", [])).generation
    with redis.Redis.from_url(pair.new.server.make_url(TESTER)) as tester:
        is_counted = next(tester.scan_iter("rta-limit*"), None) is not None
    return state is not None and (state.generation, generation, is_counted) == ("new", "new", True)


@pytest.mark.parametrize("fault", ["demoted", "detached"])
async def test_all_follow_a_relay_to_the_new_primary_within_ten_seconds(pair: Pair, fault: str) -> None:
    store, reader = RedisStore(pair.make_settings()), RedisReader(pair.make_settings())
    limits = RateLimits(LimitSettings(collect_events_per_minute=LIMIT), make_counter(pair.make_url("rta-limiter")))
    assert (await reader.read("demo", [])).generation == "old"
    store.check_writes()
    notifications = reader.follow_notifications()
    assert (await anext(notifications)).projects is None
    await limits.take(COLLECT, "key_1")
    if fault == "demoted":
        pair.demote_old()
        with pytest.raises(Unable, match="read only"):
            store.check_writes()
    pair.relay.target = pair.new.server.port
    deadline = time.monotonic() + SECONDS_MAX
    while not await are_all_following(pair, store, reader, limits):
        assert time.monotonic() < deadline, "not all of them have followed"
        await asyncio.sleep(0.2)
    store.check_writes()
    assert (await asyncio.wait_for(anext(notifications), SECONDS_MAX)).projects is None
    await reader.close()
    store.close()


async def test_ready_tells_of_a_server_that_takes_no_writes(pair: Pair) -> None:
    store = RedisStore(pair.make_settings())

    async def check() -> None:
        await asyncio.to_thread(store.check_writes)

    health = Health({"redis": check})
    assert await health.check_readiness() == (
        True, {"status": "ready", "missing": [], "degraded": [], "servers": {"redis": "answers"}}
    )  # fmt: skip
    pair.demote_old()
    health._last_check = None
    ready, detail = await health.check_readiness()
    assert (ready, detail["missing"], detail["degraded"]) == (True, [], ["redis"])
    assert "read only replica" in detail["servers"]["redis"]
    store.close()


def test_a_connection_is_kept_while_it_is_young_and_renewed_when_it_is_old(pair: Pair) -> None:
    settings = pair.make_settings().model_copy(update={"connection_seconds_max": 0.3})
    store = RedisStore(settings)
    for _ in range(20):
        store.check_writes()
    assert pair.relay.opened == 1

    def is_renewed() -> bool:
        store.check_writes()
        return pair.relay.opened > 1

    wait_until(is_renewed, "a new connection", 5)
    store.close()
