"""Imported history, and workers that were down for days: the totals are the oracle's, and answers say what was late."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from rtaplatform.analytics.answer.engine import Engine
from rtaplatform.analytics.ask.parse import parse_object
from rtaplatform.analytics.freshness.tracker import FreshnessTracker
from rtaplatform.core.ledger import PartitionId
from rtaplatform.process.worker.limits import WorkerLimits
from rtaplatform.process.worker.worker import Worker
from rtaplatform.simulate.oracle.oracle import ConsumedRecord, recount
from rtaplatform.simulate.oracle.oracle_truth import Truth
from rtaplatform.stream.memory import MemoryBroker, MemoryLog
from rtaplatform.stream.port import Partition
from tests.comparison import Totals, check_the_law, compute_expected, find_differences
from tests.comparison_of_people import EXACT, WORLDS, find_broken_laws, find_differences_in_any_order
from tests.late_people import compute_expected_with_late
from tests.simulation.capped import record
from tests.simulation.home import RULES
from tests.simulation.world import Home, MemoryHome
from tests.unit.analytics.shop import Clock

TOPIC, PARTITIONS = "rta.events.web", 4
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
NOW_MS = 1_795_345_200_000  # noon in Berlin
BATCH_MAX = 500
Sent = tuple[int, int, int]  # partition, Kafka timestamp, the event's own time


class Site:
    """A log of four partitions, and a worker that reads it when it is told to."""

    def __init__(self, home: Home | None = None) -> None:
        self.broker = MemoryBroker({TOPIC: PARTITIONS})
        self.home = home or MemoryHome(1)
        topic_id = self.broker.ids[TOPIC]
        starts = {PartitionId(topic_id, n): 0 for n in range(PARTITIONS)}
        self.home.store.begin(0, expected="", generation="g1", topics=dict(self.broker.ids), starts=starts)
        self.home.set_projects("v1")
        self.places = [Partition(TOPIC, n) for n in range(PARTITIONS)]
        self.appended: list[ConsumedRecord] = []
        log = MemoryLog(self.broker, BATCH_MAX)
        log.assign(self.places)
        limits = WorkerLimits(batch_records_max=BATCH_MAX)
        self.worker = Worker(
            log, log, self.home.store, shards=1, limits=limits, sleep=lambda _: None, clock=lambda: 0.0
        )

    def append(self, number: int, sent: Sent) -> None:
        partition, timestamp_ms, own_ms = sent
        # As the key decides about the partition, all events of a person are in one.
        person, name = f"p-{partition}-{number % 10}", ("Product Viewed", "Order Completed", "$page")[number % 3]
        fields: dict[str, Any] = {"event": name, "properties": {"product_id": f"p-{number % 7}", "price": 2}}
        place, key, value = self.places[partition], person.encode(), record(f"m-{number}", own_ms, person, **fields)
        appended = self.broker.append(place, timestamp_ms, key, value)
        self.appended.append(ConsumedRecord(*place, appended.offset, timestamp_ms, key, value))

    def read_all(self) -> None:
        ends = {place: len(self.broker.records.get(place, ())) for place in self.places}
        while not self.worker.is_settled or any(
            self.worker.positions.find_next_read_offset(place) != end for place, end in ends.items()
        ):
            self.worker.turn()
            assert not self.worker.positions.stops

    def check(self) -> Truth:
        """Everything is the oracle's, and nobody's event was too late."""
        truth, totals = self._recount()
        assert find_differences(totals, compute_expected(truth)) == []
        return truth

    def check_read_one_by_one(self) -> int:
        """Everything is the oracle's, which knows what was too late, since each event was read before the next came."""
        truth, totals = self._recount()
        expected_totals, taken = compute_expected_with_late(truth, "demo")
        assert find_differences(totals, expected_totals) == []
        return taken.late

    def check_read_at_once(self, *, is_exact: bool) -> Truth:
        """All but people is the oracle's. Of them it is what holds however batches were cut, if there are several."""
        tally, (truth, totals) = Counter[str](), self._recount()
        assert find_differences_in_any_order(totals, compute_expected(truth), tally) == []
        assert tally == {WORLDS: 1, EXACT: int(is_exact)}
        return truth

    def _recount(self) -> tuple[Truth, Totals]:
        totals = self.home.read_totals()
        assert check_the_law(totals) == []
        return recount(self.appended, projects=RULES), totals

    async def read_meta(self, now_ms: int, **fields: Any) -> dict[str, Any]:
        engine = Engine(self.home.store, FreshnessTracker(), Clock(now_ms), None)
        answers = await engine.answer("demo", [parse_object({"metric": "events", **fields})])
        meta = answers[0].meta
        return {"total": answers[0].results[0].total, "late": meta.late, "duplicates": meta.duplicates}


def draw_in_order(days: int, timestamp_of: Callable[[int], int]) -> Iterator[Sent]:
    """An event every two hours of so many days up to now."""
    chance = Random(days)
    for own_ms in range(NOW_MS - days * DAY_MS, NOW_MS, 2 * HOUR_MS):
        yield chance.randrange(PARTITIONS), timestamp_of(own_ms), own_ms


@pytest.mark.parametrize("days", [30, 390, 900])
async def test_history_that_is_imported_in_order_counts_as_it_happened(days: int) -> None:
    """Its Kafka timestamps are the events' own, so stream time follows: nothing is late, however long ago it was."""
    site = Site()
    for number, sent in enumerate(draw_in_order(days, lambda own_ms: own_ms)):
        site.append(number, sent)
    site.read_all()
    truth = site.check().projects["demo"].totals
    assert (truth["late"], truth["dead"], truth["duplicate"]) == (0, 0, 0)
    assert await site.read_meta(NOW_MS, **{"from": "-28d"}) == {"total": 28 * 12, "late": 0, "duplicates": 0}


async def test_history_that_is_sent_as_if_it_were_new_keeps_what_is_kept_and_says_what_was_late() -> None:
    """Its Kafka timestamps are of today: minutes and hours that would have gone are not made, and old days are late."""
    site = Site()
    events = list(draw_in_order(900, lambda _: NOW_MS - 1_000))
    for number, sent in enumerate(events):
        site.append(number, sent)
    site.read_all()
    truth = site.check().projects["demo"].totals
    assert 0.5 * len(events) < truth["late"] < 0.6 * len(events)
    meta = await site.read_meta(NOW_MS, **{"from": "-1h"})
    assert meta["late"] == truth["late"]
    assert (await site.read_meta(NOW_MS, **{"from": "-300d", "to": "-10d"}))["late"] == 0, "they were late today"
    assert (await site.read_meta(NOW_MS, **{"from": "2026-05-01", "to": "2026-06-01"}))["total"] == 31 * 12


@pytest.mark.parametrize(("days", "is_one_batch"), [(3, True), (9, False)])
async def test_a_worker_that_was_down_for_days_counts_as_one_that_was_not(days: int, *, is_one_batch: bool) -> None:
    """Some events reach the log hours or days after they happened, and some are sent twice."""
    here, away = Site(), Site()
    chance = Random(days)
    for number, at_ms in enumerate(range(NOW_MS - days * DAY_MS, NOW_MS, 10 * 60_000)):
        delay_ms = chance.choice((0, 0, 0, 3, 30, 60, 24 * 70, 24 * 420)) * HOUR_MS
        sent = (number % PARTITIONS, at_ms, at_ms - delay_ms)
        for site in (here, away):
            site.append(number, sent)
            if number % 11 == 0:
                site.append(number, sent)
        here.read_all()
    away.read_all()
    truth = away.check_read_at_once(is_exact=is_one_batch).projects["demo"].totals
    assert here.check_read_one_by_one() > 50
    assert truth["late"] > 10
    assert truth["duplicate"] > 10
    for site in (here, away):
        meta = await site.read_meta(NOW_MS, **{"from": f"-{days + 1}d"})
        assert (meta["late"], meta["duplicates"]) == (truth["late"], truth["duplicate"])


async def test_partitions_that_are_read_far_apart_agree_with_the_oracle() -> None:
    """One partition is read to its end while the others wait at its beginning, days behind."""
    site = Site()
    for number, at_ms in enumerate(range(NOW_MS - 5 * DAY_MS, NOW_MS, 10 * 60_000)):
        site.append(number, (0, at_ms, at_ms))
    site.read_all()
    for number, at_ms in enumerate(range(NOW_MS - 5 * DAY_MS, NOW_MS, 10 * 60_000), 10_000):
        site.append(number, (1 + number % 2, at_ms, at_ms - (number % 5) * 30 * HOUR_MS))
        if number % 9 == 0:
            site.append(number, (1 + number % 2, at_ms, at_ms - (number % 5) * 30 * HOUR_MS))
    site.read_all()
    truth = site.check().projects["demo"].totals
    assert (truth["late"], truth["duplicate"]) == (0, 80)


def test_what_holds_of_people_in_any_order_is_missed_where_it_is_broken() -> None:
    """The laws of comparison_of_people.py find each change of a number that they promise to find."""
    site = Site()
    for number, at_ms in enumerate(range(NOW_MS - 9 * DAY_MS, NOW_MS, 30 * 60_000)):
        site.append(number, (number % PARTITIONS, at_ms, at_ms - (number // 40 % 5) * 30 * HOUR_MS))
        site.read_all()
    truth, totals = recount(site.appended, projects=RULES), site.home.read_totals()
    expected_totals, late = compute_expected(truth), totals.counts["demo|late_state"]
    assert late > 50
    assert find_broken_laws(totals, expected_totals, "demo") == []
    assert [line for line in find_differences(totals, expected_totals) if "late_state" in line]
    for rollup, measure, change, finding in (
        ("origins", "revenue", 1, "revenue: "), ("actives", "new", 1, "actives new: "),
        ("retention", "d0", 1, "a cohort of"), ("retention", "w0", -1, "retention w0: "),
        ("sessions", "events", -1, "events in sessions"), ("sessions", "events", late + 1, "events in sessions"),
        ("actives", "dau", -late - 1, "active days"), ("lengths", "sessions", 1, "sessions in lengths"),
        ("session_pages", "exits", -1, "exits in session_pages"), ("sessions", "bounces", 99, "bounces"),
        ("session_lengths", "sessions", 1, "by values"),
    ):  # fmt: skip
        changed = copy.deepcopy(totals)
        name = next(n for n, fields in changed.cells.items() if (n[1], n[2]) == (rollup, "d") and measure in fields)
        changed.cells[name][measure] += change
        lines = find_broken_laws(changed, expected_totals, "demo")
        assert [line for line in lines if finding in line], (rollup, measure, lines)
