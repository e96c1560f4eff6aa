"""Answers by page, campaign, technology and region, of simulated traffic that a worker has counted: the oracle's."""

from __future__ import annotations

from collections import Counter

import pytest

from rtaplatform.analytics.cache.window_cache import list_total_fields
from rtaplatform.core.errors import InvalidParameter
from rtaplatform.core.rollups import SEPARATOR, VISITS
from rtaplatform.simulate.oracle.oracle_truth import Truth
from tests.unit.analytics.answer.counted_traffic import Counted, ask, count_traffic, read_totals


@pytest.fixture(scope="module")
def counted() -> Counted:
    return count_traffic()


def sum_truth(truth: Truth, rollup: str, measure: str, *at: int) -> dict[tuple[str, ...], int]:
    sums: Counter[tuple[str, ...]] = Counter()
    for (name, kind, _start, values), numbers in truth.origins["demo"].cells.items():
        if name == rollup and kind == "day":
            sums[tuple(values[index] for index in at)] += numbers[measure]
    return {values: n for values, n in sums.items() if n}


@pytest.mark.parametrize(
    ("metric", "measure", "rollup", "breakdown", "at"),
    [
        ("page_views", "page_views", "pages", "page", (0,)),
        ("page_views", "page_views", "pages", "page,source", (0, 1)),
        ("events", "count", "acquisition", "channel", (4,)),
        ("events", "count", "acquisition", "utm_source,utm_medium,utm_campaign", (0, 1, 2)),
        ("page_views", "page_views", "acquisition", "referrer", (3,)),
        ("page_views", "page_views", "technology", "os,browser,device", (0, 1, 2)),
        ("events", "count", "regions", "country,region", (0, 1)),
        ("events", "count", "regions", "language", (2,)),
    ],
)
def test_sums_are_the_oracles(
    counted: Counted, metric: str, measure: str, rollup: str, breakdown: str, at: tuple[int, ...]
) -> None:
    store, truth = counted
    assert read_totals(ask(store, metric, breakdown=breakdown)) == (want := sum_truth(truth, rollup, measure, *at))
    assert len(want) > 1


@pytest.mark.parametrize("dimension", ["page", "channel", "utm_campaign", "browser", "os", "region", "language"])
def test_visitors_are_the_oracles_without_those_of_events_that_lack_the_value(counted: Counted, dimension: str) -> None:
    store, truth = counted
    people = truth.count_people("demo")
    want = {
        (value,): len({people.find_canonical(people.find_heir(person)) for person in ids})
        for (kind, _, name, value), ids in truth.projects["demo"].persons.items()
        if (kind, name) == ("day", dimension)
    }
    totals = read_totals(ask(store, "visitors", breakdown=dimension))
    assert totals.keys() == want.keys()
    assert all(abs(totals[value] - want[value]) <= max(2, 0.1 * want[value]) for value in want)


@pytest.mark.parametrize(
    ("metric", "rollup", "measure", "breakdown", "at"),
    [
        ("sessions", "origins", "sessions", "channel", 4),
        ("orders", "origins", "orders", "utm_source", 0),
        ("revenue", "origins", "revenue", "channel", 4),
        ("entries", "session_pages", "entries", "page", 0),
        ("exits", "session_pages", "exits", "page", 0),
    ],
)
def test_sessions_and_their_orders_are_the_oracles(
    counted: Counted, metric: str, rollup: str, measure: str, breakdown: str, at: int
) -> None:
    store, truth = counted
    want: Counter[tuple[str, ...]] = Counter()
    for (name, kind, _), fields in truth.count_people("demo").count_cells().items():
        for counter, n in fields.items() if (name, kind) == (rollup, "day") else ():
            if counter.startswith(measure + SEPARATOR):
                want[(counter.split(SEPARATOR)[at + 1] or "(none)",)] += n
    totals = read_totals(ask(store, metric, breakdown=breakdown))
    assert totals == {value: n / 10_000 if metric == "revenue" else n for value, n in want.items() if n}
    assert len(totals) > 1
    assert sum(totals.values()) == pytest.approx(read_totals(ask(store, metric))[()])


def test_a_filter_takes_one_campaign(counted: Counted) -> None:
    store, truth = counted
    want = sum_truth(truth, "acquisition", "count", 0, 4)
    totals = read_totals(ask(store, "events", utm_source="newsletter", breakdown="channel"))
    assert totals == {(channel,): n for (source, channel), n in want.items() if source == "newsletter"}


@pytest.mark.parametrize(
    ("metric", "parameters", "field"),
    [
        ("visitors", {"utm_source": "(none)"}, "utm_source"),
        ("events", {"breakdown": "browser", "event": "$page"}, "breakdown"),
        ("events", {"breakdown": "page"}, "breakdown"),
        ("page_views", {"breakdown": "browser", "interval": "minute"}, "interval"),
        ("buyers", {"breakdown": "channel"}, "breakdown"),
    ],
)
def test_what_is_not_kept_is_refused(counted: Counted, metric: str, parameters: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidParameter) as refusal:
        ask(counted[0], metric, **parameters)
    assert refusal.value.field == field


def test_a_kept_bucket_is_read_again_after_each_page_view() -> None:
    """An engine compares a total that every page view changes; a rollup without it would be read once and kept."""
    for rollup in VISITS:
        totals = list_total_fields(rollup.name, ("page_views",), with_bots=False)
        assert set(totals) & {"count", "page_views"} & set(rollup.measures), rollup.name
