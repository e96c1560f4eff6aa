"""Two workers meet at a person or an order: the delta is made again, and no record is read twice for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import count
from math import inf
from typing import Any
from unittest.mock import Mock

from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.time.timestamps import format_iso_utc
from rtaplatform.process.fold.job import EcommerceJob
from rtaplatform.process.people.people_fold import PeopleBatch, PeopleFold
from rtaplatform.process.worker.limits import WorkerLimits
from rtaplatform.process.worker.worker import Worker
from rtaplatform.store.memory.memory_store import MemoryStore
from rtaplatform.store.port import Conflicted, Delta, Outcome
from rtaplatform.stream.memory import MemoryBroker, MemoryLog
from rtaplatform.stream.port import Partition

NOW_MS = 1_795_000_000_000
WEB, SERVER = "rta.events.web", "rta.events.server"
ORDER: dict[str, Any] = {
    "event": "Order Completed",
    "properties": {"order_id": "o-1", "products": [{"product_id": "p", "price": 5}]},
}
NUMBERS = count()


class Site:
    """A store, its log, and the outcomes of all calls."""

    def __init__(self) -> None:
        self.broker, self.store = MemoryBroker({WEB: 1, SERVER: 1}), MemoryStore(1)
        self.store.begin(0, expected="", generation="g1", topics=dict(self.broker.ids), starts={})
        self.store.set_projects([ProjectSettings("demo", "UTC", "EUR")], "v1")
        self.outcomes: list[Outcome] = []
        self._apply = self.store.apply
        self.store.apply = self._note_outcome  # type: ignore[method-assign]  # noted on the way

    def _note_outcome(self, shard: int, generation: str, delta: Delta) -> Outcome:
        self.outcomes.append(self._apply(shard, generation, delta))
        return self.outcomes[-1]

    def send(self, topic: str, at_ms: int = NOW_MS, **fields: Any) -> None:
        event = {"projectId": "demo", "type": "track", "event": "e", "messageId": f"m{next(NUMBERS)}"}
        message = {**event, "source": topic.rpartition(".")[2], "timestamp": format_iso_utc(at_ms), **fields}
        self.broker.append(Partition(topic, 0), at_ms, b"k", json.dumps(message).encode())

    def make_worker(self, topic: str, **parts: Any) -> ReadingWorker:
        log = MemoryLog(self.broker)
        log.assign([Partition(topic, 0)])
        limits = WorkerLimits(apart_ms_max=inf)  # what meets here may be a day apart
        return ReadingWorker(log, log, self.store, shards=1, sleep=Mock(), limits=limits, **parts)

    def read_totals(self, rollup: str) -> Mapping[str, int]:
        cells = self.store.shards[0].totals.cells
        return next(fields for key, fields in cells.items() if key.rollup == rollup and key.kind == "d")

    def count_conflicts(self) -> int:
        return sum(isinstance(outcome, Conflicted) for outcome in self.outcomes)


class ReadingWorker(Worker):
    """`seeks`: how often it has begun to read."""

    seeks = 0

    def _resume_from_ledger(self) -> None:
        self.seeks += 1
        super()._resume_from_ledger()


def let_call_be_late(call: Any) -> Any:
    """A call that reaches the store when its outcome is waited for."""
    return call


def meet(site: Site, **parts: Any) -> ReadingWorker:
    """A worker's call is on its way while another worker counts the other topic. Then it arrives."""
    worker, two = site.make_worker(WEB, start_call=let_call_be_late, **parts), site.make_worker(SERVER)
    worker.turn()
    for _ in range(3):
        two.turn()
    for _ in range(3):
        worker.turn()
    return worker


def test_a_person_whom_another_worker_has_changed_is_calculated_again_without_reading() -> None:
    site = Site()
    site.send(WEB, userId="u", anonymousId="a")
    site.send(SERVER, NOW_MS - 86_400_000, userId="u")
    worker = meet(site)
    assert (site.count_conflicts(), worker.seeks) == (1, 1)
    actives = [fields for key, fields in site.store.shards[0].totals.cells.items() if key.rollup == "actives"]
    assert sum(fields.get("new", 0) for fields in actives) == 1
    assert sum(fields.get("dau", 0) for fields in actives) == 2
    assert site.read_totals("activity")["count"] == 1


def test_a_link_that_another_worker_has_made_meanwhile_is_followed() -> None:
    """The value that is read after the conflict names a user, whose value is read as well."""
    site = Site()
    site.send(WEB, anonymousId="a")
    site.send(SERVER, userId="u", anonymousId="a")
    worker = meet(site)
    assert (site.count_conflicts(), worker.seeks) == (1, 1)
    assert site.read_totals("actives")["dau"] == 1
    assert len(site.store.shards[0].totals.online["demo"]) == 1


def test_an_order_that_another_worker_has_counted_meanwhile_is_a_repeat() -> None:
    site = Site()
    site.send(WEB, userId="u", **ORDER)
    site.send(WEB, userId="v", **ORDER)
    site.send(SERVER, userId="w", **ORDER)
    worker = meet(site)
    assert (site.count_conflicts(), worker.seeks) == (1, 1)
    days = [fields for key, fields in site.store.shards[0].totals.cells.items() if key.kind == "d"]
    assert sum(fields.get("repeated_order", 0) for fields in days) == 2
    assert (site.read_totals("activity")["count"], site.read_totals("activity")["orders"]) == (3, 1)
    assert site.store.shards[0].totals.counts["demo|repeated_order"] == 2


def test_what_never_ends_in_conflict_is_read_again_in_smaller_batches() -> None:
    site = Site()
    for _ in range(4):
        site.send(WEB, userId="u")
    worker = site.make_worker(WEB)
    really, refused = site.store.apply, list[int]()

    def apply(shard: int, generation: str, delta: Delta) -> Outcome:
        if delta.persons and len(refused) < 12:
            refused.append(delta.counts["demo|applied"])
            return Conflicted([], [(write.project, write.person) for write in delta.persons], [], False)
        return really(shard, generation, delta)

    site.store.apply = apply  # type: ignore[method-assign]  # another worker is always first
    for _ in range(9):
        worker.turn()
    assert refused == [4] * 9 + [2] * 3
    assert site.read_totals("activity")["count"] == 4
    assert worker.seeks == 2


class UnkindToSecondDeltas(PeopleFold):
    """Calculating the persons of a batch once more raises."""

    def begin(self, *parts: Any) -> PeopleBatch:
        return _UnkindBatch(*parts)


class _UnkindBatch(PeopleBatch):
    settled = 0

    def settle(self, orders: Any = ()) -> Any:
        self.settled += 1
        if self.settled == 2:
            raise KeyError("a bug of ours")
        return super().settle(orders)


def test_an_error_while_a_delta_is_made_again_reads_the_records_again() -> None:
    site = Site()
    site.send(WEB, userId="u")
    site.send(SERVER, userId="u")
    worker = meet(site, job=EcommerceJob(UnkindToSecondDeltas()))
    assert worker.seeks == 2
    assert site.read_totals("activity")["count"] == 2
