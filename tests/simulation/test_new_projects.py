"""Projects are made all the time: workers learn of them while they count, and nothing is read twice for it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.sharding import find_shard
from rtaplatform.process.worker.worker import Worker
from rtaplatform.store.memory.memory_store import MemoryStore
from rtaplatform.stream.memory import MemoryBroker, MemoryLog
from rtaplatform.stream.port import Partition
from tests.simulation.faults import start_call

WEB = Partition("rta.events.web", 0)
SHARDS = 2


class Site:
    """One worker, a log of one partition, and two shards."""

    def __init__(self, store: MemoryStore | None = None, portion: int | None = None) -> None:
        self.broker, self.store = MemoryBroker({WEB.topic: 1}), store or MemoryStore(SHARDS)
        for shard in range(SHARDS):
            self.store.begin(shard, expected="", generation="g1", topics=dict(self.broker.ids), starts={})
        self.store.set_projects([ProjectSettings("demo")], "v0")
        self.log, self.seconds = CountingLog(self.broker, 1_000 if portion else 100, portion), 0.0
        self.log.assign([WEB])
        self.worker = Worker(
            self.log, self.log, self.store, shards=SHARDS, start_call=start_call, sleep=lambda _: None, clock=self.tick
        )  # fmt: skip

    def tick(self) -> float:
        self.seconds += 0.05
        return self.seconds

    def send(self, project: str, number: int) -> None:
        event = {"projectId": project, "type": "page", "messageId": f"{project}-{number}", "userId": "u"}
        self.broker.append(WEB, 1_795_000_000_000 + number, f"{project}:u".encode(), json.dumps(event).encode())

    def count(self, name: str) -> int:
        return sum(shard.totals.counts.get(name, 0) for shard in self.store.shards)


class CountingLog(MemoryLog):
    seeks = 0

    def seek(self, positions: object) -> None:
        self.seeks += 1
        super().seek(positions)  # type: ignore[arg-type]  # passed on


@pytest.fixture
def site() -> Site:
    return Site()


def test_workers_count_on_while_projects_are_made(site: Site) -> None:
    site.worker.turn()
    for number in range(200):
        site.store.set_projects([ProjectSettings(f"shop-{number}")], f"v{number}")
        site.send("demo", number)
        site.send(f"shop-{number}", number)
        site.worker.turn()
        assert site.worker.positions.find_next_read_offset(WEB) == 2 * number + 2
    settle(site)
    assert site.log.seeks == 1, "it has never begun anew"
    assert site.count("demo|applied") == 200
    assert all(site.count(f"shop-{number}|applied") == 1 for number in range(200))
    assert not site.broker.dead_letters


def test_what_names_no_project_is_quarantined_however_often_it_is_looked_for(site: Site) -> None:
    for number in range(30):
        site.send("nobody", number)
        site.send("No Slug\x00", number)
        site.worker.turn()
    settle(site)
    assert site.log.seeks == 1
    assert len(site.broker.dead_letters) == 60


class CountingStore(MemoryStore):
    """Counts the questions for projects; `made_after`: a project that is made after so many of them."""

    questions = 0
    made_after: tuple[int, str] = (0, "")

    def read_projects(self, shard: int, slugs: Sequence[str]) -> dict[str, ProjectSettings]:
        projects = super().read_projects(shard, slugs)
        self.questions += 1
        if self.questions == self.made_after[0]:
            self.set_projects([ProjectSettings(self.made_after[1])], "v-late")
        return projects


def test_an_unknown_name_is_asked_for_once_a_batch_and_not_once_a_portion() -> None:
    store = CountingStore(SHARDS)
    site = Site(store, portion=100)
    for number in range(2_000):
        site.send("nobody" if number % 10 else "demo", number)
    settle(site, turns=40)
    assert site.count("demo|applied") == 200
    assert len(site.broker.dead_letters) == 1_800
    assert store.questions <= 1 + 3, "one for the first portion, and one for each batch"


def test_a_project_made_while_a_batch_is_read_is_found_before_the_batch_is_applied() -> None:
    store = CountingStore(SHARDS)
    store.made_after = (1, "young")
    site = Site(store, portion=100)
    for number in range(300):
        site.send("young", number)
    settle(site)
    assert site.count("young|applied") == 300
    assert not site.broker.dead_letters


def test_a_changed_zone_is_taken_up_and_a_changed_week_is_no_reason_to_begin_anew(site: Site) -> None:
    site.worker.turn()
    site.store.set_projects([ProjectSettings("demo", week_start="sunday")], "v1")
    site.send("demo", 1)
    settle(site)
    assert site.log.seeks == 1
    site.store.set_projects([ProjectSettings("demo", "Asia/Tokyo")], "v2")
    site.send("demo", 2)
    settle(site)
    assert site.log.seeks == 2
    assert site.worker.positions.get_projects()["demo"].zone == "Asia/Tokyo"
    assert site.count("demo|applied") == 2


def test_projects_lie_in_the_shard_of_their_slug(site: Site) -> None:
    names = [f"shop-{number}" for number in range(20)]
    site.store.set_projects([ProjectSettings(name) for name in names], "v1")
    for name in names:
        assert site.store.read_projects(find_shard(name, SHARDS), [name, "nobody"]) == {name: ProjectSettings(name)}


def settle(site: Site, turns: int = 8) -> None:
    for _ in range(turns):
        site.worker.turn()
