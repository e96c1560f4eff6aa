"""The recount of `rta reconcile` is what a worker counts, people too: a simulated shop over three days."""

from __future__ import annotations

from datetime import datetime

import pytest

from rtaplatform.core.ledger import PartitionId
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.rollups import BUYERS
from rtaplatform.core.time.buckets import BucketKind
from rtaplatform.operate.reconcile.compared_totals import compare_buckets, compare_metrics
from rtaplatform.operate.reconcile.live_totals import WHOLE, ReconciledTotals
from rtaplatform.operate.reconcile.reconcile_period import ReconcilePeriod, choose_period
from rtaplatform.operate.reconcile.recounted_totals import OpenOrders, find_open_orders, read_totals
from rtaplatform.process.fold.job import EcommerceJob
from rtaplatform.process.worker.worker import Worker
from rtaplatform.simulate.oracle.oracle import Oracle
from rtaplatform.simulate.sent_truth import SentLog
from rtaplatform.simulate.shop.plan import SimulationPlan
from rtaplatform.simulate.traffic import draw_events
from rtaplatform.store.memory.memory_store import MemoryStore
from rtaplatform.stream.memory import MemoryBroker, MemoryLog
from rtaplatform.stream.port import Partition

NOW_MS = int(datetime.fromisoformat("2026-11-29T12:00:00Z").timestamp() * 1000)
PROJECT = ProjectSettings("demo", "Europe/Berlin", "EUR", "sunday")
PERIOD = choose_period(None, None, PROJECT.zone, NOW_MS)
PLAN = SimulationPlan(
    NOW_MS, rate=0.02, users=40, backfill_ms=3 * 86_400_000, late=0.05, duplicates=0.05, malformed=0.03
)
TOPICS = dict.fromkeys(("rta.events.web", "rta.events.mobile", "rta.events.server"), 2)


@pytest.fixture(scope="module")
def counts() -> tuple[ReconciledTotals, ReconciledTotals, OpenOrders]:
    """What a worker has in its store, the recount, and the orders of which either report may count."""
    oracle = Oracle({"demo": {"zone": PROJECT.zone, "currency": PROJECT.currency, "week_start": PROJECT.week_start}})
    broker, log = MemoryBroker(TOPICS), SentLog(TOPICS)
    store = MemoryStore(1)
    starts = {PartitionId(topic_id, number): 0 for topic_id in broker.ids.values() for number in range(2)}
    store.begin(0, expected="", generation="g1", topics=dict(broker.ids), starts=starts)
    store.set_projects([PROJECT], "v1")
    records = MemoryLog(broker, 500)
    records.assign(broker.list_partitions())
    job = EcommerceJob()
    worker = Worker(records, records, store, shards=1, job=job, sleep=lambda _: None, clock=lambda: 0.0)
    for number, record in enumerate(draw_events(PLAN)):
        placed = log.assign_offset(record)
        oracle.add(placed)
        broker.append(Partition(placed.topic, placed.partition), record.timestamp, record.key, record.value)
        if number % 200 == 0:
            worker.turn()
    while not (worker.is_settled and _has_read_all(worker, broker)):
        worker.turn()
    recount = read_totals(
        oracle.truth.projects["demo"], oracle.truth.origins["demo"], oracle.truth.count_people("demo"), PERIOD
    )
    return _read_live(store, PERIOD), recount, find_open_orders(oracle.truth.alternatives["demo"], PERIOD)


def _has_read_all(worker: Worker, broker: MemoryBroker) -> bool:
    return all(worker.positions.find_next_read_offset(p) == len(of) for p, of in broker.records.items())


def _read_live(store: MemoryStore, period: ReconcilePeriod) -> ReconciledTotals:
    totals = store.shards[0].totals
    live = ReconciledTotals()
    for rollup in WHOLE:
        for kind, starts in period.starts.items():
            if kind is not BucketKind.MINUTE:
                live.cells |= {(rollup.name, kind, start): {} for start in starts}
    for key, fields in totals.cells.items():
        if (key.rollup, key.kind, key.start) in live.cells:
            live.cells[key.rollup, key.kind, key.start] = dict(fields)
    for sketch, members in totals.sketches.items():
        of_all = sketch.dimension in ("", BUYERS) and not sketch.value
        if of_all and sketch.kind is BucketKind.DAY and sketch.start in period.starts[BucketKind.DAY]:
            live.persons[sketch.dimension, sketch.kind, sketch.start] = len(set(members))
    return live


def test_no_bucket_differs(counts: tuple[ReconciledTotals, ReconciledTotals, OpenOrders]) -> None:
    live, recount, orders = counts
    assert list(compare_buckets(live, recount, with_people=True, orders=orders)) == []


def test_either_report_of_an_order_may_count_and_no_other_amount(
    counts: tuple[ReconciledTotals, ReconciledTotals, OpenOrders],
) -> None:
    live, recount, orders = counts
    assert orders.more
    place = next(p for p in orders.more if p[:2] == ("activity", BucketKind.DAY) and p in live.cells)
    name = next(name for name in orders.more[place] if name.startswith("revenue"))
    changed = ReconciledTotals(live.cells | {place: live.cells[place] | {name: 10**9}})
    assert list(compare_buckets(changed, recount, with_people=True, orders=orders)) != []


def test_no_metric_differs_and_nearly_all_were_counted(
    counts: tuple[ReconciledTotals, ReconciledTotals, OpenOrders],
) -> None:
    live, recount, orders = counts
    rows = compare_metrics(live, recount, with_people=True, ids=live.persons, orders=orders)
    assert [row for row in rows if not row.is_equal] == []
    assert sum(bool(row.recount) for row in rows) > len(rows) - 5
