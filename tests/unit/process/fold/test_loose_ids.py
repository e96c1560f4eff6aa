"""Loose ids, of events without an own time or with one far from stream time: known for 24 hours, read one by one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from struct import Struct
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rtaplatform.core.ledger import DEDUP_PARTITIONS, PartitionId
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.time.buckets import HOUR_MS, MINUTE_MS
from rtaplatform.core.time.timestamps import format_iso_utc
from rtaplatform.core.values.murmur2 import find_buckets
from rtaplatform.process.fold.dedup import WINDOW_MS, Lookup, plan_lookup
from rtaplatform.process.fold.loose_ids import ABSENT, LooseIds, blank_expired, make_loose_writes
from rtaplatform.process.worker.limits import WorkerLimits
from rtaplatform.process.worker.worker import Worker
from rtaplatform.store.memory.memory_store import MemoryStore
from rtaplatform.store.port import LooseIdQuery, LooseWrite
from rtaplatform.stream.memory import MemoryBroker, MemoryLog
from rtaplatform.stream.port import Partition
from tests.comparison import compute_expected, find_differences, read_memory_totals
from tests.examples import count_examples
from tests.unit.process.decode.odd_records import (
    DAY,
    HOUR,
    NOW,
    Sent,
    count_by_a_worker,
    count_by_the_oracle,
    make_log,
)

WEB = "rta.events.web"
SET = "demo:rta.events.web:3"


# Where an id is looked for ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hours", "is_in_block", "is_loose", "is_near"),
    [
        (-500 * 24, False, True, False), (-72.001, False, True, False), (-72, True, True, False),
        (-48.001, True, True, False), (-48, True, True, True), (-47.001, True, True, True),
        (-47, True, False, True), (0, True, False, True), (1, True, False, True),
        (1.001, True, True, True), (25, True, True, True), (25.001, True, True, False),
        (26, True, True, False), (26.001, False, True, False), (500 * 24, False, True, False),
    ],
)  # fmt: skip
def test_where_an_id_is_looked_up(hours: float, is_in_block: bool, is_loose: bool, is_near: bool) -> None:
    own_ms = NOW + int(hours * HOUR_MS)
    block = f"{SET}:{own_ms // MINUTE_MS}" if is_in_block else ""
    assert plan_lookup("demo", WEB, 3, own_ms, NOW) == Lookup(block, SET if is_loose else "", is_near)


def test_without_an_own_time_an_id_is_loose_at_any_stream_time() -> None:
    for stream_time_ms in (0, HOUR_MS, NOW):
        assert plan_lookup("demo", WEB, 3, -1, stream_time_ms) == Lookup("", SET, is_near=False)


owns = st.integers(-80 * HOUR, 40 * HOUR)
edges = st.sampled_from([hours * HOUR + ms for hours in (-73, -72, -48, -47, 1, 24, 25, 26) for ms in (-1, 0, 1)])


@given(st.one_of(owns, edges), st.integers(-HOUR, WINDOW_MS - 1))
@example(25 * HOUR + 1, WINDOW_MS - 1)
def test_an_id_is_looked_up_where_it_was_written_for_a_day_and_an_hour_back(ahead: int, later: int) -> None:
    first, again = plan_lookup("demo", WEB, 3, NOW + ahead, NOW), plan_lookup("demo", WEB, 3, NOW + ahead, NOW + later)
    assert again.block == first.block if first.is_near else again.loose == first.loose
    assert (first.block if first.is_near else first.loose) != ""


# The rule, as the oracle has it -------------------------------------------------------------------------------------


def make_event(own: Any, message_id: str = "m") -> bytes:
    """Its `timestamp` is no time, so that the record's counts, and `own` decides nothing else."""
    message = {"projectId": "demo", "type": "page", "anonymousId": "a", "messageId": message_id, "timestamp": "none"}
    return json.dumps({**message, "originalTimestamp": own}).encode()


steps = st.sampled_from(
    [0, 1, MINUTE_MS, HOUR - 1, HOUR, HOUR + 1, 11 * HOUR, 23 * HOUR, DAY - 1, DAY, DAY + 1, 3 * DAY]
)


@given(st.one_of(owns, edges, st.none()), st.lists(steps, max_size=8), st.integers(1, 3))
@settings(max_examples=count_examples(80), deadline=None)
def test_an_id_counts_once_in_a_day_of_stream_time(ahead: int | None, apart: list[int], batch_max: int) -> None:
    """The plain rule for one id: known from when it counted until 24 hours of stream time have gone by."""
    own = None if ahead is None else NOW + ahead
    records = [Sent(WEB, b"k", make_event(own), ms, False) for ms in (0, *apart)]
    now, counted_at, repeats = NOW, NOW, 0
    for ms in apart:
        now += ms
        if now - counted_at < WINDOW_MS:
            repeats += 1
        else:
            counted_at = now
    broker = make_log(records)
    assert count_by_the_oracle(broker).projects["demo"].totals["duplicate"] == repeats
    assert read_memory_totals(count_by_a_worker(broker, batch_max=batch_max)).counts.get("demo|duplicate", 0) == repeats


some_owns = st.one_of(st.none(), st.sampled_from(["2000-01-01", "2049-05-05", "nonsense"]), owns, edges)
odd = st.lists(st.tuples(st.sampled_from("abc"), some_owns, steps), max_size=20)


@given(odd, st.integers(1, 7))
@settings(max_examples=count_examples(80), deadline=None)
def test_workers_and_oracle_agree_on_ids_of_any_time(sends: list[tuple[str, Any, int]], batch_max: int) -> None:
    """Also those that share a block, whose life others prolong."""
    records = []
    for message_id, own, apart_ms in sends:
        at = NOW + own if isinstance(own, int) else own
        records.append(Sent(WEB, b"k", make_event(at, message_id), apart_ms, False))
    broker = make_log(records)
    totals, truth = read_memory_totals(count_by_a_worker(broker, batch_max=batch_max)), count_by_the_oracle(broker)
    assert find_differences(totals, compute_expected(truth)) == []


# What is read -------------------------------------------------------------------------------------------------------


class Asked(MemoryStore):
    """Notes what is read of ids."""

    def __init__(self) -> None:
        super().__init__()
        self.loose_calls: list[int] = []  # how many ids each asked for
        self.block_bytes = 0

    def read_loose_ids(self, shard: int, generation: str, query: LooseIdQuery) -> list[list[int]]:
        self.loose_calls.append(sum(len(ids) for _, ids in query))
        return super().read_loose_ids(shard, generation, query)

    def read_blocks(self, shard: int, generation: str, names: Sequence[str]) -> list[bytes]:
        blocks = super().read_blocks(shard, generation, names)
        self.block_bytes += sum(map(len, blocks)) + sum(map(len, names))
        return blocks


class Site:
    """A worker over one topic."""

    def __init__(self) -> None:
        self.store, self.broker = Asked(), MemoryBroker({WEB: 2})
        topic_id = self.broker.ids[WEB]
        starts = {PartitionId(topic_id, n): 0 for n in range(2)}
        self.store.begin(0, expected="", generation="g1", topics={WEB: topic_id}, starts=starts)
        self.store.set_projects([ProjectSettings("demo")], "v1")
        log = MemoryLog(self.broker, 1_000)
        log.assign(self.broker.list_partitions())
        limits = WorkerLimits(dedup_ids_cached_max=1_000)
        self.worker = Worker(log, log, self.store, shards=1, limits=limits, sleep=lambda _: None, clock=lambda: 0.0)

    def count(self, values: list[bytes], at: int = NOW) -> None:
        for n, value in enumerate(values):
            self.broker.append(Partition(WEB, n % 2), at, b"k", value)
        for _ in range(2 + len(values)):
            self.worker.turn()
        assert self.worker.is_settled
        assert not self.worker.positions.stops

    def read_counts(self) -> dict[str, int]:
        return self.store.shards[0].totals.counts


def test_ten_untimed_events_read_ten_ids_among_a_million() -> None:
    site = Site()
    loose = site.store.shards[0].totals.loose
    name = plan_lookup("demo", WEB, _find_dedup_partition(b"k"), -1, NOW).loose
    loose[name] = dict.fromkeys(map(Struct(">Q").pack, range(1_000_000)), NOW - HOUR)
    site.count([make_event(None, f"m-{n}") for n in range(10)])
    assert sum(site.store.loose_calls) == 10
    assert site.store.block_bytes == 0
    assert len(loose[name]) == 1_000_010
    site.count([make_event(None, f"m-{n}") for n in range(10)], NOW + HOUR)
    assert sum(site.store.loose_calls) == 20
    assert site.read_counts()["demo|duplicate"] == 10


def _find_dedup_partition(key: bytes) -> int:
    return int(find_buckets([key], DEDUP_PARTITIONS)[0])


def test_one_call_reads_the_ids_of_a_batch() -> None:
    site = Site()
    for n in range(50):
        site.broker.append(Partition(WEB, n % 2), NOW, b"k%d" % n, make_event(None, f"m-{n}"))
    site.worker.turn()
    site.worker.turn()
    assert sum(site.store.loose_calls) == 50
    assert len(site.store.loose_calls) <= 2


def test_ids_with_absurd_times_make_no_block_and_are_not_cached() -> None:
    site = Site()
    site.count([make_event(format_iso_utc(NOW + 30 * DAY + n * MINUTE_MS), f"m-{n}") for n in range(500)])
    totals = site.store.shards[0].totals
    assert not totals.blocks
    assert {name: len(ids) for name, ids in totals.loose.items()} == {f"demo:{WEB}:{_find_dedup_partition(b'k')}": 500}
    assert len(site.worker._parts.caches[0].blocks) == 0


def test_loose_ids_are_forgotten_after_a_day() -> None:
    site = Site()
    site.count([make_event(None, f"m-{n}") for n in range(500)])
    site.count([make_event(format_iso_utc(NOW + DAY), f"timed-{n}") for n in range(2)], NOW + DAY)
    assert not any(site.store.shards[0].totals.loose.values())


# The copies of a worker ---------------------------------------------------------------------------------------------


def write(*ids: tuple[int, int, int]) -> LooseWrite:
    """Of (id, expected, written)."""
    columns = [list(column) for column in zip(*ids, strict=True)]
    return LooseWrite(SET, [n.to_bytes(8, "little") for n in columns[0]], columns[1], columns[2])


def make_fetch(written: int) -> Any:
    return lambda query: [[written] * len(ids) for _, ids in query]


def test_ids_in_flight_are_as_the_batch_wrote_them() -> None:
    for in_store in (ABSENT, 7):
        ids = LooseIds()
        ids.accept([write((1, ABSENT, 7), (2, 5, ABSENT))])
        ids.load([(SET, 1)], make_fetch(in_store))
        assert ids[(SET, 1)] == 7
    ids.load([(SET, 2)], make_fetch(5))
    assert ids[(SET, 2)] == 5


def test_each_id_is_fetched_once_a_batch_and_again_by_the_next() -> None:
    ids, id_counts = LooseIds(), list[int]()

    def fetch(sets: LooseIdQuery) -> list[list[int]]:
        id_counts.append(sum(len(ids_of_set) for _, ids_of_set in sets))
        return [[ABSENT] * len(ids_of_set) for _, ids_of_set in sets]

    ids.load([(SET, 1), (SET, 2), (SET, 1)], fetch)
    ids.load([(SET, 2), ("demo:t:4", 2)], fetch)
    assert ids.list_missing([(SET, 1), ("demo:t:5", 1)]) == [("demo:t:5", 1)]
    ids.accept([])
    ids.load([(SET, 1)], fetch)
    assert id_counts == [2, 1, 1]
    ids.clear()
    assert len(ids) == 0


def test_all_ids_that_were_read_are_compared_and_new_ones_written() -> None:
    other = ("demo:t:4", 9)
    assert make_loose_writes({(SET, 1): ABSENT, (SET, 2): 5, other: ABSENT}, {(SET, 1): 7, other: 8}) == [
        write((1, ABSENT, 7), (2, 5, ABSENT)),
        LooseWrite("demo:t:4", [(9).to_bytes(8, "little")], [ABSENT], [8]),
    ]


def test_loose_ids_that_would_be_forgotten_at_once_are_compared_and_not_written() -> None:
    writes = [write((1, ABSENT, 1_000), (2, 5, 1_001))]
    assert blank_expired(writes, {f"{WEB}:3": 1_000}) == [write((1, ABSENT, ABSENT), (2, 5, 1_001))]
    assert blank_expired(writes, {f"{WEB}:4": 1_000}) == writes
