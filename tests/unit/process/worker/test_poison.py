"""The end of a worker counts against a record only if the record alone is the reason."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

import pytest
import redis

from rtaplatform.core.errors import Stopped, Unable, Unavailable
from rtaplatform.core.events import Reason
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.process.fold.job import DecodedRun, EcommerceJob
from rtaplatform.process.rebuild.rebuild import Rebuild
from rtaplatform.process.rebuild.time_ordered_log import TimeOrderedLog
from rtaplatform.process.worker.in_flight import CallStarter
from rtaplatform.process.worker.poison import ENDS_MAX, SUSPECTS_MAX, Poisoned, Quarantine
from rtaplatform.process.worker.worker import Worker
from rtaplatform.store.memory.memory_ends import MemoryEnds
from rtaplatform.store.memory.memory_store import MemoryStore
from rtaplatform.store.port import Conflicted, Delta, Moved, Outcome, Torn
from rtaplatform.stream.memory import MemoryBroker, MemoryLog, MemoryPartitions
from rtaplatform.stream.port import Partition, RecordColumns
from tests.simulation.faults import start_call

WEB = Partition("rta.events.web", 0)
NOW = 1_795_000_000_000
BAD = b"poison"
TURNS_MAX = 40
Raise = Callable[[list[bytes]], None]

OF_A_RECORD = (
    ValueError(), KeyError(), ZeroDivisionError(), AssertionError(), RecursionError(), AttributeError(),
    OverflowError(), UnicodeDecodeError("utf-8", b"", 0, 1, ""), TypeError(), StopIteration(),
)  # fmt: skip
OF_SOMETHING_ELSE = (
    MemoryError(), OSError("disk"), PermissionError(), TimeoutError(), ConnectionResetError(), ImportError(),
    ModuleNotFoundError(), SyntaxError(), SystemError(), Unavailable("redis", "away"), Unable("redis", "replica"),
    Stopped("shard 0", "torn", ""),
)  # fmt: skip
OF_THE_STORE = (
    redis.exceptions.NoPermissionError("NOPERM"), redis.exceptions.AuthenticationError("WRONGPASS"),
    redis.exceptions.ConnectionError(), redis.exceptions.TimeoutError(), redis.exceptions.ResponseError("INVALID"),
    Unavailable("redis", "away"), Stopped("redis", "damaged", ""), MemoryError(), OSError(), ValueError("of the store"),
)  # fmt: skip


class Raising(EcommerceJob):
    """`look` sees the values of each run and may raise."""

    def __init__(self, look: Raise) -> None:
        super().__init__()
        self.look = look

    def decode(
        self, run: RecordColumns, stream_time_ms: int, projects: Mapping[str, ProjectSettings], shards: int
    ) -> DecodedRun:
        self.look([value or b"" for value in run.values])
        return super().decode(run, stream_time_ms, projects, shards)


class Site:
    """A log of one partition, a store, and one worker after the other."""

    def __init__(self, look: Raise, *, shards: int = 1) -> None:
        self.broker, self.store = MemoryBroker({"rta.events.web": 1}), Store(shards)
        self.job, self.shards, self.version = Raising(look), shards, "1"
        for shard in range(shards):
            self.store.begin(shard, expected="", generation="g1", topics=dict(self.broker.ids), starts={})
        self.store.set_projects([ProjectSettings("demo"), ProjectSettings("other")], "v1")

    def send(self, *texts: bytes, project: str = "demo") -> None:
        for text in texts:
            event = {"projectId": project, "type": "page", "userId": "u", "text": text.decode()}
            self.broker.append(WEB, NOW, b"k", json.dumps(event).encode())

    def live_a_life(
        self, turns: int = TURNS_MAX, *, batch_max: int = 1_000, start: CallStarter = start_call, turn_seconds: int = 3
    ) -> BaseException | None:
        """A worker's, and what ends it."""
        log, quarantine = MemoryLog(self.broker, batch_max=batch_max), Quarantine(MemoryEnds(self.store), self.version)
        log.assign([WEB])
        worker = Worker(
            log, log, self.store, shards=self.shards, job=self.job, quarantine=quarantine, start_call=start,
            sleep=lambda _: None, clock=count(0, turn_seconds).__next__,
        )  # fmt: skip
        try:
            for _ in range(turns):
                worker.turn()
        except Exception as error:  # noqa: BLE001  # whatever it is
            return error
        return None

    def read_ends(self) -> list[int]:
        return sorted(self.store.shards[0].ends.values())

    def sum_counts(self, name: str) -> int:
        return sum(shard.totals.counts.get(name, 0) for shard in self.store.shards)

    def read_dead_letters(self) -> dict[int, Reason]:
        return {dead_letter.record.offset: dead_letter.reason for dead_letter in self.broker.dead_letters.values()}


class Store(MemoryStore):
    """`apply` and `state` may raise, and an empty batch may be refused."""

    trouble: Exception | None = None
    silent: Exception | None = None  # of `state`, once there was one
    refusal: Outcome | None = None
    answers: Sequence[Outcome | Unavailable] = ()  # to the next batches
    states = 0

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        if self.trouble is not None:
            raise self.trouble
        if self.refusal is not None and delta == Delta([]):
            return self.refusal
        if self.answers and delta.persons:
            answer, *self.answers = self.answers
            if isinstance(answer, Unavailable):
                raise answer
            return answer
        return super().apply(shard, generation, delta)

    def read_state(self, shard: int) -> Any:
        self.states += 1
        if self.silent is not None and self.states % 3 == 0:  # the first two are those of a worker's beginnings
            raise self.silent
        return super().read_state(shard)


def make_choke(error: Exception = ValueError()) -> Raise:  # noqa: B008  # nobody changes it
    def look(values: list[bytes]) -> None:
        if any(BAD in value for value in values):
            raise error

    return look


@pytest.mark.parametrize("error", OF_A_RECORD, ids=lambda error: type(error).__name__)
def test_after_three_ends_the_record_is_quarantined_and_all_else_is_counted(error: Exception) -> None:
    site = Site(make_choke(error))
    site.send(b"a", BAD, b"b")
    for n in range(1, ENDS_MAX + 1):
        assert site.live_a_life() is not None
        assert site.read_ends() == [n]
        assert site.sum_counts("demo|applied") == 0
    assert site.live_a_life() is None
    assert (site.sum_counts("demo|applied"), site.sum_counts("demo|dead")) == (2, 1)
    assert site.read_dead_letters() == {1: Reason.INTERNAL}
    assert next(iter(site.broker.dead_letters.values())).project == "demo"
    assert site.read_ends() == [], "what is passed is forgotten"


@pytest.mark.parametrize("error", OF_SOMETHING_ELSE, ids=lambda error: type(error).__name__)
def test_failures_of_servers_and_of_the_machine_never_count(error: Exception) -> None:
    site = Site(make_choke(error))
    site.send(b"a", BAD, b"b")
    for _ in range(2 * ENDS_MAX):
        site.live_a_life()
        assert (site.read_ends(), site.read_dead_letters()) == ([], {})
    site.job.look = lambda values: None
    assert site.live_a_life() is None
    assert site.sum_counts("demo|applied") == 3


@pytest.mark.parametrize("error", OF_THE_STORE, ids=lambda error: f"{type(error).__name__} {error}")
def test_what_the_store_raises_never_counts(error: Exception) -> None:
    site = Site(lambda values: None)
    site.send(b"a", b"b")
    site.store.trouble = error
    for _ in range(2 * ENDS_MAX):
        site.live_a_life()
        assert (site.read_ends(), site.read_dead_letters()) == ([], {})
    site.store.trouble = None
    assert site.live_a_life() is None
    assert (site.sum_counts("demo|applied"), site.read_dead_letters()) == (2, {})


@pytest.mark.parametrize("outcome", [Moved("g2", {}), Conflicted([], [], [], True), Torn("x")])
def test_nothing_counts_if_the_store_refuses_an_empty_batch(outcome: Outcome) -> None:
    site = Site(make_choke())
    site.send(b"a", BAD)
    site.store.refusal = outcome
    assert isinstance(site.live_a_life(), ValueError)
    assert site.read_ends() == []


@pytest.mark.parametrize("error", OF_THE_STORE, ids=lambda error: f"{type(error).__name__} {error}")
def test_nothing_counts_if_the_ledger_cannot_be_read(error: Exception) -> None:
    site = Site(make_choke())
    site.send(b"a", BAD)
    site.store.silent = error
    assert isinstance(site.live_a_life(), ValueError)
    assert site.read_ends() == []


@pytest.mark.parametrize("answer", [Conflicted([], [], [], True), Moved("g1", {}), Unavailable("redis", "away")])
def test_a_batch_in_flight_that_does_not_end_well_is_no_end(answer: Outcome | Unavailable) -> None:
    """A rebuild has nobody who starts it again: it would end with the raw error of the record."""
    site = Site(make_choke())
    site.send(*[b"a"] * 3)
    site.store.answers = [answer, answer, answer]
    site.send(BAD)
    assert isinstance(site.live_a_life(batch_max=2, start=lambda call: call, turn_seconds=0), Poisoned)
    assert site.store.answers == []
    assert (site.sum_counts("demo|applied"), site.read_ends()) == (2, [1])


def test_nothing_counts_if_a_harmless_record_raises_too() -> None:
    """As where a zone is missing on this machine: every record of the project raises."""
    site = Site(lambda values: make_choke(LookupError())([BAD for value in values if b'"demo"' in value]))
    site.send(b"a", project="other")
    site.send(b"b")
    for _ in range(2 * ENDS_MAX):
        assert isinstance(site.live_a_life(), LookupError)
        assert (site.read_ends(), site.read_dead_letters()) == ([], {})
    site.job.look = lambda values: None
    assert site.live_a_life() is None
    assert (site.sum_counts("demo|applied"), site.sum_counts("other|applied")) == (1, 1)


def test_nothing_counts_if_no_record_raises_alone() -> None:
    def look(values: list[bytes]) -> None:
        if len([value for value in values if BAD in value]) > 1:
            raise ValueError

    site = Site(look)
    site.send(BAD, b"a", BAD)
    assert isinstance(site.live_a_life(), ValueError)
    assert site.read_ends() == []


@pytest.mark.parametrize(("bad", "good", "counted"), [(150, 100, 0), (150, 200, SUSPECTS_MAX), (60, 0, 60)])
def test_nothing_counts_if_most_of_many_records_raise(bad: int, good: int, counted: int) -> None:
    site = Site(make_choke())
    site.send(*[BAD] * bad, *[b"a"] * good)
    assert site.live_a_life() is not None
    assert site.read_ends() == [1] * counted


def test_any_number_of_poison_records_is_quarantined_finally() -> None:
    site = Site(make_choke())
    site.send(*[BAD] * 150, *[b"a"] * 200)
    assert [site.live_a_life() is not None for _ in range(2 * ENDS_MAX + 1)] == [True] * 2 * ENDS_MAX + [False]
    assert (site.sum_counts("demo|applied"), site.sum_counts("demo|dead"), len(site.read_dead_letters())) == (
        200,
        150,
        150,
    )


def test_a_new_version_starts_its_own_count() -> None:
    site = Site(make_choke())
    site.send(BAD, b"a")
    for _ in range(ENDS_MAX):
        site.live_a_life()
    site.version = "2"
    assert site.live_a_life() is not None
    assert (site.read_ends(), site.read_dead_letters()) == ([1, ENDS_MAX], {})


def test_a_condemned_record_that_no_longer_raises_is_counted() -> None:
    site = Site(make_choke())
    site.send(BAD, b"a")
    for _ in range(ENDS_MAX):
        site.live_a_life()
    site.job.look = lambda values: None
    assert site.live_a_life() is None
    assert (site.sum_counts("demo|applied"), site.read_dead_letters(), site.read_ends()) == (2, {}, [])


def test_the_last_record_of_the_log_stays_quarantined_for_the_next_workers() -> None:
    """It is read again by each of them, to compare it with the ledger."""
    site = Site(make_choke())
    site.send(b"a", BAD)
    for _ in range(ENDS_MAX):
        assert site.live_a_life() is not None
    assert [site.live_a_life(), site.live_a_life()] == [None, None]
    assert (site.sum_counts("demo|applied"), site.sum_counts("demo|dead"), site.read_dead_letters()) == (
        1,
        1,
        {1: Reason.INTERNAL},
    )
    site.send(b"b", b"c")
    assert site.live_a_life() is None
    assert (site.sum_counts("demo|applied"), site.read_ends()) == (3, [])


def test_the_shard_of_its_project_counts_a_poison_record() -> None:
    site = Site(make_choke(), shards=3)
    site.send(b"a", BAD)
    site.broker.append(WEB, NOW, b"k", b"\xff" + BAD)
    for _ in range(ENDS_MAX):
        assert site.live_a_life() is not None
    assert site.live_a_life() is None
    assert (site.sum_counts("demo|dead"), site.store.shards[0].totals.counts["|dead"]) == (1, 1)
    assert site.read_dead_letters() == {1: Reason.INTERNAL, 2: Reason.INTERNAL}


def rebuild_site(site: Site, look: Raise) -> Site:
    log = TimeOrderedLog(MemoryPartitions(site.broker))
    rebuild = Rebuild(
        log, MemoryLog(site.broker), site.store, shards=1, job=Raising(look), start_call=start_call,
        sleep=lambda _: None, clock=count(0, 3).__next__,
    )  # fmt: skip
    for _ in range(TURNS_MAX):
        if rebuild.remaining:
            rebuild.step()
    assert rebuild.remaining == []
    return site


def test_a_rebuild_quarantines_the_same_records_and_a_mended_version_counts_them() -> None:
    site = Site(make_choke())
    site.send(b"a", BAD, b"b")
    for _ in range(ENDS_MAX):
        site.live_a_life()
    assert site.live_a_life() is None
    sent = dict(site.broker.dead_letters)
    again = rebuild_site(site, make_choke())
    assert (again.sum_counts("demo|applied"), again.sum_counts("demo|dead")) == (2, 1)
    assert again.broker.dead_letters == sent
    better = rebuild_site(site, lambda values: None)
    assert (better.sum_counts("demo|applied"), better.sum_counts("demo|dead")) == (3, 0)
