"""A partition that lags and does not move is sought again, once, and later where others keep us busy."""

from __future__ import annotations

import pytest

from rtaplatform.core.ledger import LedgerRow, PartitionId
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.process.worker.stalls import (
    BUSY_SECONDS,
    IDLE_SECONDS,
    ORPHANED_SECONDS,
    StallDetector,
    UnownedPartitions,
    lagging,
    partitions_of,
)
from rtaplatform.process.worker.worker import Worker
from rtaplatform.store.memory.memory_store import MemoryStore
from rtaplatform.store.port import SCHEMA, ShardState
from rtaplatform.stream.memory import MemoryBroker, MemoryLog
from rtaplatform.stream.port import OffsetRange, Partition
from tests.simulation.faults import begun

A, B = Partition("web", 0), Partition("web", 1)
EXTENTS = {A: OffsetRange(PartitionId("web-1", 0), 0, 10, 2), B: OffsetRange(PartitionId("web-1", 1), 0, 10, 2)}


def test_what_lags_and_does_not_move_is_named_once() -> None:
    standing = StallDetector()
    assert standing.look({A: 4, B: 10}, EXTENTS, 0.0, is_idle=True) is None
    assert standing.look({A: 4, B: 10}, EXTENTS, IDLE_SECONDS, is_idle=True) == A
    assert standing.look({A: 4, B: 10}, EXTENTS, 3 * IDLE_SECONDS, is_idle=True) is None
    standing.look({A: 5, B: 10}, EXTENTS, 100.0, is_idle=True)
    assert standing.look({A: 5, B: 10}, EXTENTS, 100.0 + IDLE_SECONDS, is_idle=True) == A


def test_what_moves_or_is_at_the_end_is_not() -> None:
    standing = StallDetector()
    for second in range(100):
        assert standing.look({A: second % 10, B: 10}, EXTENTS, float(second), is_idle=True) is None


def test_beside_busy_ones_it_has_time() -> None:
    standing = StallDetector()
    standing.look({A: 4, B: 4}, EXTENTS, 0.0, is_idle=False)
    assert standing.look({A: 4, B: 9}, EXTENTS, BUSY_SECONDS - 1, is_idle=False) is None
    assert standing.look({A: 4, B: 9}, EXTENTS, BUSY_SECONDS, is_idle=False) == A


def state(*offsets: int) -> ShardState:
    ledger = {PartitionId("web-1", n): LedgerRow(at, at - 1, 0, "ff", 0, 0).text() for n, at in enumerate(offsets)}
    return ShardState("g", SCHEMA, 1, {"web": "web-1"}, {}, ledger, False, "v", {})


def test_orphans_are_those_that_lag_in_any_shard_and_that_nobody_moves() -> None:
    assert partitions_of([state(4, 10), state(4)]) == {A, B}
    assert lagging({0: state(4, 10), 1: state(10)}, EXTENTS) == {(0, A, 4), (1, B, 0)}
    orphans = UnownedPartitions()
    rows = lagging({0: state(4, 10)}, EXTENTS)
    looks = [orphans.look(rows, second) for second in (0.0, ORPHANED_SECONDS - 1, ORPHANED_SECONDS)]
    assert looks == [False, False, True]
    assert not orphans.look(rows, ORPHANED_SECONDS + 1), "it has just joined anew"
    assert orphans.look(rows, 2 * ORPHANED_SECONDS)


def test_where_somebody_moves_them_or_nothing_is_left_there_are_no_orphans() -> None:
    orphans = UnownedPartitions()
    assert not any(orphans.look(lagging({0: state(n % 9, 10)}, EXTENTS), n * ORPHANED_SECONDS) for n in range(9))
    assert not any(orphans.look(lagging({0: state(10, 10)}, EXTENTS), n * ORPHANED_SECONDS) for n in range(9))


@pytest.mark.parametrize(("records", "ours", "joins"), [(5, False, True), (0, False, False), (5, True, False)])
def test_a_worker_that_has_none_joins_anew_where_nobody_moves_them(records: int, ours: bool, joins: bool) -> None:
    broker, store, seconds = MemoryBroker({"rta.events.web": 1}), MemoryStore(1), iter(range(0, 10_000, 3))
    store.begin(0, expected="", generation="g1", topics=dict(broker.ids), starts={})
    store.set_projects([ProjectSettings("demo")], "v1")
    partition, log = Partition("rta.events.web", 0), MemoryLog(broker)
    broker.append(partition, 0, b"k", b"{}")
    log.assign([partition])
    worker = Worker(
        log, log, store, shards=1, begin=begun, sleep=lambda _: None, clock=lambda: float(next(seconds))
    )  # fmt: skip
    for _ in range(5):
        worker.turn()
    for _ in range(records):
        broker.append(partition, 0, b"k", b"{}")
    log.assign([partition] if ours else [])
    for _ in range(60):
        worker.turn()
    assert (log.rejoined > 0) == joins
