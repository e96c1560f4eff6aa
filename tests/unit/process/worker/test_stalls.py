"""A stalled partition is sought again once, and later if other partitions keep the worker busy."""

from __future__ import annotations

import pytest

from rtaplatform.core.ledger import LedgerRow, PartitionId
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.process.worker.stalls import (
    BUSY_SECONDS,
    IDLE_SECONDS,
    UNOWNED_SECONDS,
    StallDetector,
    UnownedPartitions,
    find_counted_partitions,
    find_lagging_rows,
)
from rtaplatform.process.worker.worker import Worker
from rtaplatform.store.memory.memory_store import MemoryStore
from rtaplatform.store.port import SCHEMA, ShardState
from rtaplatform.stream.memory import MemoryBroker, MemoryLog
from rtaplatform.stream.port import OffsetRange, Partition
from tests.simulation.faults import start_call

A, B = Partition("web", 0), Partition("web", 1)
EXTENTS = {A: OffsetRange(PartitionId("web-1", 0), 0, 10, 2), B: OffsetRange(PartitionId("web-1", 1), 0, 10, 2)}


def test_a_stalled_partition_is_named_once() -> None:
    stalls = StallDetector()
    assert stalls.find_stalled({A: 4, B: 10}, EXTENTS, 0.0, is_idle=True) is None
    assert stalls.find_stalled({A: 4, B: 10}, EXTENTS, IDLE_SECONDS, is_idle=True) == A
    assert stalls.find_stalled({A: 4, B: 10}, EXTENTS, 3 * IDLE_SECONDS, is_idle=True) is None
    stalls.find_stalled({A: 5, B: 10}, EXTENTS, 100.0, is_idle=True)
    assert stalls.find_stalled({A: 5, B: 10}, EXTENTS, 100.0 + IDLE_SECONDS, is_idle=True) == A


def test_a_partition_that_advances_or_is_at_its_end_is_not_stalled() -> None:
    stalls = StallDetector()
    for second in range(100):
        assert stalls.find_stalled({A: second % 10, B: 10}, EXTENTS, float(second), is_idle=True) is None


def test_a_stall_beside_busy_partitions_is_reported_later() -> None:
    stalls = StallDetector()
    stalls.find_stalled({A: 4, B: 4}, EXTENTS, 0.0, is_idle=False)
    assert stalls.find_stalled({A: 4, B: 9}, EXTENTS, BUSY_SECONDS - 1, is_idle=False) is None
    assert stalls.find_stalled({A: 4, B: 9}, EXTENTS, BUSY_SECONDS, is_idle=False) == A


def make_state(*offsets: int) -> ShardState:
    ledger = {PartitionId("web-1", n): LedgerRow(at, at - 1, 0, "ff", 0, 0).to_text() for n, at in enumerate(offsets)}
    return ShardState("g", SCHEMA, 1, {"web": "web-1"}, {}, ledger, False, "v", {})


def test_unowned_partitions_lag_in_a_shard_and_do_not_advance() -> None:
    assert find_counted_partitions([make_state(4, 10), make_state(4)]) == {A, B}
    assert find_lagging_rows({0: make_state(4, 10), 1: make_state(10)}, EXTENTS) == {(0, A, 4), (1, B, 0)}
    unowned = UnownedPartitions()
    rows = find_lagging_rows({0: make_state(4, 10)}, EXTENTS)
    looks = [unowned.must_rejoin(rows, second) for second in (0.0, UNOWNED_SECONDS - 1, UNOWNED_SECONDS)]
    assert looks == [False, False, True]
    assert not unowned.must_rejoin(rows, UNOWNED_SECONDS + 1), "it has just joined anew"
    assert unowned.must_rejoin(rows, 2 * UNOWNED_SECONDS)


def test_partitions_that_advance_or_do_not_lag_are_not_unowned() -> None:
    unowned = UnownedPartitions()
    assert not any(
        unowned.must_rejoin(find_lagging_rows({0: make_state(n % 9, 10)}, EXTENTS), n * UNOWNED_SECONDS)
        for n in range(9)
    )
    assert not any(
        unowned.must_rejoin(find_lagging_rows({0: make_state(10, 10)}, EXTENTS), n * UNOWNED_SECONDS) for n in range(9)
    )


@pytest.mark.parametrize(("records", "ours", "joins"), [(5, False, True), (0, False, False), (5, True, False)])
def test_a_worker_without_partitions_rejoins_if_none_advance(records: int, ours: bool, joins: bool) -> None:
    broker, store, seconds = MemoryBroker({"rta.events.web": 1}), MemoryStore(1), iter(range(0, 10_000, 3))
    store.begin(0, expected="", generation="g1", topics=dict(broker.ids), starts={})
    store.set_projects([ProjectSettings("demo")], "v1")
    partition, log = Partition("rta.events.web", 0), MemoryLog(broker)
    broker.append(partition, 0, b"k", b"{}")
    log.assign([partition])
    worker = Worker(
        log, log, store, shards=1, start_call=start_call, sleep=lambda _: None, clock=lambda: float(next(seconds))
    )  # fmt: skip
    for _ in range(5):
        worker.turn()
    for _ in range(records):
        broker.append(partition, 0, b"k", b"{}")
    log.assign([partition] if ours else [])
    for _ in range(60):
        worker.turn()
    assert (log.rejoined > 0) == joins
