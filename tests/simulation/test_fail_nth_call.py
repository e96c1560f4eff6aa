"""For n = 1, 2, …: the n-th call to log, dead letters or store fails once; the totals are still the oracle's.

The scenario is fixed, so every call of it is hit, before its effect and after it, by a lost answer and by a crash.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from random import Random
from typing import Any

import pytest

from rtaplatform.core.errors import Unavailable
from rtaplatform.core.ledger import PartitionId
from rtaplatform.core.values.murmur2 import find_bucket
from rtaplatform.process.worker.limits import WorkerLimits
from rtaplatform.process.worker.worker import Worker
from rtaplatform.simulate.oracle.oracle import ConsumedRecord
from rtaplatform.store.memory.memory_store import MemoryStore
from rtaplatform.stream.memory import MemoryBroker, MemoryLog
from rtaplatform.stream.port import Partition
from tests.comparison import (
    Totals,
    check_the_law,
    compute_expected,
    find_differences,
    read_memory_totals,
)
from tests.simulation.faults import Crash, start_call
from tests.simulation.home import RULES
from tests.simulation.persons import Values, Witness, find_differing, read_values
from tests.simulation.world import PROJECTS, START_MS, TOPICS, draw_traffic

RECORDS, SHARDS, TURNS_MAX = 61, 2, 400
LATE = b'{"projectId":"demo","type":"page","messageId":"old","anonymousId":"a","timestamp":"2020-01-01"}'
REFUND = (
    b'{"projectId":"other","type":"track","event":"Order Refunded","messageId":"refund","userId":"refunded",'
    b'"properties":{"order_id":"refunded","products":[{"product_id":"p-1","price":2,"quantity":3}]}}'
)
ERRORS: dict[str, Callable[[], BaseException]] = {"unavailable": lambda: Unavailable("redis", "lost"), "crash": Crash}


@dataclass
class Plan:
    """Which call fails, and how; `calls` are those so far, by name."""

    n: int
    error: Callable[[], BaseException]
    is_after: bool
    calls: list[str] = field(default_factory=list)

    def is_now(self) -> bool:
        return len(self.calls) == self.n


class Failing:
    """Between the worker and one of its neighbours: all share the plan."""

    def __init__(self, target: Any, plan: Plan) -> None:
        self._target, self._plan = target, plan

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._target, name)
        return call if name == "read_assignment" else self._make_counted(name, call)

    def _make_counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def attempt(*args: Any, **kwargs: Any) -> Any:
            plan = self._plan
            plan.calls.append(name)
            is_now = plan.is_now()
            if is_now and not plan.is_after:
                raise plan.error()
            result = call(*args, **kwargs)
            if is_now:
                raise plan.error()
            return result

        return attempt


@dataclass
class Scenario:
    """A short log with repeats, late and broken records, and one worker at a time, of five records a turn."""

    plan: Plan
    broker: MemoryBroker = field(default_factory=lambda: MemoryBroker(TOPICS))
    store: MemoryStore = field(default_factory=lambda: MemoryStore(SHARDS))
    clock: float = 0.0

    def run(self) -> list[str]:
        """Everything that is wrong at the end."""
        self.begin()
        worker = self.make_worker()
        for _ in range(TURNS_MAX):
            self.clock += 0.9
            try:
                worker.turn()
            except Crash:
                worker = self.make_worker()
            if self.is_at_the_end() and len(self.plan.calls) > self.plan.n:
                return self.check()
        return [f"the end was not reached; stops: {worker.positions.stops}"]

    def begin(self) -> None:
        for shard in range(SHARDS):
            starts = {PartitionId(topic_id, 0): 0 for topic_id in self.broker.ids.values()}
            self.store.begin(shard, expected="", generation="g1", topics=dict(self.broker.ids), starts=starts)
        self.store.set_projects(PROJECTS, "v1")
        for sent in islice(draw_traffic(7, Random(7), 300.0), RECORDS - 2):
            partition = Partition(sent.topic, find_bucket(sent.key, TOPICS[sent.topic]))
            self.broker.append(partition, sent.timestamp, sent.key, sent.value)
        self.broker.append(Partition("rta.events.web", 0), START_MS, b"k", LATE)
        self.broker.append(Partition("rta.events.server", 0), START_MS, b"k", REFUND)

    def make_worker(self) -> Worker:
        log = MemoryLog(self.broker, batch_max=5, portion_max=2)
        log.assign(self.broker.list_partitions())
        return Worker(
            Failing(log, self.plan),
            Failing(log, self.plan),
            Failing(self.store, self.plan),
            shards=SHARDS,
            start_call=start_call,
            limits=WorkerLimits(dedup_ids_cached_max=10, person_values_cached_max=4),
            sleep=lambda _: None,
            clock=lambda: self.clock,
        )

    def is_at_the_end(self) -> bool:
        ends = {PartitionId(self.broker.ids[p.topic], p.number): len(rs) for p, rs in self.broker.records.items() if rs}
        ledgers = [shard.totals.ledger for shard in self.store.shards]
        return all(int(of.get(place, "0").split("|")[0]) == end for of in ledgers for place, end in ends.items())

    def check(self) -> list[str]:
        totals_in_store, (totals, values) = read_memory_totals(self.store), make_expected()
        wrong = (
            find_differences(totals_in_store, totals)
            + find_differing(read_values(self.store), values)
            + check_the_law(totals_in_store)
        )
        wrong += [
            f"origin {origin} without a dead letter"
            for origin in sorted(totals_in_store.dead - set(self.broker.dead_letters))
        ]
        consumed = sum(n for name, n in totals_in_store.counts.items() if name.endswith("|consumed"))
        return wrong + ([] if consumed == RECORDS else [f"consumed {consumed} of {RECORDS} records"])


@cache
def make_expected() -> tuple[Totals, Values]:
    scenario = Scenario(make_harmless_plan())
    scenario.begin()
    witness = Witness(RULES)
    for p, records in scenario.broker.records.items():
        for r in records:
            witness.add(ConsumedRecord(p.topic, p.number, r.offset, r.timestamp_ms, r.key, r.value))
    return compute_expected(witness.truth), witness.find_values()


def make_harmless_plan() -> Plan:
    return Plan(-1, Crash, False)


def test_the_scenario_has_all_that_can_become_of_a_record() -> None:
    totals = make_expected()[0]
    for outcome in ("applied", "duplicate", "late", "dead", "repeated_order"):
        assert sum(n for name, n in totals.counts.items() if name.endswith(f"|{outcome}")) > 0, outcome
    for rollup, measure in (
        ("activity", "orders"), ("activity", "revenue"), ("activity", "refunds"), ("products", "refunded_units"),
        ("origins", "orders"), ("sessions", "sessions"), ("sessions", "with_order"), ("actives", "dau"),
    ):  # fmt: skip
        numbers = [cell.get(measure, 0) for (_, name, _, _), cell in totals.cells.items() if name == rollup]
        assert sum(numbers) > 0, (rollup, measure)


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("error", ERRORS)
def test_any_call_may_fail_once(error: str, is_after: bool) -> None:
    clean = make_harmless_plan()
    assert Scenario(clean).run() == []
    names = {
        "poll", "read_extents", "seek", "commit", "quarantine", "read_state", "read_blocks", "read_loose_ids",
        "read_persons", "apply",
    }  # fmt: skip
    assert names <= set(clean.calls)
    for n in range(1, len(clean.calls) + 1):
        plan = Plan(n, ERRORS[error], is_after)
        wrong = Scenario(plan).run()
        assert not wrong, f"call {n}, {plan.calls[n - 1]}, {error}: {len(wrong)} differences:\n" + "\n".join(wrong[:20])
