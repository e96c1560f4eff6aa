"""Limits of keys and addresses: what is counted, what is told, and what an absence of Redis changes."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from typing import Any

import pytest
from limits.errors import StorageError
from litestar.exceptions import TooManyRequestsException

from rtaplatform.collect.body.envelope import EventBatch, read_batch
from rtaplatform.serve.connections.networks import parse_networks
from rtaplatform.serve.http.access import find_forwarded_address
from rtaplatform.serve.http.limits import COLLECT, METERS_MAX, READ, UNKNOWN, RateLimits
from rtaplatform.serve.limits.limit_rules import PORTIONS
from rtaplatform.settings import LimitSettings
from tests.unit.serve.parts_of_tests import Site, Stream

BEGIN = 60_000_000.0  # the begin of a minute


class Taken:
    """A collector that takes everything, and counts."""

    def __init__(self) -> None:
        self.bodies = 0

    async def collect_single(self, *_: Any) -> dict[str, Any]:
        self.bodies += 1
        return {"success": True}

    collect_batch = collect_single

    async def read_batch(self, body: bytes) -> EventBatch:
        return read_batch(body)


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


def make_limits(shared: Shared | None = None, clock: Clock | None = None, **settings: int) -> RateLimits:
    return RateLimits(LimitSettings(**settings), shared, clock or Clock())  # type: ignore[arg-type]  # pydantic reads them


async def count_taken(limits: RateLimits, times: int, holder: str = "key_1", kind: str = READ) -> int:
    """How many of so many requests pass."""
    passed = 0
    for _ in range(times):
        try:
            await limits.take(kind, holder)
            passed += 1
        except TooManyRequestsException:
            pass
    return passed


async def test_the_limit_passes_and_not_one_more_until_the_next_minute() -> None:
    clock = Clock()
    limits = make_limits(clock=clock, reads_per_minute=250)
    assert await count_taken(limits, 300) == 250
    assert await count_taken(limits, 10, holder="key_2") == 10
    clock.now += 60
    assert await count_taken(limits, 300) == 250


async def test_a_refusal_says_when_to_come_back() -> None:
    clock = Clock()
    limits = make_limits(clock=clock, reads_per_minute=1)
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
    limits = make_limits(collect_events_per_minute=1_000)
    assert (await limits.take(COLLECT, "key_1", 700)).remaining == 300
    with pytest.raises(TooManyRequestsException):
        await limits.take(COLLECT, "key_1", 301)
    assert (await limits.take(COLLECT, "key_1", 300)).remaining == 0
    # One that could never pass takes all.
    assert (await limits.take(COLLECT, "key_2", 5_000)).remaining == 0


@pytest.mark.parametrize("processes", [2, 5])
async def test_processes_share_a_limit_to_a_hundredth_each(processes: int) -> None:
    shared = Shared()
    limits_of_processes = [make_limits(shared, reads_per_minute=1_000) for _ in range(processes)]
    passed = sum(await asyncio.gather(*(count_taken(limits, 1_000) for limits in limits_of_processes)))
    assert 1_000 - processes * 1_000 // PORTIONS <= passed <= 1_000
    assert shared.calls <= PORTIONS + processes


async def test_parallel_requests_take_one_portion_at_a_time() -> None:
    shared = Shared()
    limits = make_limits(shared, reads_per_minute=1_000)
    await asyncio.gather(*(limits.take(READ, "key_1") for _ in range(100)))
    assert shared.calls == 10


async def test_without_redis_the_limit_is_the_process_s_own() -> None:
    clock, shared = Clock(), Shared()
    limits = make_limits(shared, clock, reads_per_minute=100)
    shared.away = True
    assert await count_taken(limits, 150) == 100
    assert shared.calls == 1  # it is left alone for a moment
    clock.now += 61
    shared.away = False
    assert await count_taken(limits, 150) == 100
    assert sum(shared.counts.values()) >= 100


async def test_a_limit_of_zero_is_no_limit() -> None:
    limits = make_limits(reads_per_minute=0)
    assert await count_taken(limits, 1_000) == 1_000
    assert not limits.is_spent(READ, "key_1")


async def test_meters_are_bounded() -> None:
    limits = make_limits(unknown_keys_per_minute=1)
    for number in range(METERS_MAX + 10):
        await limits.take(UNKNOWN, str(number))
    assert len(limits._addresses) == METERS_MAX


@pytest.mark.parametrize(
    ("client", "forwarded", "trusted", "address"),
    [
        ("9.9.9.9", ["1.2.3.4"], "", "9.9.9.9"),
        ("10.0.0.1", ["1.2.3.4"], "10.0.0.0/8", "1.2.3.4"),
        ("10.0.0.1", ["6.6.6.6, 1.2.3.4, 10.0.0.2"], "10.0.0.0/8", "1.2.3.4"),
        # HAProxy appends a line of its own to the one that a client made up.
        ("10.0.0.1", ["6.6.6.6", "1.2.3.4"], "10.0.0.0/8", "1.2.3.4"),
        ("9.9.9.9", ["1.2.3.4"], "10.0.0.0/8", "9.9.9.9"),
        ("10.0.0.1", ["rubbish"], "10.0.0.0/8", "10.0.0.1"),
        ("10.0.0.1", ["10.0.0.3"], "10.0.0.0/8", "10.0.0.3"),
        ("10.0.0.1", ["7" * 300_000 + ", 1.2.3.4"], "10.0.0.0/8", "1.2.3.4"),
        ("10.0.0.1", ["10.0.0.2, " * 300_000], "10.0.0.0/8", "10.0.0.2"),
        ("2001:db8::1:2:3:4", [], "", "2001:db8::/64"),
        ("::ffff:1.2.3.4", [], "", "1.2.3.4"),
        ("", [], "", "unknown"),
    ],
)
def test_only_a_trusted_proxy_names_the_client(client: str, forwarded: list[str], trusted: str, address: str) -> None:
    assert find_forwarded_address(client, forwarded, parse_networks(trusted)) == address


async def test_forwarded_addresses_of_strangers_are_ignored() -> None:
    """An address is kept, at most 4,096 of them; a header never is."""
    site = Site(limits=LimitSettings(trusted_proxies="127.0.0.0/8", unknown_keys_per_minute=0))
    tracemalloc.start()
    try:
        for number in range(100):
            headers = {"x-forwarded-for": f"{number}" * 30_000}
            stream = Stream(site.app, "GET", "/v1/metrics", key="nope", headers=headers)
            await stream.task
            assert stream.status == 401
        del stream, headers
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 2_000_000
    finally:
        tracemalloc.stop()


async def test_responses_tell_what_remains_and_refusals_are_problems() -> None:
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
    look_ups = site.keys.look_ups
    for method, path in (("GET", "/v1/metrics"), ("POST", "/v1/track"), ("GET", "/v1/live")):
        assert (await site.ask(method, path, key="wrong", body={"event": "x"})).status == 429
    assert site.keys.look_ups == look_ups
    assert (await site.ask("GET", "/v1/metrics")).status == 200


async def test_a_guess_counts_even_if_the_body_has_a_key() -> None:
    site = Site(limits=LimitSettings(unknown_keys_per_minute=3), collector=Taken())
    for number in range(5):
        answer = await site.ask("POST", "/v1/track", key=f"guess-{number}", body={"event": "x", "writeKey": "writer"})
        assert answer.status == 200
    # Three were looked up; the others were not, and what the body's key opens is unharmed.
    assert site.keys.guesses == [f"guess-{number}" for number in range(3)]
    assert (await site.ask("POST", "/v1/track", key="guess-5", body={"event": "x"})).status == 429


async def test_no_event_is_read_before_its_key_is_known() -> None:
    collector = Taken()
    site = Site(collector=collector)
    for body in (b"not JSON", b"[1, 2]", b'{"batch": 5}', b'{"batch": [', b"\xff", b""):
        for path in ("/v1/track", "/v1/batch"):
            assert (await site.ask("POST", path, key=None, body=body)).status == 401, (path, body)
            assert (await site.ask("POST", path, key="reader", body=body)).status == 403, (path, body)
    assert collector.bodies == 0


async def test_a_body_of_a_key_over_its_limit_is_not_parsed() -> None:
    site = Site(limits=LimitSettings(project_events_per_hour=10), collector=Taken())
    large = b'{"batch": [' + b" " * 40 * 32_768 + b"]}"
    assert (await site.ask("POST", "/v1/batch", key="writer", body=large)).status == 200  # it takes all that there is
    refused = await site.ask("POST", "/v1/batch", key="writer", body=b"not JSON")
    assert refused.status == 429


async def test_more_keys_give_a_project_no_more_than_its_share() -> None:
    limits = make_limits(reads_per_minute=10, project_factor=2)
    for number in range(20):
        await limits.take_for_key(READ, f"key_{number % 5}", "prj_1")
    with pytest.raises(TooManyRequestsException, match="all keys of this project"):
        await limits.take_for_key(READ, "key_5", "prj_1")
    assert (await limits.take_for_key(READ, "key_9", "prj_2")).limit == 10


async def test_addresses_cannot_push_out_meters_of_keys() -> None:
    limits = make_limits(reads_per_minute=10, unknown_keys_per_minute=1)
    assert await count_taken(limits, 20) == 10
    for number in range(METERS_MAX + 10):
        await limits.take(UNKNOWN, str(number))
    assert limits.is_spent(READ, "key_1")


async def test_an_operator_may_bound_the_events_of_a_project() -> None:
    """Whatever the limit of its keys: what counts is what the store has room for."""
    clock = Clock()
    limits = make_limits(clock=clock, project_events_per_hour=100)
    assert (await limits.take_for_key(COLLECT, "key_1", "prj_1", 60)).remaining == 40
    with pytest.raises(TooManyRequestsException, match="events of this project in an hour"):
        await limits.take_for_key(COLLECT, "key_2", "prj_1", 41)
    assert (await limits.take_for_key(COLLECT, "key_3", "prj_2", 60)).remaining == 40
    clock.now += 3_600
    assert (await limits.take_for_key(COLLECT, "key_1", "prj_1", 60)).remaining == 40
    assert (await limits.take_for_key(READ, "key_1", "prj_1")).limit == 120_000
