"""For n = 1, 2, …: the n-th command of a reader to the real store fails, by a cut, in silence or with an error.

What the client library makes of it must be 503 or the right numbers, and never an answer that belongs to another
question: a connection whose answer was not read is not used again. The same of the counter of limits.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from rtaplatform.local.servers.valkey import Valkey
from rtaplatform.serve.http.limits import COLLECT, REDIS_SECONDS, RateLimits, make_redis_counter
from rtaplatform.settings import LimitSettings, StoreSettings
from rtaplatform.store.redis.connections import make_async_pool
from rtaplatform.store.redis.redis_reader import RedisReader
from rtaplatform.store.redis.redis_store import RedisStore
from tests.contract.conftest import store_settings
from tests.integration.cutting import CUTS, DONE_SILENT, SILENT, Plan, Proxy, make_redis_proxy, read_command_name
from tests.integration.servers import Running, flush
from tests.simulation.asking import HOUR, PRODUCTS, list_questions, make_morning
from tests.simulation.test_fail_nth_question import find_objections
from tests.unit.analytics.catalog import Catalog
from tests.unit.analytics.shop import PROJECT, Happening, Shop
from tests.unit.serve.parts_of_tests import Site

ERRORS = {
    "loading": b"-LOADING Valkey is loading the dataset in memory\r\n",
    "memory": b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
    "busy": b"-BUSY Valkey is busy running a script.\r\n",
    "replica": b"-READONLY You can't write against a read only replica.\r\n",
    "primary away": b"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n",
    "disk": b"-MISCONF Valkey is configured to save RDB snapshots, but it's currently unable to persist to disk.\r\n",
    "no function": b"-ERR Function not found\r\n",
    "aborted": b"-EXECABORT Transaction discarded because of: BUSY Valkey is busy running a script.\r\n",
    "discarded": b"-EXECABORT Transaction discarded because of previous errors.\r\n",
    "signed out": b"-NOAUTH Authentication required.\r\n",
}
NIL = b"*-1\r\n"  # what EXEC answers where it has done nothing
WAYS: dict[str, str | bytes] = {**{way: way for way in CUTS}, **ERRORS, "nothing done": NIL}
ASKED = [
    question
    for question in list_questions()
    if question.name in ("visitors", "popular by visitors", "by name", "views by category", "several")
]
WAITS = (SILENT, DONE_SILENT)  # the ways that end by the reader's time-out alone
TIMEOUT_SECONDS = 0.5  # where the test waits for it; a busy machine must not take that long for an answer
TIMEOUT_SECONDS_NEVER_REACHED = 30.0
EVERY_TENTH = 10  # of the calls that fail by a time-out


def replace_port(proxy: Proxy, url: str) -> str:
    """The same URL, with the proxy's port."""
    parts = urlsplit(url)
    return url.replace(f":{parts.port}", f":{proxy.port}")


@pytest.fixture
async def behind(valkey_server: Running[Valkey]) -> AsyncIterator[Proxy]:
    async with make_redis_proxy(valkey_server.server.port) as new_proxy:
        yield new_proxy


class Place:
    """A site whose reader is behind the proxy, over totals of this morning."""

    def __init__(self, valkey: Running[Valkey], behind: Proxy, timeout_seconds: float) -> None:
        flush(valkey)
        settings = store_settings(valkey)
        store, url = RedisStore(settings), SecretStr(replace_port(behind, settings.url.get_secret_value()))
        self.behind = behind
        self.reader = RedisReader(StoreSettings(url=url, shards=1, timeout_seconds=timeout_seconds))
        self.shop = Shop(catalog=Catalog(PRODUCTS), store=store, reader=self.reader)
        store.set_projects([PROJECT])
        self.shop.clock.at_ms = time.time_ns() // 1_000_000 // HOUR * HOUR
        self.site = Site(self.shop, Catalog(PRODUCTS))
        self.events: list[Happening] = []

    def begin(self, plan: Plan) -> None:
        """Something has been counted since; the next call is the first."""
        happened = make_morning(self.shop.clock.at_ms, len(self.events) % 7)
        self.events += happened
        self.shop.take(happened)
        self.shop.engine.touch(None)
        self.behind.plan = plan

    async def ask(self) -> list[str]:
        """Every question, until it is answered; what is wrong."""
        wrong: list[str] = []
        for question in ASKED:
            for _ in range(4):
                answer = await question.ask(self.site)
                if answer.status == 200:
                    actual, true = (
                        question.read_numbers(answer.json),
                        question.truth(self.events, self.shop.clock.at_ms),
                    )
                    wrong += [] if actual == true else [f"{question.name}: {actual} instead of {true}"]
                    break
                wrong += [f"{question.name}: {objection}" for objection in find_objections(answer)]
            else:
                wrong.append(f"{question.name} is never answered")
        return wrong


@pytest.mark.parametrize("way", WAYS)
async def test_any_command_of_a_question_may_fail_once(valkey_server: Running[Valkey], behind: Proxy, way: str) -> None:
    timeout_seconds = TIMEOUT_SECONDS if WAYS[way] in WAITS else TIMEOUT_SECONDS_NEVER_REACHED
    place = Place(valkey_server, behind, timeout_seconds)
    for _ in range(2):  # the first one reads what is kept afterwards
        place.begin(Plan())
        assert await place.ask() == []
    names = [read_command_name(call) for call in behind.plan.calls]
    assert {b"MULTI", b"HGETALL", b"FCALL_RO", b"PFCOUNT", b"SMEMBERS", b"EXEC"} <= set(names)
    for n in _hit(way, names):
        place.begin(Plan(n, WAYS[way], is_exec if WAYS[way] == NIL else lambda call: True, discard_if_exec))
        wrong = await place.ask()
        assert not wrong, f"call {n}, {names[n - 1].decode()}: {way}:\n" + "\n".join(wrong[:20])
    await place.reader.close()


def _hit(way: str, names: list[bytes]) -> list[int]:
    """Which calls: all that can fail so, of those that take their time a part."""
    if WAYS[way] == NIL:
        return list(range(1, names.count(b"EXEC") + 1))
    return list(range(1, len(names) + 1, EVERY_TENTH if WAYS[way] in WAITS else 1))


def is_exec(call: bytes) -> bool:
    return read_command_name(call) == b"EXEC"


def discard_if_exec(call: bytes) -> bytes:
    """What becomes of a transaction whose EXEC the server refuses."""
    return b"*1\r\n$7\r\nDISCARD\r\n" if is_exec(call) else b""


@pytest.mark.parametrize("way", [*CUTS, *ERRORS])
async def test_any_command_of_the_limiter_may_fail_once(
    valkey_server: Running[Valkey], behind: Proxy, way: str
) -> None:
    """Two keys, of which one has used much more: neither is ever told the other's count."""
    flush(valkey_server)
    url = replace_port(behind, valkey_server.server.make_url("rta-limiter"))
    for n in range(1, 6):
        now, counter = [1_000_000_000.0 + n * 60], make_redis_counter(make_async_pool(url, REDIS_SECONDS, 3_600))
        limits = RateLimits(LimitSettings(collect_events_per_minute=1_000), counter, lambda now=now: now[0])  # type: ignore[misc]  # a default
        behind.plan = Plan(n, WAYS[way])
        for step in range(6):
            much = await limits.take(COLLECT, f"much-{n}", 100)
            few = await limits.take(COLLECT, f"few-{n}", 1)
            # What Redis has counted and what this process counts alone are two counts, each of them its own key's.
            assert 900 - (step + 1) * 100 <= much.remaining <= 900, (n, step)
            assert 1_000 - (step + 1) * 20 <= few.remaining <= 999, (n, step)
            now[0] += 2  # long enough for Redis to be asked again
        assert len(behind.plan.calls) >= n
