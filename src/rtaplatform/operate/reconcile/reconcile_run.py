"""`rta reconcile`: the live totals of a period against a recount of the log by the oracle.   Names adapters.

The live totals and the positions that they include are read at one moment. Then the log is read up to exactly these
positions, so workers may go on meanwhile. The oracle shares no code with them.
Limits: ids, orders and persons of everything that is read are held in memory. One core counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from rtaplatform.core.control_records import ErasureRecord
from rtaplatform.core.errors import SetupError
from rtaplatform.core.time.buckets import BucketKind
from rtaplatform.operate.reconcile.compared_totals import (
    ComparedMetric,
    DifferingBucket,
    compare_buckets,
    compare_metrics,
)
from rtaplatform.operate.reconcile.live_totals import LiveTotals, Place, read_live, read_project
from rtaplatform.operate.reconcile.log_in_order import LogExtent, LogInOrder
from rtaplatform.operate.reconcile.reconcile_period import ReconcilePeriod, choose_period
from rtaplatform.operate.reconcile.recounted_totals import find_open_orders, read_totals
from rtaplatform.operate.reconcile.set_aside_records import read_set_aside
from rtaplatform.process.fold.job import ECOMMERCE_JOB
from rtaplatform.settings import KafkaSettings, StoreSettings
from rtaplatform.simulate.oracle.oracle import ConsumedRecord, Oracle
from rtaplatform.simulate.oracle.oracle_truth import ProjectTruth
from rtaplatform.stream.kafka.broker import Broker
from rtaplatform.stream.kafka.partition_reader import KafkaPartitions

DEDUP_MS, ORDERS_MS = 24 * 3_600_000, 7 * 24 * 3_600_000
_SHOW_EVERY = 2_000
Show = Callable[[int, int], None]


@dataclass(frozen=True)
class ReconcileRequest:
    """`back_ms`: how long before the period reading begins; None: at the beginning of what the totals include."""

    project: str
    first: date | None = None
    last: date | None = None
    back_ms: int | None = None


@dataclass
class Reconciliation:
    """The result for one project. `remarks`: what the reader must know to judge it."""

    live: LiveTotals
    period: ReconcilePeriod
    metrics: list[ComparedMetric] = field(default_factory=list)
    buckets: list[DifferingBucket] = field(default_factory=list)
    records: int = 0
    read_from_ms: int | None = None
    remarks: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def is_equal(self) -> bool:
        return not self.buckets and all(metric.is_equal for metric in self.metrics)

    def as_dict(self) -> dict[str, Any]:
        """Return it in a form that JSON can hold."""
        return {
            "project": self.live.project.slug,
            "from": str(self.period.first_day),
            "to": str(self.period.last_day),
            "zone": self.live.project.zone,
            "equal": self.is_equal,
            "metrics": [metric._asdict() | {"difference": metric.difference} for metric in self.metrics],
            "buckets": [bucket._asdict() for bucket in self.buckets[:1_000]],
            "differing_buckets": len(self.buckets),
            "records": self.records,
            "read_from": None if self.read_from_ms is None else show_moment(self.read_from_ms),
            "remarks": self.remarks,
            "seconds": round(self.seconds, 1),
        }


def reconcile(
    kafka: KafkaSettings, store: StoreSettings, request: ReconcileRequest, *, show: Show, is_stopped: Callable[[], bool]
) -> Reconciliation:
    """Compare one project. Raises SetupError, NotFound, Unavailable, Stopped."""
    started_at, now_ms = time.monotonic(), time.time_ns() // 1_000_000
    zone = read_project(store, request.project).zone
    period = choose_period(request.first, request.last, zone, now_ms)
    live = read_live(store, request.project, period)
    _require_whole(live)
    reader = KafkaPartitions(kafka)
    log = LogInOrder(reader, Broker(kafka).find_offsets)
    try:
        since_ms = None if request.back_ms is None else period.begin * 60_000 - request.back_ms
        extents = log.find_extents(live.starts, live.ends, since_ms)
        result = Reconciliation(live, period)
        oracle = _make_oracle(live, period)
        for origin in read_set_aside(kafka):
            oracle.set_aside(origin)
        _count(log, extents, oracle, result, show, is_stopped)
    finally:
        reader.close()
    _compare(result, oracle, extents, request)
    result.seconds = time.monotonic() - started_at
    return result


def _require_whole(live: LiveTotals) -> None:
    if live.is_torn:
        raise SetupError(
            f"Shard {live.shard} is torn: a call died half-way, so its totals are not to be trusted.",
            "docs/how-to/recover-a-torn-shard.md",
            exit_code=4,
        )


def _make_oracle(live: LiveTotals, period: ReconcilePeriod) -> Oracle:
    rules = {"zone": live.project.zone, "currency": live.project.currency, "week_start": live.project.week_start}
    starts_by_kind = {kind.name.lower(): frozenset(starts) for kind, starts in period.starts.items()}
    return Oracle({live.project.slug: rules}, counts=lambda kind, start: start in starts_by_kind[kind])


def _count(
    log: LogInOrder,
    extents: list[LogExtent],
    oracle: Oracle,
    result: Reconciliation,
    show: Show,
    is_stopped: Callable[[], bool],
) -> None:
    total = sum(extent.end - extent.begin for extent in extents)
    for record in log.read_records(extents):
        if isinstance(record, ConsumedRecord):
            oracle.add(record)
            result.records += 1
            if result.read_from_ms is None:
                result.read_from_ms = record.timestamp
        elif isinstance(record, ErasureRecord):
            oracle.erase(record.project_id, record.user_id, record.anonymous_ids)
        if result.records % _SHOW_EVERY == 0:
            show(result.records, total)
            if is_stopped():
                raise SetupError("Stopped before the end.", "Run it again: it changes nothing.")


def _compare(result: Reconciliation, oracle: Oracle, extents: list[LogExtent], request: ReconcileRequest) -> None:
    slug, period, live = request.project, result.period, result.live
    truth = oracle.truth.projects[slug]
    recount = read_totals(truth, oracle.truth.origins[slug], oracle.truth.count_people(slug), period)
    records_lost = sum(extent.lost for extent in extents)
    with_people = ECOMMERCE_JOB.counts_people and not records_lost and request.back_ms is None
    orders = find_open_orders(oracle.truth.alternatives[slug], period)
    ids = _count_ids(truth, period)
    result.metrics = compare_metrics(live.totals, recount, with_people=with_people, ids=ids, orders=orders)
    result.buckets = list(compare_buckets(live.totals, recount, with_people=with_people, orders=orders))
    result.remarks = list(_list_remarks(result, records_lost, with_people))


def _count_ids(truth: ProjectTruth, period: ReconcilePeriod) -> Mapping[Place, int]:
    days = set(period.starts[BucketKind.DAY])
    return {
        (name, BucketKind.DAY, start): len(ids)
        for name, by_place in (("", truth.persons), ("buyers", truth.buyers))
        for (kind, start, dimension, _), ids in by_place.items()
        if kind == "day" and start in days and not dimension
    }


def _list_remarks(result: Reconciliation, records_lost: int, with_people: bool) -> list[str]:
    lines = []
    begin_ms = result.period.begin * 60_000
    if records_lost:
        lines.append(f"The log has lost {records_lost:,} records that the totals include.")
    if result.read_from_ms is not None:
        reach_ms = begin_ms - result.read_from_ms
        if (records_lost or reach_ms > 0) and reach_ms < DEDUP_MS:
            lines.append("That is less than 24 hours before the period: repeats of older events count as new.")
        elif (records_lost or reach_ms > 0) and reach_ms < ORDERS_MS:
            lines.append("That is less than 7 days before the period: repeats of older orders count as new.")
    if not with_people:
        lines.append("Active users, cohorts and sessions are not compared: they need everything from the beginning.")
    lines += [f"{subject} is stopped: {reason}" for subject, reason in sorted(result.live.stops.items())]
    return lines


def show_moment(time_ms: int) -> str:
    """Return the time as ISO 8601 in UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
