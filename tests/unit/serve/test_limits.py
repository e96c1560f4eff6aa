"""Limits of keys and addresses: what is counted, what is told, and what an absence of Redis changes."""

from __future__ import annotations

import asyncio

import pytest
from limits.errors import StorageError
from litestar.exceptions import TooManyRequestsException

from rtaplatform.serve.access import forwarded_address
from rtaplatform.serve.limits import COLLECT, METERS_MAX, PORTIONS, READ, UNKNOWN, Limits
from rtaplatform.settings import LimitSettings
from tests.unit.serve.parts_of_tests import Site

BEGIN = 60_000_000.0  # the begin of a minute


class Clock:
    now = BEGIN

    def __call__(self) -> float:
        return self.now


class Shared:
    """A count that several processes share; `away` fails."""

    def __init__(self) -> None:
        self.counts, self.calls, self.away = dict[str, int](), 0, False

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        self.calls += 1
        await asyncio.sleep(0)
        if self.away:
            raise StorageError(OSError("away"))
        self.counts[key] = self.counts.get(key, 0) + amount
        return self.counts[key]


def limits_of(shared: Shared | None = None, clock: Clock | None = None, **given: int) -> Limits:
    return Limits(LimitSettings(**given), shared, clock or Clock())  # type: ignore[arg-type]  # pydantic reads them


async def taken(limits: Limits, times: int, who: str = "key_1", kind: str = READ) -> int:
    """How many of so many requests pass."""
    passed = 0
    for _ in range(times):
        try:
            await limits.take(kind, who)
            passed += 1
        except TooManyRequestsException:
            pass
    return passed


async def test_the_limit_passes_and_not_one_more_until_the_next_minute() -> None:
    clock = Clock()
    limits = limits_of(clock=clock, reads_per_minute=250)
    assert await taken(limits, 300) == 250
    assert await taken(limits, 10, who="key_2") == 10
    clock.now += 60
    assert await taken(limits, 300) == 250


async def test_a_refusal_says_when_to_come_back() -> None:
    clock = Clock()
    limits = limits_of(clock=clock, reads_per_minute=1)
    clock.now += 17.5
    allowance = await limits.take(READ, "key_1")
    assert (allowance.limit, allowance.remaining, allowance.reset_seconds) == (1, 0, 43)
    with pytest.raises(TooManyRequestsException) as caught:
        await limits.take(READ, "key_1")
    assert caught.value.headers == {
        "RateLimit-Limit": "1", "RateLimit-Remaining": "0", "RateLimit-Reset": "43", "Retry-After": "43",
        "X-RateLimit-Reset": "43",
    }  # fmt: skip
    clock.now = BEGIN + 59.999
    with pytest.raises(TooManyRequestsException) as caught:
        await limits.take(READ, "key_1")
    assert caught.value.headers is not None
    assert caught.value.headers["Retry-After"] == "1"


async def test_a_batch_passes_whole_or_not_at_all() -> None:
    limits = limits_of(collect_events_per_minute=1_000)
    assert (await limits.take(COLLECT, "key_1", 700)).remaining == 300
    with pytest.raises(TooManyRequestsException):
        await limits.take(COLLECT, "key_1", 301)
    assert (await limits.take(COLLECT, "key_1", 300)).remaining == 0
    # One that could never pass takes all.
    assert (await limits.take(COLLECT, "key_2", 5_000)).remaining == 0


@pytest.mark.parametrize("processes", [2, 5])
async def test_processes_share_a_limit_to_a_hundredth_each(processes: int) -> None:
    shared = Shared()
    each = [limits_of(shared, reads_per_minute=1_000) for _ in range(processes)]
    passed = sum(await asyncio.gather(*(taken(limits, 1_000) for limits in each)))
    assert 1_000 - processes * 1_000 // PORTIONS <= passed <= 1_000
    assert shared.calls <= PORTIONS + processes


async def test_parallel_requests_take_one_portion_at_a_time() -> None:
    shared = Shared()
    limits = limits_of(shared, reads_per_minute=1_000)
    await asyncio.gather(*(limits.take(READ, "key_1") for _ in range(100)))
    assert shared.calls == 10


async def test_without_redis_the_limit_is_the_process_s_own() -> None:
    clock, shared = Clock(), Shared()
    limits = limits_of(shared, clock, reads_per_minute=100)
    shared.away = True
    assert await taken(limits, 150) == 100
    assert shared.calls == 1  # it is left alone for a moment
    clock.now += 61
    shared.away = False
    assert await taken(limits, 150) == 100
    assert sum(shared.counts.values()) >= 100


async def test_no_limit_is_none() -> None:
    limits = limits_of(reads_per_minute=0)
    assert await taken(limits, 1_000) == 1_000
    assert not limits.is_spent(READ, "key_1")


async def test_meters_are_bounded() -> None:
    limits = limits_of(unknown_keys_per_minute=1)
    for number in range(METERS_MAX + 10):
        await limits.take(UNKNOWN, str(number))
    assert len(limits._meters) == METERS_MAX


@pytest.mark.parametrize(
    ("client", "forwarded", "trusted", "found"),
    [
        ("9.9.9.9", "1.2.3.4", "", "9.9.9.9"),
        ("10.0.0.1", "1.2.3.4", "10.0.0.0/8", "1.2.3.4"),
        ("10.0.0.1", "6.6.6.6, 1.2.3.4, 10.0.0.2", "10.0.0.0/8", "1.2.3.4"),
        ("9.9.9.9", "1.2.3.4", "10.0.0.0/8", "9.9.9.9"),
        ("10.0.0.1", "rubbish", "10.0.0.0/8", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.3", "10.0.0.0/8", "10.0.0.3"),
        ("2001:db8::1:2:3:4", "", "", "2001:db8::/64"),
        ("::ffff:1.2.3.4", "", "", "1.2.3.4"),
        ("", "", "", "unknown"),
    ],
)
def test_only_a_trusted_proxy_tells_who_the_client_is(client: str, forwarded: str, trusted: str, found: str) -> None:
    assert forwarded_address(client, forwarded, trusted) == found


async def test_answers_tell_what_is_left_and_refusals_are_problems() -> None:
    site = Site(limits=LimitSettings(reads_per_minute=2))
    first = await site.ask("GET", "/v1/metrics")
    assert first.status == 200
    assert (first.headers["ratelimit-limit"], first.headers["ratelimit-remaining"]) == ("2", "1")
    assert 1 <= int(first.headers["ratelimit-reset"]) <= 60
    await site.ask("GET", "/v1/metrics")
    refused = await site.ask("GET", "/v1/metrics")
    assert (refused.status, refused.json["code"]) == (429, "too-many-requests")
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.headers["x-ratelimit-reset"] == refused.headers["retry-after"]
    assert refused.headers["ratelimit-remaining"] == "0"


async def test_an_address_that_tries_keys_is_refused_while_known_keys_pass() -> None:
    site = Site(limits=LimitSettings(unknown_keys_per_minute=3))
    for _ in range(3):
        assert (await site.ask("GET", "/v1/metrics", key="wrong")).status == 401
    asked = site.keys.asked
    for method, path in (("GET", "/v1/metrics"), ("POST", "/v1/track"), ("GET", "/v1/live")):
        assert (await site.ask(method, path, key="wrong", body={"event": "x"})).status == 429
    assert site.keys.asked == asked
    assert (await site.ask("GET", "/v1/metrics")).status == 200
