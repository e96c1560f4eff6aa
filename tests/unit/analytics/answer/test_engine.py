from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtaplatform.analytics.answer.answer_shape import INCOMPLETE
from rtaplatform.analytics.answer.question_job import QUALITY_MEASURES
from rtaplatform.analytics.ask.parse import parse_parameters
from rtaplatform.core.errors import InvalidParameter, NotFound, Stopped, Unavailable
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.rollups import ACTIVITY, OTHER, make_field
from rtaplatform.core.time.buckets import BucketKind
from rtaplatform.store.port import CellsKey, Delta
from tests.examples import count_examples
from tests.unit.analytics.shop import NOON, PROJECT, Happening, Shop

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


async def ask(shop: Shop, metric: str, **parameters: str) -> Any:
    """The answer as a client reads it."""
    pairs = [({"start": "from", "end": "to"}.get(name, name), value) for name, value in parameters.items()]
    answers = await shop.engine.answer("demo", [parse_parameters(metric, pairs)])
    return msgspec.json.decode(msgspec.json.encode(answers[0]))


def make_order(at_ms: int, product: str, revenue: int, **more: Any) -> Happening:
    return Happening(at_ms, "Order Completed", product=product, revenue=revenue, **more)


@pytest.fixture
def shop() -> Shop:
    shop = Shop()
    shop.take(
        [
            Happening(NOON - MINUTE),
            Happening(NOON - MINUTE, person="b", source="ios"),
            Happening(NOON - HOUR, "Product Viewed", product="p-1"),
            Happening(NOON - HOUR, "Product Viewed", product="p-2", person="b", source="ios"),
            Happening(NOON - HOUR, "Product Viewed", product="p-2", person="c"),
            make_order(NOON - 2 * HOUR, "p-1", 125_001, person="c"),
            make_order(NOON - 2 * HOUR, "p-2", 10_000, source="ios", country=""),
            Happening(NOON - MINUTE, person="crawler", is_bot=True),
        ]
    )
    return shop


async def test_answer_has_the_form_of_the_contract(shop: Shop) -> None:
    answer = await ask(shop, "orders", start="2026-11-22", end="2026-11-22T12:00", interval="hour", breakdown="source")
    points = [f"2026-11-22T{hour:02}:00:00+01:00" for hour in range(12)]
    assert answer == {
        "metric": "orders", "unit": "count", "from": "2026-11-22T00:00:00+01:00", "to": "2026-11-22T12:00:00+01:00",
        "interval": "hour", "timezone": "Europe/Berlin",
        "results": [
            {"dimensions": {"source": source}, "total": 1, "previous": None,
             "points": [[time, int(time == points[10])] for time in points]}
            for source in ("ios", "web")
        ],
        "meta": {"as_of": None, "lag_ms": None, "complete": False, "exact": True, "error": 0,
                 "late": 0, "duplicates": 0, "dead": 0, "unreadable_times": 0, "unreadable_amounts": 0,
                 "repeated_orders": 0, "more_rows": False, "reasons": [INCOMPLETE]},
    }  # fmt: skip


async def test_money_is_in_currency_units_with_the_currency_beside(shop: Shop) -> None:
    answer = await ask(shop, "revenue")
    assert (answer["currency"], answer["results"][0]["total"]) == ("EUR", 13.5001)
    assert answer["meta"]["other_currencies"] == 0
    assert (await ask(shop, "units"))["results"][0]["total"] == 2


async def test_foreign_orders_are_counted_beside_revenue(shop: Shop) -> None:
    shop.take([make_order(NOON - HOUR, "p-1", 0, is_foreign=True)])
    assert (await ask(shop, "revenue"))["meta"]["other_currencies"] == 1
    assert (await ask(shop, "revenue", product_id="p-1"))["meta"]["other_currencies"] == 1


async def test_totals(shop: Shop) -> None:
    totals = {
        name: (await ask(shop, name))["results"][0]["total"] for name in ("events", "page_views", "product_views")
    }
    assert totals == {"events": 7, "page_views": 2, "product_views": 3}
    assert (await ask(shop, "visitors"))["results"][0]["total"] == 3
    assert (await ask(shop, "online"))["results"][0]["total"] == 2


async def test_bots_count_only_where_asked_for_and_never_as_persons(shop: Shop) -> None:
    assert (await ask(shop, "events", bots="include"))["results"][0]["total"] == 8
    assert (await ask(shop, "page_views", bots="include"))["results"][0]["total"] == 3
    assert (await ask(shop, "visitors", bots="include"))["results"][0]["total"] == 3


async def test_filters_and_breakdowns_agree(shop: Shop) -> None:
    rows = (await ask(shop, "events", breakdown="source,event"))["results"]
    for row in rows:
        alone = await ask(shop, "events", **row["dimensions"])
        assert alone["results"][0]["total"] == row["total"]
    assert sum(row["total"] for row in rows) == 7
    assert [row["total"] for row in rows] == sorted((row["total"] for row in rows), reverse=True)


async def test_empty_value_is_shown_and_filtered_as_none(shop: Shop) -> None:
    rows = (await ask(shop, "orders", breakdown="country"))["results"]
    assert [row["dimensions"]["country"] for row in rows] == ["(none)", "DE"]
    assert (await ask(shop, "orders", country="(none)"))["results"][0]["total"] == 1


async def test_what_sells_where(shop: Shop) -> None:
    sold = [("p-1", "DE", "web"), ("p-1", "DE", "ios"), ("p-1", "FR", "web"), ("p-2", "FR", "web")]
    shop.take(
        Happening(NOON - HOUR, "Order Completed", product=product, country=country, source=source, revenue=50_000)
        for product, country, source in sold
    )
    rows = (await ask(shop, "revenue", start="-2h", breakdown="product_id,country", source="web", limit="3"))["results"]
    revenues = {(row["dimensions"]["product_id"], row["dimensions"]["country"]): row["total"] for row in rows}
    assert revenues[("p-1", "FR")] == revenues[("p-2", "FR")] == 5
    answer = await ask(shop, "units", start="-3h", interval="hour", product_id="p-1", country="FR")
    assert answer["results"][0]["total"] == 1
    with pytest.raises(InvalidParameter, match="not kept"):
        await ask(shop, "units", interval="minute", product_id="p-1", country="FR")


async def test_buyers_are_persons_with_an_order(shop: Shop) -> None:
    shop.take(
        [make_order(NOON - HOUR, "p-1", 10_000, person="d"), make_order(NOON - 2 * HOUR, "p-2", 10_000, person="d")]
    )
    answer = await ask(shop, "buyers", start="-3h", interval="hour")
    assert (answer["results"][0]["total"], [n for _, n in answer["results"][0]["points"]]) == (3, [0, 3, 1, 0])
    assert (answer["meta"]["exact"], answer["meta"]["error"]) == (False, 0.0081)
    for breakdown, expected in (("source", {"web": 2, "ios": 1}), ("product_id", {"p-1": 2, "p-2": 2})):
        rows = (await ask(shop, "buyers", breakdown=breakdown))["results"]
        assert {row["dimensions"][breakdown]: row["total"] for row in rows} == expected
    assert (await ask(shop, "buyers", product_id="p-1"))["results"][0]["total"] == 2
    with pytest.raises(InvalidParameter, match="not kept"):
        await ask(shop, "buyers", interval="minute")


async def test_rows_beyond_the_limit_are_dropped(shop: Shop) -> None:
    rows = (await ask(shop, "product_views", breakdown="product_id", limit="1"))["results"]
    assert [(row["dimensions"]["product_id"], row["total"]) for row in rows] == [("p-2", 2)]


async def test_persons_by_a_dimension_are_unions(shop: Shop) -> None:
    rows = (await ask(shop, "visitors", breakdown="source", start="-3h", interval="hour"))["results"]
    totals = {row["dimensions"]["source"]: (row["total"], [n for _, n in row["points"]]) for row in rows}
    assert totals == {"web": (2, [0, 1, 2, 0]), "ios": (2, [0, 1, 1, 0])}
    answer_of_both = await ask(shop, "visitors", source="web,ios")
    assert answer_of_both["results"][0]["total"] == 3
    assert (answer_of_both["meta"]["exact"], answer_of_both["meta"]["error"]) == (False, 0.0081)


async def test_persons_by_country_and_device_are_unions_too(shop: Shop) -> None:
    shop.take([
        Happening(NOON - HOUR, country="FR", person="x"),
        Happening(NOON - 2 * HOUR, country="FR", person="x"),
        Happening(NOON - HOUR, "Order Completed", country="FR", person="y", product="p-1"),
    ])  # fmt: skip
    visitors, buyers = {"DE": 3, "FR": 2, "(none)": 1}, {"DE": 1, "FR": 1, "(none)": 1}
    for metric, everyone, by_country in (("visitors", 5, visitors), ("buyers", 3, buyers)):
        rows = (await ask(shop, metric, breakdown="country", start="-3h"))["results"]
        assert {row["dimensions"]["country"]: row["total"] for row in rows} == by_country
        assert (await ask(shop, metric, device="phone", start="-3h"))["results"][0]["total"] == everyone
    with pytest.raises(InvalidParameter):
        await ask(shop, "visitors", breakdown="country", source="web")


async def test_persons_by_a_dimension_with_many_values_are_ranked(shop: Shop) -> None:
    shop.take(
        Happening(NOON - HOUR, "Product Viewed", product=f"q-{n:02}", person=f"v-{m}")
        for n in range(30)
        for m in range(n)
    )
    rows = (await ask(shop, "visitors", breakdown="product_id", limit="3"))["results"]
    assert [(r["dimensions"]["product_id"], r["total"]) for r in rows] == [("q-29", 29), ("q-28", 28), ("q-27", 27)]


async def test_without_events_there_is_one_empty_result() -> None:
    answer = await ask(Shop(), "events", interval="hour", start="-1h")
    assert answer["results"] == [
        {"dimensions": {}, "total": 0, "previous": None, "points": [
            ["2026-11-22T11:00:00+01:00", 0], ["2026-11-22T12:00:00+01:00", 0]]}
    ]  # fmt: skip
    assert (await ask(Shop(), "events", breakdown="source"))["results"] == []
    assert (await ask(Shop(), "visitors", breakdown="source"))["results"] == []


async def test_previous_is_the_period_before(shop: Shop) -> None:
    shop.take([Happening(NOON - DAY - 2 * HOUR)] * 5)
    answer = await ask(shop, "events", start="2026-11-22", end="2026-11-22T12:00", compare="previous_period")
    assert (answer["results"][0]["total"], answer["results"][0]["previous"]) == (7, 5)
    assert answer["previous_from"] == "2026-11-21T00:00:00+01:00"
    assert answer["previous_to"] == "2026-11-21T12:00:00+01:00"
    answer = await ask(shop, "events", start="2026-11-22", compare="previous_period", end="2026-11-23")
    assert (answer["results"][0]["total"], answer["results"][0]["previous"]) == (7, 5)


async def test_without_a_comparison_there_is_no_period_before(shop: Shop) -> None:
    answer = await ask(shop, "events")
    assert answer["results"][0]["previous"] is None
    assert not {"previous_from", "previous_to"} & set(answer)


async def test_period_older_than_all_buckets_has_a_reason(shop: Shop) -> None:
    meta = (await ask(shop, "events", start="2020-01-01"))["meta"]
    assert not meta["complete"]
    assert "400 days" in meta["reasons"][0]
    answer = await ask(shop, "events", start="2026-01-01", end="2026-11-01", compare="previous_year")
    assert answer["results"][0]["previous"] is None
    assert answer["previous_from"] == "2025-01-01T00:00:00+01:00"
    assert "`previous` is null" in answer["meta"]["reasons"][0]


async def test_unfinished_day_is_compared_by_whole_days_if_only_days_are_kept(shop: Shop) -> None:
    answer = await ask(shop, "events", start="2026-11-22", compare="previous_year")
    assert (answer["to"], answer["previous_to"]) == ("2026-11-23T00:00:00+01:00", "2025-11-23T00:00:00+01:00")
    assert "whole days" in answer["meta"]["reasons"][0]


async def test_answer_tells_of_rows_beyond_the_limit(shop: Shop) -> None:
    for metric in ("product_views", "visitors"):
        for limit, more in (("1", True), ("2", False), ("1000", False)):
            answer = await ask(shop, metric, breakdown="product_id", limit=limit)
            assert answer["meta"]["more_rows"] is more
            assert len(answer["results"]) == min(int(limit), 2)
    assert "more_rows" not in (await ask(shop, "events"))["meta"]


async def test_request_with_too_many_large_questions_is_refused(shop: Shop) -> None:
    parameters = [("from", "-24h"), ("interval", "minute"), ("breakdown", "source"), ("limit", "60")]
    queries = [parse_parameters(name, parameters) for name in ("events", "page_views", "product_views")]
    assert (await shop.engine.check("demo", queries[:1])).reads > 10
    for ask_them in (shop.engine.check, shop.engine.answer):
        with pytest.raises(InvalidParameter) as refused:
            await ask_them("demo", queries)
        assert refused.value.field == "queries"


async def test_hidden_values_are_shown_as_other_or_make_the_answer_inexact(shop: Shop) -> None:
    hour = CellsKey("demo", ACTIVITY.name, BucketKind.HOUR, (NOON - HOUR) // MINUTE)
    shop.store.apply(0, "g1", Delta(moves=[], cells={hour: {make_field("count", OTHER, "ios"): 4, "count": 4}}))
    answer = await ask(shop, "events", start="-72h", breakdown="event")
    assert ({"event": "(other)"}, 4) in [(row["dimensions"], row["total"]) for row in answer["results"]]
    for parameters in ({"event": "any"}, {"event": "any", "source": "ios"}):
        answer = await ask(shop, "events", start="-72h", **parameters)
        assert (answer["meta"]["exact"], answer["meta"]["error"]) == (False, None)
    for parameters in ({}, {"source": "web"}, {"breakdown": "source"}, {"event": "any", "source": "web"}):
        assert (await ask(shop, "events", start="-72h", **parameters))["meta"]["exact"]


async def test_answer_tells_late_and_duplicate_events_of_its_period(shop: Shop) -> None:
    counted = {measure: number for number, measure in enumerate(QUALITY_MEASURES.values(), 1)}
    shop.take([], **counted)
    meta = (await ask(shop, "visitors"))["meta"]
    assert [meta[name] for name in QUALITY_MEASURES] == list(counted.values())
    by_minute = await ask(shop, "visitors", interval="minute")
    assert [by_minute["meta"][name] for name in QUALITY_MEASURES] == list(counted.values())
    assert (await ask(shop, "events", start="-2h", end="-1h"))["meta"]["late"] == 0


async def test_new_zone_of_the_project_applies_at_once(shop: Shop) -> None:
    assert (await ask(shop, "events"))["timezone"] == "Europe/Berlin"
    shop.store.set_projects([ProjectSettings("demo", "Asia/Tokyo", "JPY")], "2")
    assert (await ask(shop, "revenue"))["currency"] == "JPY"


async def test_queries_of_a_request_share_one_snapshot(shop: Shop) -> None:
    calls: list[int] = []
    read = shop.store.read

    async def counted(project: str, reads: Any) -> Any:
        calls.append(len(reads))
        return await read(project, reads)

    shop.store.read = counted  # type: ignore[method-assign]  # counts, and passes on
    await shop.engine.read_project("demo")
    calls.clear()
    queries = [parse_parameters(name, []) for name in ("events", "orders", "revenue", "visitors", "online")]
    answers = await shop.engine.answer("demo", queries)
    assert len(calls) == 1
    assert [a.metric for a in answers] == ["events", "orders", "revenue", "visitors", "online"]


async def test_an_outage_and_an_unknown_project_are_errors(shop: Shop) -> None:
    with pytest.raises(NotFound):
        await shop.engine.answer("nobody", [parse_parameters("events", [])])
    shop.store.is_away = True
    with pytest.raises(Unavailable):
        await ask(shop, "events")
    shop.store.is_away = False
    shop.store.empty(0)
    with pytest.raises(Stopped):
        await ask(shop, "events")


events = st.builds(
    Happening,
    at_ms=st.integers(NOON - 70 * DAY, NOON + 4 * MINUTE),
    event=st.sampled_from(("$page", "Signed Up", "$screen")),
    source=st.sampled_from(("web", "ios")),
    person=st.sampled_from("abcd"),
)
PERIODS = st.sampled_from(
    ("-10m", "-24h", "-47h", "-49h", "-10d", "-61d", "2026-11-22", "2026-10-25", "2026-11-22T03:17", "-2w")
)


@settings(max_examples=count_examples(25), deadline=None)
@given(
    happenings=st.lists(events, max_size=40),
    start=PERIODS,
    interval=st.sampled_from(("none", "hour", "day", "week", "month")),
)
async def test_every_answer_is_a_recount_of_its_period(happenings: list[Happening], start: str, interval: str) -> None:
    shop = Shop(PROJECT)
    shop.take(happenings)
    parameters = {"start": start, "interval": interval if start != "-61d" or interval != "hour" else "day"}
    answer, people = await ask(shop, "events", **parameters), await ask(shop, "visitors", **parameters)
    first, last = _parse_ms(answer["from"]), _parse_ms(answer["to"])
    inside = [h for h in happenings if first <= h.at_ms < last]
    assert answer["results"][0]["total"] == len(inside)
    assert people["results"][0]["total"] == len({h.person for h in inside})
    points = answer["results"][0]["points"]
    assert bool(points) == (interval != "none")
    if not points:
        return
    starts = [_parse_ms(time) for time, _ in points]
    for (_, number), low, high in zip(points, starts, [*starts[1:], last], strict=True):
        assert number == sum(max(low, first) <= h.at_ms < high for h in inside)


@settings(max_examples=count_examples(25), deadline=None)
@given(
    happenings=st.lists(events, max_size=40),
    start=st.sampled_from(("-10m", "-5h", "2026-11-22", "2026-11-20", "2026-10-25", "-2w", "2026-11-22T03:17")),
    interval=st.sampled_from(("none", "day")),
    zone=st.sampled_from(("Europe/Berlin", "America/New_York")),
    now=st.integers(NOON - 2 * HOUR, NOON + 11 * HOUR),
)
async def test_previous_is_a_recount_of_its_period(
    happenings: list[Happening], start: str, interval: str, zone: str, now: int
) -> None:
    shop = Shop(PROJECT)
    shop.take(happenings)
    shop.clock.at_ms = now
    for metric in ("events", "visitors"):
        answer = await ask(shop, metric, start=start, interval=interval, timezone=zone, compare="previous_period")
        first, last = _parse_ms(answer["previous_from"]), _parse_ms(answer["previous_to"])
        inside = [h for h in happenings if first <= h.at_ms < last]
        previous = answer["results"][0]["previous"]
        assert previous == (len(inside) if metric == "events" else len({h.person for h in inside}))
        assert last <= _parse_ms(answer["from"])


def _parse_ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


async def test_metrics_together_and_alone_agree(shop: Shop) -> None:
    questions = [
        parse_parameters(name, parameters)
        for name in ("events", "page_views", "product_views", "orders", "revenue", "units")
        for parameters in ([], [("source", "web")], [("bots", "include")], [("breakdown", "event")])
    ]
    together = await shop.engine.answer("demo", questions)
    assert together == [(await shop.engine.answer("demo", [question]))[0] for question in questions]
