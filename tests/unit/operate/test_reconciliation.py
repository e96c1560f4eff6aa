"""What `rta reconcile` compares: periods of local days, the oracle's numbers under the store's names, differences."""

from __future__ import annotations

from datetime import date, datetime

import pytest

from rtaplatform.core.errors import SetupError
from rtaplatform.core.time.buckets import BucketKind
from rtaplatform.operate.reconcile.compared_totals import compare_buckets, compare_metrics
from rtaplatform.operate.reconcile.live_totals import ReconciledTotals
from rtaplatform.operate.reconcile.reconcile_period import DAY_MAX, DAY_MIN, choose_period
from rtaplatform.operate.reconcile.recounted_totals import read_totals
from rtaplatform.simulate.oracle.oracle import Oracle
from rtaplatform.simulate.sent_truth import SentLog
from rtaplatform.simulate.shop.plan import SimulationPlan
from rtaplatform.simulate.traffic import draw_events

NOW_MS = int(datetime.fromisoformat("2026-11-29T12:00:00Z").timestamp() * 1000)
DAY = 24 * 60


@pytest.fixture(scope="module")
def counted() -> ReconciledTotals:
    """A simulated hour, as the oracle counts it."""
    plan = SimulationPlan(NOW_MS, rate=1, backfill_ms=3_600_000)
    oracle = Oracle({"demo": {"zone": "Europe/Berlin", "currency": "EUR"}})
    log = SentLog(dict.fromkeys(("rta.events.web", "rta.events.mobile", "rta.events.server"), 4))
    for record in map(log.assign_offset, draw_events(plan)):
        oracle.add(record)
    truth, period = oracle.truth, choose_period(None, None, "Europe/Berlin", NOW_MS)
    return read_totals(truth.projects["demo"], truth.origins["demo"], truth.count_people("demo"), period)


def copy_totals(totals: ReconciledTotals) -> ReconciledTotals:
    return ReconciledTotals({place: dict(cell) for place, cell in totals.cells.items()}, dict(totals.persons))


def test_the_default_is_yesterday_and_today_in_the_projects_zone() -> None:
    period = choose_period(None, None, "Asia/Kathmandu", NOW_MS)
    assert (period.first_day, period.last_day) == (date(2026, 11, 28), date(2026, 11, 29))
    assert len(period.starts[BucketKind.DAY]) == 2
    assert period.begin * 60_000 == datetime.fromisoformat("2026-11-28T00:00:00+05:45").timestamp() * 1000


def test_a_day_has_as_many_hours_as_the_clocks_say() -> None:
    period = choose_period(date(2026, 10, 25), date(2026, 10, 25), "Europe/Berlin", NOW_MS)
    assert period.end - period.begin == 25 * 60
    assert len(period.starts[BucketKind.HOUR]) == 25
    assert period.starts[BucketKind.MINUTE] == ()  # they are no longer kept


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("2026-11-29", "2026-11-28"), ("2026-01-01", "2026-11-28"), (None, "9999-12-31"), (None, "0001-01-01"),
        ("9999-12-31", None), ("0001-01-01", "0001-01-31"), ("9999-12-01", "9999-12-30"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "America/Adak"])
def test_other_periods_are_refused(first: str | None, last: str | None, zone: str) -> None:
    first_day, last_day = (None if day is None else date.fromisoformat(day) for day in (first, last))
    with pytest.raises(SetupError) as refused:
        choose_period(first_day, last_day, zone, NOW_MS)
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("day", [DAY_MIN, DAY_MAX])
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/Adak"])
def test_the_first_and_the_last_day_have_a_midnight_in_every_zone(day: date, zone: str) -> None:
    assert choose_period(day, day, zone, NOW_MS).first_day == day


def test_equal_totals_have_no_difference(counted: ReconciledTotals) -> None:
    live = copy_totals(counted)
    rows = compare_metrics(live, counted, with_people=True, ids=counted.persons)
    assert all(row.is_equal for row in rows)
    assert {row.name: row.recount for row in rows}["events"] > 3_000
    assert list(compare_buckets(live, counted, with_people=True)) == []


def test_a_changed_sum_of_a_day_is_a_metric_and_a_bucket(counted: ReconciledTotals) -> None:
    live = copy_totals(counted)
    place = next(p for p in live.cells if p[:2] == ("activity", BucketKind.DAY))
    live.cells[place]["revenue"] += 50_000
    rows = compare_metrics(live, counted, with_people=True, ids=counted.persons)
    assert {row.name: row.difference for row in rows if not row.is_equal} == {"revenue": 5, "net_revenue": 5}
    assert [(b.rollup, b.what) for b in compare_buckets(live, counted, with_people=True)] == [("activity", "revenue")]


@pytest.mark.parametrize("kind", [BucketKind.HOUR, BucketKind.MINUTE])
def test_a_changed_sum_of_an_hour_or_minute_is_found(counted: ReconciledTotals, kind: BucketKind) -> None:
    live = copy_totals(counted)
    place = next(p for p in live.cells if p[:2] == ("activity", kind))
    live.cells[place]["count"] += 1
    assert [b.start for b in compare_buckets(live, counted, with_people=True)] == [place[2]]


def test_a_bucket_that_is_gone_is_found(counted: ReconciledTotals) -> None:
    live = copy_totals(counted)
    place = next(p for p in live.cells if p[:2] == ("sessions", BucketKind.DAY))
    live.cells[place] = {}
    assert any(b.what == "sessions" and b.live == 0 for b in compare_buckets(live, counted, with_people=True))
    assert list(compare_buckets(live, counted, with_people=False)) == []


def test_a_product_with_another_number_is_found(counted: ReconciledTotals) -> None:
    live = copy_totals(counted)
    place = next(p for p in live.cells if p[:2] == ("products", BucketKind.DAY))
    name = next(name for name in live.cells[place] if name.startswith("views\x1f"))
    live.cells[place][name] += 1
    assert any(name.split("\x1f")[1] in b.what for b in compare_buckets(live, counted, with_people=True))


def test_estimates_may_be_off_by_their_error(counted: ReconciledTotals) -> None:
    place = next(p for p in counted.persons if p[0] == "")
    for off, is_equal in ((0.02, True), (-0.02, True), (0.2, False)):
        live = copy_totals(counted)
        live.persons[place] += round(off * live.persons[place])
        rows = compare_metrics(live, counted, with_people=True, ids={place: counted.persons[place]})
        assert [row.is_equal for row in rows if row.name.startswith("visitors")] == [is_equal]


def test_visitors_may_be_too_many_by_the_ids_before_links_but_never_too_few(counted: ReconciledTotals) -> None:
    place = next(p for p in counted.persons if p[0] == "")
    persons = counted.persons[place]
    for off, is_equal in ((0.4, True), (0.7, False), (-0.02, True), (-0.4, False)):
        live = copy_totals(counted)
        live.persons[place] += round(off * persons)
        rows = compare_metrics(live, counted, with_people=True, ids={place: round(1.5 * persons)})
        assert [row.is_equal for row in rows if row.name.startswith("visitors")] == [is_equal]
