"""Two hours of simulated traffic, as a worker has counted it and as the oracle has, and questions about it."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import Any

from rtaplatform.analytics.answer.engine import Engine
from rtaplatform.analytics.ask.parse import parse_parameters
from rtaplatform.analytics.freshness.log_ends import LogInstant
from rtaplatform.analytics.freshness.tracker import FreshnessTracker
from rtaplatform.core.query import Answer
from rtaplatform.simulate.oracle.oracle_truth import Truth
from rtaplatform.simulate.shop.plan import SimulationPlan
from rtaplatform.simulate.traffic import draw_events
from rtaplatform.store.memory.memory_store import MemoryStore
from rtaplatform.stream.memory import MemoryBroker
from rtaplatform.stream.port import Partition
from tests.unit.process.decode.odd_records import TOPICS, count_by_a_worker, count_by_the_oracle

NOW_MS = 1_795_000_000_000
PLAN = SimulationPlan(NOW_MS - 2 * 3_600_000, rate=0.3, users=30, products=10, seed=5)
DAY = "2026-11-18"
Counted = tuple[MemoryStore, Truth]


@cache
def count_traffic() -> Counted:
    """Read it only: other modules of tests ask the same store."""
    broker = MemoryBroker(TOPICS)
    for record in draw_events(PLAN):
        if record.timestamp > NOW_MS:
            break
        broker.append(Partition(record.topic, 0), record.timestamp, record.key, record.value)
    return count_by_a_worker(broker), count_by_the_oracle(broker)


def make_engine(store: MemoryStore) -> Engine:
    return Engine(store, FreshnessTracker(), lambda: LogInstant(NOW_MS, NOW_MS / 1_000))


def ask(store: MemoryStore, metric: str, **parameters: str) -> Answer:
    query = parse_parameters(metric, [("from", DAY), ("limit", "1000"), *parameters.items()])
    return asyncio.run(make_engine(store).answer("demo", [query]))[0]


def read_totals(answer: Answer) -> dict[tuple[str, ...], Any]:
    return {tuple(row.dimensions.values()): row.total for row in answer.results}
