"""Stopped partitions are checked without disturbing the others, and gauges show our own partitions only."""

from __future__ import annotations

import json

from rtaplatform import telemetry
from rtaplatform.core.ledger import PartitionId
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.process.rebuild.adoption import adopt
from rtaplatform.process.worker.worker import Worker
from rtaplatform.store.memory.memory_store import MemoryStore
from rtaplatform.stream.memory import MemoryBroker, MemoryLog
from rtaplatform.stream.port import Partition
from tests.simulation.faults import start_call

WEB, OTHER = Partition("rta.events.web", 0), Partition("rta.events.mobile", 0)


class SoughtLog(MemoryLog):
    seeks = 0

    def seek(self, positions: object) -> None:
        self.seeks += 1
        super().seek(positions)  # type: ignore[arg-type]  # passed on


class Site:
    def __init__(self) -> None:
        self.broker, self.store, self.seconds = MemoryBroker({WEB.topic: 1, OTHER.topic: 1}), MemoryStore(1), 0.0
        self.store.begin(0, expected="", generation="g1", topics=dict(self.broker.ids), starts={})
        self.store.set_projects([ProjectSettings("demo")], "v1")
        self.log, self.sent = SoughtLog(self.broker), 0
        self.log.assign([WEB, OTHER])
        self.worker = Worker(
            self.log, self.log, self.store, shards=1, start_call=start_call, sleep=lambda _: None, clock=lambda:
            self.seconds
        )  # fmt: skip

    def send(self, partition: Partition, count: int) -> None:
        for _ in range(count):
            self.sent += 1
            event = {"projectId": "demo", "type": "page", "messageId": str(self.sent), "userId": "u"}
            self.broker.append(partition, 1_795_000_000_000, b"demo:u", json.dumps(event).encode())

    def pass_seconds(self, seconds: int) -> None:
        for _ in range(seconds):
            self.seconds += 1
            self.worker.turn()

    def count_applied(self) -> int:
        return self.store.shards[0].totals.counts.get("demo|applied", 0)


def read_lags() -> dict[str, float]:
    samples = next(iter(telemetry.WORKER_LAG.collect())).samples
    return {sample.labels["topic"]: sample.value for sample in samples}


def make_stopped_site() -> Site:
    """Ten records were counted of WEB, and three of them are lost from its log."""
    site = Site()
    site.send(WEB, 10)
    site.pass_seconds(10)
    site.broker.truncate(WEB, 3)
    site.pass_seconds(10)
    assert "truncated" in site.store.read_stops(0)[str(WEB)]
    return site


def test_a_stopped_partition_does_not_reset_the_others() -> None:
    site = make_stopped_site()
    seeks = site.log.seeks
    for _ in range(60):
        site.send(OTHER, 1)
        site.pass_seconds(1)
    assert site.log.seeks == seeks
    assert site.count_applied() == 70


def test_a_partition_goes_on_after_an_operator_has_accepted_it() -> None:
    site = make_stopped_site()
    state, place = site.store.read_state(0), PartitionId(site.broker.ids[WEB.topic], 0)
    assert state is not None
    adoption = adopt(WEB, site.log.read_extents([WEB])[WEB], state)
    assert adoption is not None
    assert site.store.adopt(0, state.generation, WEB.topic, place.topic_id, [adoption.move], {})
    site.send(WEB, 5)
    site.pass_seconds(15)
    assert site.store.read_stops(0) == {}
    assert site.count_applied() == 15


def test_records_other_than_the_counted_ones_stop_until_they_are_accepted() -> None:
    site = Site()
    site.send(WEB, 10)
    site.pass_seconds(10)
    site.broker.truncate(WEB, 1)
    site.broker.append(WEB, 7, b"k", b"another")
    site.log.assign([WEB, OTHER])
    site.pass_seconds(10)
    assert "another log" in site.store.read_stops(0)[str(WEB)]
    seeks = site.log.seeks
    site.pass_seconds(50)
    assert site.log.seeks == seeks
    site.pass_seconds(20)
    assert site.log.seeks == seeks + 1, "now and then it is read again: it may have been put back"
    assert "another log" in site.store.read_stops(0)[str(WEB)]


def test_lag_is_shown_for_stopped_partitions_and_not_for_those_of_others() -> None:
    telemetry.WORKER_LAG.clear()  # other workers of this process may have shown theirs
    site = make_stopped_site()
    site.send(WEB, 20)
    site.send(OTHER, 4)
    site.pass_seconds(6)
    assert read_lags() == {WEB.topic: 17, OTHER.topic: 0}
    site.log.assign([OTHER])
    site.pass_seconds(6)
    assert read_lags() == {OTHER.topic: 0}
