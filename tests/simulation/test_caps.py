"""Buckets that are full: what is in them is right, what is not is told, whatever happens on the way.

Replay one: `./rta test tests/simulation/test_caps.py --seed 17`.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rtaplatform.analytics.answer.engine import Engine
from rtaplatform.analytics.ask.parse import parse_object
from rtaplatform.analytics.freshness.tracker import FreshnessTracker
from rtaplatform.core.caps import CAPS, Caps
from rtaplatform.core.query import Answer
from rtaplatform.core.time.buckets import find_bucket_starts
from rtaplatform.local.servers.valkey import Valkey
from rtaplatform.simulate.oracle.oracle_truth import ProjectTruth
from rtaplatform.store.redis.apply_payload import Retention
from rtaplatform.store.redis.redis_generations import RedisGenerations
from rtaplatform.store.redis.redis_reader import RedisReader
from rtaplatform.store.redis.redis_store import RedisStore
from tests.comparison import SKETCH_ERROR_MAX, compute_expected, find_differences
from tests.contract.conftest import store_settings
from tests.integration.servers import Running
from tests.simulation.capped import FEW, CappedWorld, LargeShop, count_large_shop, make_seats
from tests.simulation.test_redis import RedisHome
from tests.simulation.world import MemoryHome
from tests.unit.analytics.catalog import Catalog, Product
from tests.unit.analytics.shop import Clock

SHOP = LargeShop(products=30_000, names=3_000)
CAPS_OF_SHOP = Caps(products=10_000, products_of_minute=100, combinations=1_000, product_sketch_bytes=2 * 2**20)
DAY_MS = 86_400_000
YESTERDAY_MS = find_bucket_starts(time.time_ns() // 60_000_000_000, "Europe/Berlin").day * 60_000 - DAY_MS + 3_600_000
LARGEST = LargeShop(products=103_000, names=12_000, views_in_event=10, begin_ms=YESTERDAY_MS)
CATEGORIES = 7


def test_what_has_a_seat_is_right_through_crashes_repeats_and_roll_backs(seed: int) -> None:
    wrong = CappedWorld(seed).run()
    assert not wrong, f"seed {seed}: {len(wrong)} differences, the first:\n" + "\n".join(wrong[:20])


def test_the_worlds_fill_their_buckets() -> None:
    others, left_out = Counter[str](), 0
    for seed in range(6):
        world = CappedWorld(seed)
        assert world.run() == []
        totals = world.home.read_totals()
        others.update(
            rollup for (_, rollup, *_), fields in totals.cells.items() if any("\x1e" in name for name in fields)
        )
        left_out += sum("left_out" in name for fields in totals.cells.values() for name in fields)
    assert all(others[rollup] > 10 for rollup in ("activity", "events", "products"))
    assert left_out > 10


class Server(RedisHome):
    """The real server, with caps of our own."""

    def __init__(self, valkey: Running[Valkey], shards: int, caps: Caps) -> None:
        super().__init__(valkey, shards)
        self.store.close()
        self.store = RedisStore(store_settings(valkey, shards), Retention(caps=caps))
        self.generations = RedisGenerations(self.store, shards)


@pytest.fixture
def servers(valkey_server: Running[Valkey]) -> Iterator[list[Any]]:
    """Those that a test has made; they are closed at its end."""
    homes: list[Any] = [valkey_server]
    yield homes
    for home in homes[1:]:
        home.store.close()
        home.tester.close()


@pytest.mark.parametrize("seed_of_caps", range(3))
def test_and_on_the_real_server(seed_of_caps: int, servers: list[Any]) -> None:
    def home(shards: int) -> Server:
        new_home = Server(servers[0], shards, FEW)
        servers.append(new_home)
        return new_home

    start_ms = time.time_ns() // 1_000_000
    wrong = CappedWorld(seed_of_caps, home=home, start_ms=start_ms).run(distinct_tolerance=SKETCH_ERROR_MAX)
    assert not wrong, f"seed {seed_of_caps}: {len(wrong)} differences, the first:\n" + "\n".join(wrong[:20])


# A shop of tens of thousands of products ------------------------------------------------------------------------------


def test_a_large_shop_is_counted_and_asked_for_rightly() -> None:
    home = MemoryHome(1, CAPS_OF_SHOP)
    truth = count_large_shop(SHOP, home)
    assert find_differences(home.read_totals(), compute_expected(truth), seats=make_seats(CAPS_OF_SHOP)) == []
    assert find_wrong_answers(home.store, truth.projects["demo"], SHOP) == []


def test_the_true_caps_on_the_real_server(servers: list[Any]) -> None:
    servers.append(Server(servers[0], 1, CAPS))
    truth = count_large_shop(LARGEST, servers[-1])
    lines = find_differences(
        servers[-1].read_totals(), compute_expected(truth), distinct_tolerance=SKETCH_ERROR_MAX, seats=make_seats(CAPS)
    )
    assert lines == []
    reader = RedisReader(store_settings(servers[0]))
    assert find_wrong_answers(reader, truth.projects["demo"], LARGEST) == []


def find_category(product: str) -> str:
    return f"c{hash_text(product) % CATEGORIES}"


def hash_text(text: str) -> int:
    return sum(text.encode())


def make_catalog(truth: ProjectTruth) -> Catalog:
    products = {product for _, _, product in truth.products}
    return Catalog({product: Product(product, find_category(product), brand="b") for product in products if product})


def recount(truth: ProjectTruth, measure: str, by: Any) -> Counter[str]:
    counts = Counter[str]()
    for (kind, _, product), numbers in truth.products.items():
        if kind == "day" and numbers[measure]:
            counts[by(product)] += numbers[measure]
    return counts


def count_by_name(truth: ProjectTruth) -> Counter[str]:
    counts = Counter[str]()
    for (kind, _, name, *_), numbers in truth.events.items():
        if kind == "day":
            counts[name] += numbers["count"]
    return counts


def find_wrong_answers(reader: Any, truth: ProjectTruth, shop: LargeShop) -> list[str]:
    """Answers that are neither right nor say that they are not exact; and those that say so without need."""
    views, orders = recount(truth, "views", str), recount(truth, "orders", str)
    names = count_by_name(truth)
    assert len(views) > 1_000
    first, last = next(iter(views)), "hit"
    # Question, the rows that are right (None: what the cap leaves is not known), and whether a cap touches it.
    questions: list[tuple[dict[str, Any], dict[str, int], bool]] = [
        ({"metric": "product_views"}, {"": names["Product Viewed"]}, False),
        ({"metric": "orders"}, {"": names["Order Completed"]}, False),
        ({"metric": "page_views"}, {"": names["$page"]}, False),
        ({"metric": "events", "breakdown": ["source"]}, {"web": names.total()}, False),
        ({"metric": "events", "filters": {"event": ["Order Completed"]}}, {"": names["Order Completed"]}, False),
        ({"metric": "events", "breakdown": ["event"], "limit": 3}, dict(names.most_common(3)), True),
        ({"metric": "product_views", "breakdown": ["product_id"], "limit": 1}, dict(views.most_common(1)), True),
        ({"metric": "product_views", "filters": {"product_id": [first]}}, {"": views[first]}, True),
        ({"metric": "product_views", "filters": {"product_id": [last]}}, {"": views[last]}, True),
        (
            {"metric": "product_views", "breakdown": ["product_category"], "limit": 100},
            dict(recount(truth, "views", find_category)), True,
        ),
        (
            {"metric": "product_views", "filters": {"product_category": ["c1"]}},
            {"": recount(truth, "views", find_category)["c1"]}, True,
        ),
        ({"metric": "orders", "breakdown": ["product_id"], "limit": 1}, dict(orders.most_common(1)), True),
        ({"metric": "orders", "breakdown": ["product_brand"]}, {"b": names["Order Completed"]}, True),
    ]  # fmt: skip
    wrong = []
    for question, rows, is_touched in questions:
        answer = ask(reader, truth, shop, question)
        totals = {"".join(row.dimensions.values()): row.total for row in answer.results}
        if answer.meta.exact and totals != rows:
            wrong.append(f"{question}: {str(totals)[:200]} instead of {str(rows)[:200]}, and exact")
        if answer.meta.exact == is_touched or (answer.meta.error is None) != is_touched:
            wrong.append(f"{question}: exact {answer.meta.exact}, error {answer.meta.error}")
    return wrong


def ask(reader: Any, truth: ProjectTruth, shop: LargeShop, question: dict[str, Any]) -> Answer:
    """Of the shop's day, in the evening."""
    clock, day = Clock(shop.begin_ms + 18 * 3_600_000), datetime.fromtimestamp(shop.begin_ms / 1000 + 7_200, UTC).date()
    period = {"from": day.isoformat(), "to": (day + timedelta(days=1)).isoformat()}
    engine = Engine(reader, FreshnessTracker(), clock, make_catalog(truth))

    async def answer() -> Answer:
        (computed_answer,) = await engine.answer("demo", [parse_object({**period, **question})])
        if hasattr(reader, "close"):
            await reader.close()
        return computed_answer

    return asyncio.run(answer())
