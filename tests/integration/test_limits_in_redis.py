"""Limits counted in the real store, as the user that may touch nothing else; its absence; tickets in the same place."""

from __future__ import annotations

import redis
from litestar.exceptions import TooManyRequestsException
from pydantic import SecretStr

from rtaplatform.local.servers.valkey import Valkey
from rtaplatform.serve.collect.daily_salt import KEPT_SECONDS, DailySalt
from rtaplatform.serve.http.limits import COLLECT, READ, REDIS_SECONDS, Counter, RateLimits, make_redis_counter
from rtaplatform.serve.http.tickets import LIFE_SECONDS
from rtaplatform.serve.limits.limit_rules import PORTIONS
from rtaplatform.settings import LimitSettings
from rtaplatform.store.redis.connections import make_async_pool
from rtaplatform.wiring.api_parts import build_shared_values, build_tickets
from tests.integration.servers import TESTER, Running

LIMIT = 500
SETTINGS = LimitSettings(reads_per_minute=LIMIT, collect_events_per_minute=LIMIT)


def make_counter(valkey: Running[Valkey]) -> Counter:
    return make_redis_counter(make_async_pool(valkey.server.make_url("rta-limiter"), REDIS_SECONDS, 4))


async def count_passing(limits: RateLimits, kind: str, times: int) -> int:
    passed = 0
    for _ in range(times):
        try:
            await limits.take(kind, "key_1")
            passed += 1
        except TooManyRequestsException:
            pass
    return passed


async def test_processes_share_what_the_limiter_s_user_counts(valkey_server: Running[Valkey]) -> None:
    at = 1_000_000_000.0
    first_process, second_process = (RateLimits(SETTINGS, make_counter(valkey_server), lambda: at) for _ in range(2))
    passed = await count_passing(first_process, READ, LIMIT // 2) + await count_passing(second_process, READ, LIMIT)
    assert LIMIT - 2 * LIMIT // PORTIONS <= passed <= LIMIT
    with redis.Redis.from_url(valkey_server.server.make_url(TESTER)) as client:
        names = [name for name in client.scan_iter("*") if b"key_1" in name]
        assert names
        assert all(name.startswith(b"rta-limit:") for name in names)
        assert all(0 < client.ttl(name) <= 120 for name in names)


async def test_the_store_away_limits_all_the_same_and_its_return_is_noticed(valkey_server: Running[Valkey]) -> None:
    now = [2_000_000_000.0]
    limits = RateLimits(SETTINGS, make_counter(valkey_server), lambda: now[0])
    assert await count_passing(limits, COLLECT, 10) == 10
    valkey_server.kill()
    try:
        now[0] += 60
        assert await count_passing(limits, COLLECT, LIMIT + 50) == LIMIT
    finally:
        valkey_server.start()
    now[0] += 60
    assert await count_passing(limits, COLLECT, 10) == 10
    with redis.Redis.from_url(valkey_server.server.make_url(TESTER)) as client:
        assert client.exists(f"rta-limit:{COLLECT}:key_1:{int(now[0] // 60)}")


async def test_processes_agree_on_tickets_as_the_limiter_s_user(valkey_server: Running[Valkey]) -> None:
    url = valkey_server.server.make_url("rta-limiter")
    (first_tickets, first), (second_tickets, second) = (
        build_tickets(SecretStr(url), connection_seconds_max=4) for _ in range(2)
    )
    ticket = await second_tickets.read(await first_tickets.issue(b"k" * 32))
    assert ticket is not None
    session = await second.read(await first.open(b"k" * 32))
    assert session is not None
    code = await first.make_code(b"k" * 32)
    assert [await second.take_code(code), await first.take_code(code)] == [b"k" * 32, None]
    assert [await second_tickets.claim(ticket), await first_tickets.claim(ticket)] == [True, False]
    await second_tickets.release(ticket)
    assert [await first_tickets.claim(ticket), await second_tickets.claim(ticket)] == [True, False]
    with redis.Redis.from_url(valkey_server.server.make_url(TESTER)) as client:
        names = list(client.scan_iter("*ticket*"))
        assert len(names) == 2
        assert all(name.startswith(b"rta-limit:") and client.ttl(name) > LIFE_SECONDS / 2 for name in names)
    valkey_server.kill()
    try:
        # The secret is known, so what was issued stays valid, and a new one opens one stream here.
        again = await second_tickets.read(await first_tickets.issue(b"k" * 32))
        assert again is not None
        assert [await second_tickets.claim(again), await second_tickets.claim(again)] == [True, False]
    finally:
        valkey_server.start()


async def test_processes_share_the_salt_of_the_day_which_redis_forgets(valkey_server: Running[Valkey]) -> None:
    url = SecretStr(valkey_server.server.make_url("rta-limiter"))
    first_salt, second_salt = (DailySalt(build_shared_values(url, connection_seconds_max=4)) for _ in range(2))
    assert await first_salt.read() == await second_salt.read()
    with redis.Redis.from_url(valkey_server.server.make_url(TESTER)) as client:
        [name] = client.scan_iter("rta-limit:visitor-salt:*")
        assert 0 < client.ttl(name) <= KEPT_SECONDS
