"""A batch is as large as the store can take in about half a second, whatever its events cost."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache

import pytest
from pydantic import ValidationError

from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.time.timestamps import format_iso_utc
from rtaplatform.process.worker.limits import BATCH_RECORDS_LIMIT, BatchSize
from rtaplatform.process.worker.worker import Worker
from rtaplatform.settings import WorkerSettings
from rtaplatform.store.memory.memory_store import MemoryStore
from rtaplatform.store.port import Delta, Outcome
from rtaplatform.stream.memory import MemoryBroker, MemoryLog
from rtaplatform.stream.port import Partition

NOW_MS = 1_795_000_000_000
LOG_BATCH = 20_000  # records, the default of the setting


def run_batches(batch_size: BatchSize, find_seconds: Callable[[int], float], times: int) -> list[int]:
    """Send full batches one after the other, of 20,000 records at most, as the log makes them. Return their sizes."""
    sizes = []
    for _ in range(times):
        sizes.append(min(LOG_BATCH, batch_size.records_max))
        batch_size.note_call(find_seconds(sizes[-1]))
        batch_size.adapt(sizes[-1], is_applied=True)
    return sizes


@pytest.mark.parametrize(("us_per_event", "size"), [(10, 20_000), (25, 20_000), (50, 10_000), (200, 2_500)])
def test_calls_come_close_to_half_a_second_and_stay_there(us_per_event: int, size: int) -> None:
    sizes = run_batches(BatchSize(), lambda records: records * us_per_event / 1e6, 8)
    assert sizes == [20_000] + [size] * 7, "the first batch has no limit: it tells what events cost"


def test_sizes_grow_again_at_most_twofold_at_once() -> None:
    batch_size = BatchSize()
    run_batches(batch_size, lambda records: records * 200e-6, 2)
    assert run_batches(batch_size, lambda records: records * 1e-6, 5) == [2_500, 5_000, 10_000, 20_000, 20_000]


def test_a_batch_whose_events_have_nothing_in_common_is_followed_by_a_smaller_one() -> None:
    batch_size = BatchSize()
    run_batches(batch_size, lambda records: records * 20e-6, 12)
    batch_size.note_call(2.5)
    batch_size.adapt(20_000, is_applied=True)
    assert batch_size.records_max == 4_000


def test_a_small_batch_that_met_a_stall_changes_nothing() -> None:
    batch_size = BatchSize()
    run_batches(batch_size, lambda records: records * 50e-6, 3)
    batch_size.note_call(0.6)
    batch_size.adapt(50, is_applied=True)
    assert batch_size.records_max == 10_000


def test_of_several_shards_the_slowest_decides() -> None:
    batch_size = BatchSize()
    for seconds in (0.1, 2.0, 0.3):
        batch_size.note_call(seconds)
    batch_size.adapt(10_000, is_applied=True)
    assert batch_size.records_max == 2_500


def test_a_size_never_falls_below_what_lets_a_worker_catch_up() -> None:
    assert run_batches(BatchSize(), lambda _records: 30.0, 5) == [20_000] + [2_000] * 4


def test_calls_that_fail_at_once_let_no_batch_grow_but_a_call_that_timed_out_makes_it_smaller() -> None:
    batch_size = BatchSize()
    run_batches(batch_size, lambda records: records * 50e-6, 3)
    for _ in range(10):
        batch_size.note_call(0.001)
        batch_size.adapt(10_000, is_applied=False)
    assert batch_size.records_max == 10_000
    batch_size.note_call(1.25)
    batch_size.adapt(10_000, is_applied=False)
    assert batch_size.records_max == 4_000


def test_small_batches_of_a_worker_that_keeps_up_let_nothing_grow() -> None:
    batch_size = BatchSize()
    run_batches(batch_size, lambda records: records * 200e-6, 2)
    for _ in range(10):
        batch_size.note_call(0.002)
        batch_size.adapt(50, is_applied=True)
    assert batch_size.records_max == 2_500


def test_the_limit_is_the_greatest_value_of_the_setting() -> None:
    WorkerSettings(batch_events_max=BATCH_RECORDS_LIMIT)
    with pytest.raises(ValidationError):
        WorkerSettings(batch_events_max=BATCH_RECORDS_LIMIT + 1)


class CostlyStore(MemoryStore):
    """Tells the batch size that each event of a call takes so long."""

    batch_size: BatchSize
    seconds_per_event: float
    sizes: Sequence[int] = ()

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        outcome = super().apply(shard, generation, delta)
        records = sum(n for name, n in delta.counts.items() if name.endswith("|consumed"))
        if records:
            self.sizes = [*self.sizes, records]
            self.batch_size.note_call(records * self.seconds_per_event)
        return outcome


@cache
def _write_events() -> list[bytes]:
    event = {
        "projectId": "demo", "type": "track", "event": "e", "source": "web", "anonymousId": "anna",
        "timestamp": format_iso_utc(NOW_MS), "receivedAt": format_iso_utc(NOW_MS),
    }  # fmt: skip
    return [json.dumps({**event, "messageId": f"m{number}"}).encode() for number in range(40_000)]


@pytest.mark.parametrize(("seconds_per_event", "largest"), [(1e-6, 10_000), (1.3e-4, 3_846), (1e-2, 2_000)])
def test_a_worker_that_catches_up_keeps_to_the_size(seconds_per_event: float, largest: int) -> None:
    partition = Partition("rta.events.web", 0)
    broker, store = MemoryBroker({"rta.events.web": 1}), CostlyStore(1)
    store.batch_size, store.seconds_per_event = BatchSize(), seconds_per_event
    store.begin(0, expected="", generation="g1", topics=dict(broker.ids), starts={})
    store.set_projects([ProjectSettings("demo", "UTC", "EUR")], version="v1")
    for value in _write_events():
        broker.append(partition, NOW_MS, b"demo:anna", value)
    log = MemoryLog(broker, 10_000, 1_000)
    log.assign([partition])
    worker = Worker(log, log, store, shards=1, batch_size=store.batch_size)
    while sum(store.sizes) < 40_000:
        worker.turn()
    # A worker reads ahead while a call runs, so the first two batches are as large as the log makes them.
    assert max(store.sizes[2:]) == largest
    assert store.sizes[:2] == [10_000, 10_000]
