"""Questions that are as large as they may be: others are answered meanwhile, and a larger one is refused."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from rtaplatform.core.rollups import ACTIVITY, PRODUCTS, make_field
from rtaplatform.core.time.buckets import BucketKind
from rtaplatform.settings import StoreSettings
from rtaplatform.store.port import CellsKey, Delta
from rtaplatform.store.redis.redis_store import RedisStore
from tests.attacks.harm import expecting_no_harm
from tests.attacks.stack import Stack

EVENTS, MINUTES, HOURS, PRODUCTS_PER_HOUR = 40, 2_800, 12, 10_000
AT_ONCE = 6


@pytest.fixture(scope="module")
def now() -> int:
    return int(time.time()) // 60


@pytest.fixture(scope="module")
def filled(stack: Stack, now: int) -> Stack:
    """Minutes of many events, and hours of many products."""
    settings = StoreSettings(
        url=SecretStr(stack.servers.redis_url), loader_url=SecretStr(stack.servers.redis_loader_url)
    )
    store = RedisStore(settings)
    state = store.read_state(0)
    assert state is not None
    names = {make_field("count", f"event-{n}", "web"): n + 1 for n in range(EVENTS)}
    products = {make_field("views", f"p-{n}"): 1 for n in range(PRODUCTS_PER_HOUR)}
    buckets: list[tuple[CellsKey, dict[str, int]]] = [
        (CellsKey("demo", ACTIVITY.name, BucketKind.MINUTE, now - back), {**names, "count": sum(names.values())})
        for back in range(MINUTES)
    ]
    buckets += [
        (
            CellsKey("demo", PRODUCTS.name, BucketKind.HOUR, (now // 60 - back) * 60),
            {**products, "views": len(products)},
        )
        for back in range(1, HOURS + 1)
    ]
    for first in range(0, len(buckets), 20):
        store.apply(0, state.generation, Delta(moves=[], cells=dict(buckets[first : first + 20])))
    store.close()
    return stack


def format_minute(minute: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)).isoformat()


def ask_all(stack: Stack, queries: list[dict[str, Any]]) -> httpx.Response:
    return stack.ask("POST", "/v1/query", json={"queries": queries})


def make_longest_query(now: int) -> dict[str, Any]:
    """As many minutes as one query may ask for, up to the minute `now`."""
    return {
        "metric": "events",
        "from": format_minute(now - 2_700),
        "to": format_minute(now),
        "interval": "minute",
        "timezone": "UTC",
    }


def test_the_largest_questions_hold_nobody_up(filled: Stack, now: int) -> None:
    """As many points as a request may ask for, again and again, six at once."""
    largest = make_longest_query(now)
    with expecting_no_harm(filled), ThreadPoolExecutor(AT_ONCE) as pool:
        queries = [{**largest, "breakdown": ["event"], "limit": 37}]
        answers = list(pool.map(lambda _: ask_all(filled, queries), range(2 * AT_ONCE)))
    for answer in answers:
        assert answer.status_code == 200, answer.text[:500]
        assert len(answer.json()["answers"][0]["results"]) == 37


def test_a_larger_one_is_refused_before_anything_is_read(filled: Stack, now: int) -> None:
    query = make_longest_query(now)
    with expecting_no_harm(filled):
        answer = ask_all(filled, [{**query, "breakdown": ["event"], "limit": 30}] * 20)
    assert (answer.status_code, answer.json()["field"]) == (422, "queries")


def test_whole_buckets_of_a_fixed_period_are_read_in_portions(filled: Stack, now: int) -> None:
    with expecting_no_harm(filled):
        for back in range(3):
            period = {"from": format_minute((now // 60 - HOURS + back) * 60), "to": format_minute(now // 60 * 60)}
            answer = filled.ask("GET", "/v1/metrics/product_views", params={**period, "breakdown": "product_id"})
            assert answer.status_code == 200
            assert answer.json()["results"][0]["total"] == HOURS - back


def test_a_large_request_counts_as_several(filled: Stack, now: int) -> None:
    budgets = []
    for interval, limit in (("hour", 1), ("minute", 30)):
        query = {
            "metric": "events",
            "from": format_minute(now - 2_700),
            "interval": interval,
            "timezone": "UTC",
            "limit": limit,
        }
        answer = ask_all(filled, [{**query, "breakdown": ["event"]}])
        assert answer.status_code == 200
        budgets.append(int(answer.headers["ratelimit-remaining"]))
    assert budgets[0] - budgets[1] > 10
