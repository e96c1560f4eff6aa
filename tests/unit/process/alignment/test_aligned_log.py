"""No partition is handed out far ahead of another, and none waits for good."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pytest
from msgspec import structs

from rtaplatform.core.errors import Unavailable
from rtaplatform.core.ledger import LedgerRow, PartitionId
from rtaplatform.process.alignment.aligned_log import AlignedLog
from rtaplatform.process.alignment.backlog import ENDS_SECONDS, RETRY_SECONDS
from rtaplatform.process.alignment.wait_times import WAIT_SECONDS
from rtaplatform.process.worker.limits import WorkerLimits
from rtaplatform.process.worker.positions import Positions
from rtaplatform.process.worker.stalls import UNOWNED_SECONDS
from rtaplatform.store.memory.memory_store import MemoryStore
from rtaplatform.store.port import Advance, Delta
from rtaplatform.stream.memory import MemoryBroker, MemoryLog
from rtaplatform.stream.port import OffsetRange, Partition, PollResult

A, B, C = (Partition("rta.events.web", n) for n in range(3))
HOUR = 3_600_000
START = 1_795_000_000_000
FOREVER = START * 2
MARKER = b"marker"


class DeafLog(MemoryLog):
    """`deaf`: what it does not read, as if brokers did not answer for it. `ends` are told with the next poll.

    A record whose value is MARKER takes an offset, and is not read. It must be a portion by itself.
    """

    deaf: Collection[Partition] = ()
    ends: Mapping[Partition, int] = {}
    held_back: list[set[Partition]] = []  # noqa: RUF012  (replaced below)

    def poll(self, at_most: int | None = None) -> PollResult:
        before, self._next = self._next, {p: n for p, n in self._next.items() if p not in self.deaf}
        polled = super().poll(at_most)
        self._next = before | self._next
        return structs.replace(polled, runs=[run for run in polled.runs if run.values != [MARKER]], ends=self.ends)

    def hold_back(self, partitions: Collection[Partition]) -> None:
        self.held_back = [*self.held_back, set(partitions)]
        super().hold_back(partitions)


class Site:
    """`hours` of each partition's records; the worker owns `ours`, and has counted `rows` of them."""

    def __init__(self, hours: Mapping[Partition, Sequence[float]], ours: Collection[Partition] = (), **limits: Any):
        self.broker, self.store, self.seconds = MemoryBroker({A.topic: 4}), MemoryStore(1), 0.0
        self.store.begin(0, expected="", generation="g", topics=dict(self.broker.ids), starts={})
        self.store.set_projects([], "v1")
        for partition, times in hours.items():
            for hour in times:
                self.broker.append(partition, round(START + hour * HOUR) if hour >= 0 else -1, b"k", b"v")
        self.log = DeafLog(self.broker, 50)
        self.ours = set(ours or hours)
        self.log.assign(self.ours)
        self.aligned = AlignedLog(
            self.log, self.store, structs.replace(WorkerLimits(), **limits), lambda: self.seconds
        )  # fmt: skip
        self.seek()

    def seek(self) -> None:
        state = self.store.read_state(0)
        assert state is not None
        self.positions = Positions.find(self.ours, {0: state}, self.log.read_extents(self.ours))
        self.aligned.seek(self.positions)

    def count(self, partition: Partition, offset: int, hour: float) -> None:
        """Somebody has counted the partition up to there."""
        place = PartitionId(self.broker.ids[A.topic], partition.number)
        before = self.store.shards[0].totals.ledger.get(place, "")
        row = LedgerRow(offset, offset - 1, 0, "", 0, round(START + hour * HOUR)).to_text()
        self.store.apply(0, "g", Delta([Advance(place, before, row)]))

    def read(self, seconds: float = 0.1, at_most: int | None = None) -> list[tuple[Partition, int]]:
        """What the next poll hands out; it is taken."""
        self.seconds += seconds
        polled = self.aligned.poll(at_most)
        self.positions.advance({run.partition: run for run in polled.runs})
        self.positions.skip_to_ends(polled.ends)
        return [(run.partition, offset) for run in polled.runs for offset in run.offsets]

    def read_times(self, polls: int, seconds: float = 0.1) -> list[float]:
        """In hours, of all that is handed out. What comes together is one step."""
        steps = [self.read(seconds) for _ in range(polls)]
        times_ms = (sorted(self.broker.records[p][n].timestamp_ms for p, n in step) for step in steps)
        return [(time_ms - START) / HOUR for step in times_ms for time_ms in step]


def test_the_records_of_days_come_in_the_order_of_hours() -> None:
    """The log delivers one partition to its end before the next."""
    hours: dict[Partition, list[float]] = {
        A: [n / 2 for n in range(200)],
        B: [n * 5 for n in range(20)],
        C: [n / 4 for n in range(400)],
    }
    site = Site(hours)
    times = site.read_times(200)
    assert len(times) == 620
    newest = 0.0
    for time in times:
        assert time >= newest - 1
        newest = max(newest, time)
    assert not site.aligned.held


def test_a_worker_that_is_not_behind_gets_what_the_log_delivers() -> None:
    site = Site({A: [0.0], B: [9.0]})
    for partition in (A, B):
        site.count(partition, 1, 0 if partition == A else 9)
    site.seek()
    for hour in (9, 10):
        site.broker.append(B, START + hour * HOUR, b"k", b"v")
    assert [offset for p, offset in site.read() if p == B] == [0, 1, 2], "also the last one counted, to be compared"
    assert not site.aligned.held


def test_what_is_not_far_apart_is_handed_out_as_it_was_read() -> None:
    """Although all partitions have more to read: nothing is copied, since nothing need be held."""
    site = Site({A: [0.0] * 100, B: [0.5] * 100, C: [1.0] * 100})
    for _ in range(6):
        assert len(site.read()) == 50
        assert not site.aligned.held
    assert site.read() == []


def test_a_portion_that_reaches_too_far_is_held_also_if_others_are_no_longer_waited_for() -> None:
    site = Site({A: [0, 0, 3], B: [0, 1, 2], C: [0]})
    assert site.read_times(9) == [0, 0, 0, 0, 1, 2, 3]


def test_no_more_is_handed_out_than_was_asked_for() -> None:
    site = Site({A: [0, 0, 0, 9], B: [0, 0, 8]})
    sizes = [len(site.read(at_most=2)) for _ in range(12)]
    assert sum(sizes) == 7
    assert max(sizes) == 2


def test_a_batch_ends_in_time_also_with_what_was_held() -> None:
    site = Site({A: [9] * 40, B: [0]}, batch_records_max=10)
    open_batch, batches = 0, []
    for _ in range(40):
        polled = site.aligned.poll(5)
        site.positions.advance({run.partition: run for run in polled.runs})
        open_batch += sum(map(len, polled.runs))
        if polled.is_whole:
            batches.append(open_batch)
            open_batch = 0
    assert sum(batches) == 41
    assert max(batches) <= 14


def test_what_was_held_and_what_was_not_share_the_room_of_a_batch() -> None:
    """What the log delivers afterwards goes into the batch that the held records have begun."""
    site = Site({A: [9] * 40, B: [0], C: [9] * 50}, batch_records_max=50)
    site.log.deaf = {B, C}
    while len(site.aligned.held) < 1:
        site.read()
    site.log.deaf = {C}
    open_batch, batches = 0, []
    for step in range(60):
        site.log.deaf = {C} if step < 9 else ()
        polled = site.aligned.poll(5)
        site.positions.advance({run.partition: run for run in polled.runs})
        open_batch += sum(map(len, polled.runs))
        if polled.is_whole and polled.runs:
            batches.append(open_batch)
            open_batch = 0
    assert sum(batches) + open_batch == 91
    assert max(batches) <= 54


def test_the_end_of_a_partition_waits_for_its_records() -> None:
    """Behind it are markers of transactions. Told too soon, it would say that the held records were read."""
    site = Site({A: [0], B: [9]})
    site.log.deaf, site.log.ends = {A}, {B: 3}
    assert site.read() == []
    assert site.positions.find_next_read_offset(B) == 0
    site.log.deaf, site.log.ends = (), {}
    while B in site.aligned.held:
        site.read()
    assert site.positions.find_next_read_offset(B) == 3


def test_a_partition_that_does_not_advance_is_waited_for_twenty_seconds() -> None:
    site = Site({A: [0, 5], B: [9, 10]})
    site.log.deaf = {A}
    polls = 0
    while not site.read(seconds=1.0):
        polls += 1
    assert polls == pytest.approx(WAIT_SECONDS, abs=2)
    assert WAIT_SECONDS < UNOWNED_SECONDS, "a worker without partitions would rejoin while others wait"
    site.seek()
    assert site.read() == [(B, 0), (B, 1)], "it is still at the same offset"
    site.log.deaf = ()
    assert site.read() == [(A, 0), (A, 1)]


def test_time_in_which_nobody_looks_is_not_waiting() -> None:
    site = Site({A: [0], B: [9]})
    site.log.deaf = {A}
    assert [site.read(seconds=500.0) for _ in range(5)] == [[]] * 5


def test_what_another_worker_reads_is_waited_for() -> None:
    site = Site({A: [0.5, 3, 5], B: [0, 2, 3]}, ours={A})
    assert site.read() == [(A, 0)], "nothing is counted of B: it begins at hour 0"
    assert site.read(1.0) == []
    site.count(B, 2, 2)
    assert site.read(1.0) == [(A, 1)]
    site.count(B, 3, 3)
    assert site.read(1.0) == [(A, 2)]


def test_nobody_is_waited_for_who_is_at_the_end() -> None:
    site = Site({A: [50], B: [0]}, ours={A})
    site.count(B, 1, 0)
    site.seek()
    assert site.read() == [(A, 0)]


def test_a_new_event_of_a_quiet_partition_holds_nobody_back() -> None:
    """Its ledger row is of days ago, and its next record of now."""
    site = Site({A: [50], B: [0]}, ours={A})
    site.count(B, 1, 0)
    site.seek()
    for partition in (A, B):
        site.broker.append(partition, START + 51 * HOUR, b"k", b"v")
    assert site.read(6.0) == [(A, 0), (A, 1)]
    site.broker.append(A, START + 53 * HOUR, b"k", b"v")
    assert site.read(6.0) == [], "it was not read for two hours"


def test_workers_whose_next_records_are_days_apart_do_not_wait_for_each_other() -> None:
    """The rows are of hour 0. So each knows of the other's next record only from the brokers."""
    pair = [Site({A: [0, 90], B: [0, 80]}, ours={ours}) for ours in (A, B)]
    for site in pair:
        for partition in (A, B):
            site.count(partition, 1, 0)
        site.seek()
    ahead, behind = pair
    assert ahead.read() == [(A, 0)], "it was counted before, and is compared"
    assert behind.read() + behind.read() == [(B, 0), (B, 1)]
    assert ahead.read(1.0) == []
    ahead.count(B, 2, 80)
    assert ahead.read(1.0) == [(A, 1)]


def test_a_partition_whose_time_has_run_ahead_waits_for_the_others_only() -> None:
    site = Site({A: [9_000, 0, 0.5], B: [0, 20, 40]})
    assert [partition for _ in range(9) for partition, _ in site.read()] == [B, B, B, A, A, A]


def test_partitions_without_timestamps_hold_nobody_back_and_are_not_held() -> None:
    site = Site({A: [-1, -1], B: [7, 50]})
    records = [record for _ in range(9) for record in site.read()]
    assert records == [(A, 0), (A, 1), (B, 0), (B, 1)]
    other = Site({A: [7, 50], B: [-1]}, ours={A})
    assert other.read_times(5) == [7, 50]


def test_a_partition_of_which_much_is_held_is_held_back_until_little_is_left() -> None:
    site = Site({A: [9] * 200, B: [0]}, held_records_max=160)
    site.log.deaf = {B}
    for _ in range(9):
        assert site.read() == []
    assert site.log.held_back == [{A}]
    assert len(site.aligned._held_records[A]._runs) == 2, "not all was read"
    site.log.deaf = ()
    assert len(site.read_times(40)) == 201
    assert site.log.held_back == [{A}, set()]


def test_a_store_or_log_that_does_not_answer_later_changes_nothing() -> None:
    site = Site({A: [0, 50], B: [0, 50]}, ours={A})
    assert site.read() == [(A, 0)]

    def fail(*_: object) -> None:
        raise Unavailable("redis", "away")

    site.store.read_state = fail  # type: ignore[method-assign, assignment]  # away
    assert site.read(1.0) == []
    site.log.read_extents = fail  # type: ignore[method-assign, assignment]  # away too
    assert site.read(9.0) == []


def test_brokers_of_other_partitions_need_not_answer_when_positions_are_found() -> None:
    """Nor are they asked again at once: a request that is not answered takes seconds."""
    site = Site({A: [0, 50], B: [0, 50]}, ours={A})
    really, questions = site.log.read_extents, list[set[Partition]]()

    def fail(partitions: Any) -> dict[Partition, OffsetRange]:
        questions.append(set(partitions))
        raise Unavailable("kafka", "no leader")

    site.log.read_extents = fail  # type: ignore[method-assign]  # away
    for _ in range(2):
        with pytest.raises(Unavailable):
            site.aligned.seek(site.positions)
    site.seconds += WAIT_SECONDS
    site.aligned.seek(site.positions)
    questions.clear()
    assert site.read() + site.read() == [(A, 0), (A, 1)]
    site.broker.append(A, START + 60 * HOUR, b"k", b"v")
    assert site.read(RETRY_SECONDS - 1) == [(A, 2)]
    assert not questions
    site.log.read_extents = really  # type: ignore[method-assign]  # back
    site.broker.append(A, START + 61 * HOUR, b"k", b"v")
    assert site.read(ENDS_SECONDS + 1) == [], "B is at hour 0"


def test_days_that_come_at_once_are_aligned_also_right_after_the_end() -> None:
    site = Site({A: [0], B: [0]})
    while sum(map(len, (site.read(), site.read()))):
        pass
    for partition in (A, B):
        for hour in range(1, 200):
            site.broker.append(partition, START + hour * HOUR, b"k", b"v")
    times, newest = site.read_times(60), 0.0
    assert len(times) == 398
    for time in times:
        assert time >= newest - 1
        newest = max(newest, time)


def test_a_jump_is_noticed_wherever_it_is_in_a_portion() -> None:
    """The newest record of a portion need not be its last one."""
    site = Site({A: [0], B: [0]})
    while site.read():
        pass
    for hour in (200, 1):
        site.broker.append(A, START + hour * HOUR, b"k", b"v")
    for hour in (2, 3, 250):
        site.broker.append(B, START + hour * HOUR, b"k", b"v")
    site.log.deaf = {B}
    assert site.read() == [], "B has hours 2 and 3 to read"
    site.log.deaf = ()
    assert sorted(record for _ in range(9) for record in site.read()) == [(A, 1), (A, 2), (B, 1), (B, 2), (B, 3)]


def test_a_marker_before_the_next_record_lets_nobody_wait() -> None:
    """The row of a partition stands before the marker of a transaction, and the brokers name the record behind it."""
    pair = [Site({A: [0], B: [0]}, ours={ours}) for ours in (A, B)]
    for site in pair:
        for partition, hour in ((A, 90), (B, 80)):
            site.broker.append(partition, -1, b"", MARKER)
            site.broker.append(partition, START + hour * HOUR, b"k", b"v")
            site.count(partition, 1, 0)
        site.seek()
    for site, partition in zip(pair, (A, B), strict=True):
        assert site.read(at_most=1) == [(partition, 0)], "it was counted before, and is compared"
        assert [site.read(at_most=1) for _ in range(3)] == [[]] * 3
        assert site.positions.find_next_read_offset(partition) == 2, "the others learn it by the ledger"
    ahead, behind = pair
    for site in pair:
        site.count(A, 2, 0)
        site.count(B, 2, 0)
    assert behind.read(1.0) == [(B, 2)]
    assert ahead.read(1.0) == []


def test_partitions_that_were_added_count_as_well() -> None:
    site = Site({A: [0, 50]}, ours={A})
    site.broker.partitions[A.topic] = 8
    site.broker.append(Partition(A.topic, 7), START, b"k", b"v")
    site.seek()
    assert site.read() == [(A, 0)]
    assert site.read() == []


def test_extents_are_read_of_topics_of_which_the_worker_has_nothing() -> None:
    site = Site({A: [0, 50]}, ours={A})
    questions: list[set[Partition]] = []
    really = site.log.read_extents

    def read_extents(partitions: Any) -> dict[Partition, OffsetRange]:
        questions.append(set(partitions))
        return really(partitions)

    site.log.read_extents = read_extents  # type: ignore[method-assign]  # noted on the way
    site.seek()
    assert questions[1:] == [{B, C, Partition(A.topic, 3)}], "the positions were read before"
