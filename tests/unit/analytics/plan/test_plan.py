"""Tables of questions and their plans, without a store."""

from __future__ import annotations

from datetime import datetime

import pytest

from rtaplatform.analytics.ask.parse import parse_parameters
from rtaplatform.analytics.plan.plan import QueryPlan, make_plan
from rtaplatform.analytics.plan.plan_cache import PlanCache
from rtaplatform.analytics.plan.shapes import OnlinePlan, PersonsPlan, SumsPlan
from rtaplatform.core.errors import InvalidParameter
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.rollups import OTHER, make_field
from rtaplatform.core.time.buckets import MINUTE_MS, BucketKind

NOW = int(datetime.fromisoformat("2026-11-22T12:34:56+01:00").timestamp() * 1000)
BERLIN = ProjectSettings("demo", "Europe/Berlin")


def make_query_plan(metric: str, **parameters: str) -> QueryPlan:
    pairs = [({"start": "from", "end": "to"}.get(name, name), value) for name, value in parameters.items()]
    return make_plan(parse_parameters(metric, pairs), BERLIN, NOW // MINUTE_MS * MINUTE_MS)


def format_local(minute: int, zone: str = "Europe/Berlin") -> str:
    from zoneinfo import ZoneInfo

    return datetime.fromtimestamp(minute * 60, ZoneInfo(zone)).strftime("%m-%d %H:%M")


def summarise_tiles(plan: QueryPlan) -> str:
    """Runs of tiles: `24m 23h` …"""
    runs: list[tuple[str, int]] = []
    for kind, _ in plan.period.tiles:
        if runs and runs[-1][0] == kind.value:
            runs[-1] = (kind.value, runs[-1][1] + 1)
        else:
            runs.append((kind.value, 1))
    return " ".join(f"{number}{kind}" for kind, number in runs)


VIEWS = tuple(make_field("count", "Product Viewed", s) for s in ("web", "ios", "android", "server"))
SHAPES = [
    ("events", {}, "activity", ("count",)),
    ("events", {"bots": "include"}, "activity", ("count", "~count")),
    ("product_views", {}, "activity", VIEWS),
    ("product_views", {"source": "web"}, "activity", VIEWS[:1]),
    ("events", {"breakdown": "source"}, "activity", None),
    ("events", {"event": "A,B", "source": "web"}, "activity",
     (make_field("count", "A", "web"), make_field("count", "B", "web"), make_field("count", OTHER, "web"))),
    ("events", {"country": "DE"}, "events", None),
    ("events", {"breakdown": "source,device"}, "events", None),
    ("orders", {"product_id": "p-1"}, "products", (make_field("orders", "p-1"), make_field("orders", OTHER))),
    ("revenue", {"breakdown": "product_id"}, "products", None),
    ("product_views", {"event": "Other"}, "activity", ()),
    ("orders", {"product_id": "p-1,p-2"}, "products",
     (make_field("orders", "p-1"), make_field("orders", "p-2"), make_field("orders", OTHER), "shared_orders")),
    ("orders", {"product_id": "p-1,p-2", "breakdown": "product_id"}, "products",
     (make_field("orders", "p-1"), make_field("orders", "p-2"), make_field("orders", OTHER))),
    ("units", {"product_id": "(none)"}, "products", (make_field("units", ""),)),
    ("refunds", {"source": "web"}, "activity",
     (make_field("refunds", "Order Cancelled", "web"), make_field("refunds", "Order Refunded", "web"))),
    ("orders", {"breakdown": "product_id,country"}, "sales", None),
    ("revenue", {"product_id": "p-1", "country": "DE", "source": "web"}, "sales",
     (make_field("revenue", "p-1", "DE", "web"), make_field("revenue", OTHER, OTHER, "web"))),
    ("adds_to_cart", {"source": "web", "product_category": "shoes"}, "sales", None),
]  # fmt: skip


@pytest.mark.parametrize(("metric", "parameters", "rollup", "fields"), SHAPES)
def test_plan_takes_the_smallest_rollup_and_the_fewest_fields(
    metric: str, parameters: dict[str, str], rollup: str, fields: tuple[str, ...] | None
) -> None:
    shape = make_query_plan(metric, **parameters).shape
    assert isinstance(shape, SumsPlan)
    assert (shape.rollup, shape.fields) == (rollup, fields)


def test_persons_are_read_by_one_dimension() -> None:
    assert make_query_plan("visitors").shape == PersonsPlan("", ("",))
    assert make_query_plan("visitors", source="web,ios").shape == PersonsPlan("source", ("ios", "web"))
    assert make_query_plan("visitors", breakdown="product_id").shape == PersonsPlan("product_id", None)
    assert make_query_plan("buyers").shape == PersonsPlan("", ("",), of="buyers")
    assert make_query_plan("buyers", source="web").shape == PersonsPlan("source", ("web",), of="buyers")
    assert make_query_plan("online").shape == OnlinePlan()


PERIODS = [
    # question, from, to, tiles
    ("events", {}, "11-21 12:34", "11-22 12:35", "26m 11h 12h 35m"),
    ("events", {"start": "-5m"}, "11-22 12:29", "11-22 12:35", "6m"),
    ("events", {"start": "2026-11-22"}, "11-22 00:00", "11-22 12:35", "12h 35m"),
    ("events", {"start": "2026-11-21", "end": "2026-11-22"}, "11-21 00:00", "11-22 00:00", "1d"),
    ("events", {"start": "-3d"}, "11-19 12:00", "11-22 13:00", "12h 2d 13h"),
    ("events", {"start": "-90d"}, "08-24 00:00", "11-23 00:00", "91d"),
    ("events", {"start": "2026-10-25", "end": "2026-10-26"}, "10-25 00:00", "10-26 00:00", "1d"),
    ("visitors", {"start": "-5m"}, "11-22 12:29", "11-22 12:35", "6m"),
    ("visitors", {"start": "-5m", "source": "web"}, "11-22 12:00", "11-22 13:00", "1h"),
    ("online", {"start": "-90d"}, "11-22 12:29", "11-22 12:35", "6m"),
]


@pytest.mark.parametrize(("metric", "parameters", "start", "end", "tiles"), PERIODS)
def test_a_period_is_rounded_and_tiled(
    metric: str, parameters: dict[str, str], start: str, end: str, tiles: str
) -> None:
    plan = make_query_plan(metric, **parameters)
    assert (format_local(plan.period.start), format_local(plan.period.end)) == (start, end)
    assert summarise_tiles(plan) == tiles.replace("11h 12h", "23h")


POINTS = [
    ({"interval": "minute", "start": "-5m"}, 6, "11-22 12:29"),
    ({"interval": "hour", "start": "-2h"}, 3, "11-22 10:00"),
    ({"interval": "day", "start": "-2d"}, 3, "11-20 00:00"),
    ({"interval": "week", "start": "2026-11-22"}, 1, "11-16 00:00"),
    ({"interval": "week", "start": "2026-11-22", "week_start": "sunday"}, 1, "11-22 00:00"),
    ({"interval": "month", "start": "2026-01-15"}, 11, "01-01 00:00"),
    ({"interval": "hour", "start": "2026-10-25", "end": "2026-10-26"}, 25, "10-25 00:00"),
    ({"interval": "hour", "start": "-1h", "timezone": "Asia/Kolkata"}, 2, "11-22 11:30"),
]


@pytest.mark.parametrize(("parameters", "points", "first"), POINTS)
def test_each_bucket_of_the_interval_is_a_point(parameters: dict[str, str], points: int, first: str) -> None:
    spans = make_query_plan("events", **parameters).period.spans
    assert (len(spans), format_local(spans[0].start)) == (points, first)


def test_another_zone_is_tiled_by_hours_where_offsets_differ_by_whole_hours() -> None:
    plan = make_query_plan("events", start="2026-11-10", end="2026-11-12", interval="day", timezone="America/New_York")
    assert [format_local(span.start, "America/New_York") for span in plan.period.spans] == [
        "11-10 00:00",
        "11-11 00:00",
    ]
    assert {kind for kind, _ in plan.period.tiles} <= {BucketKind.HOUR, BucketKind.DAY}
    assert plan.period.end - plan.period.start == 48 * 60


COMPARED = [
    ({"start": "2026-11-21", "end": "2026-11-22", "compare": "previous_period"}, "11-20 00:00"),
    ({"start": "-1h", "compare": "previous_period"}, "11-22 10:33"),
    ({"start": "-24h", "compare": "previous_period"}, "11-20 11:00"),
    ({"start": "2026-10-26", "end": "2026-10-28", "compare": "previous_period"}, "10-24 00:00"),
    ({"start": "2026-11-21", "end": "2026-11-22", "compare": "previous_year"}, "11-21 00:00"),
]


@pytest.mark.parametrize(("parameters", "first"), COMPARED)
def test_previous_period_is_as_long_and_tiled_as_exactly(parameters: dict[str, str], first: str) -> None:
    previous = make_query_plan("events", **parameters).period.previous
    assert previous
    assert format_local(previous[0][1]) == first


def test_previous_period_that_is_no_longer_kept_is_none() -> None:
    plan = make_query_plan("events", start="2026-01-01", end="2026-11-01", compare="previous_year")
    assert plan.period.previous is None
    assert plan.period.is_kept


def test_a_period_older_than_all_buckets_says_so() -> None:
    assert not make_query_plan("events", start="2024-01-01").period.is_kept


REFUSED = [
    ("events", {"start": "-1h", "end": "-2h"}, "from"),
    ("events", {"start": "now"}, "from"),
    ("events", {"start": "1969-12-31"}, "from"),
    ("events", {"start": "-999999999w"}, "from"),
    ("events", {"start": "2010-01-01"}, "from"),
    ("events", {"end": "2026-11-24"}, "to"),
    ("events", {"end": "9999-12-31"}, "to"),
    ("events", {"interval": "minute", "start": "-3d"}, "interval"),
    ("events", {"interval": "hour", "start": "-61d"}, "interval"),
    ("events", {"interval": "minute", "start": "-48h", "compare": "previous_period"}, "interval"),
    ("visitors", {"interval": "minute", "source": "web"}, "interval"),
    ("events", {"interval": "day", "start": "-50d", "timezone": "Asia/Kolkata"}, "timezone"),
    ("events", {"interval": "day", "start": "-90d", "timezone": "UTC"}, "timezone"),
    ("orders", {"breakdown": "event,product_id"}, "breakdown"),
    ("orders", {"product_id": "p", "device": "phone"}, "product_id"),
    ("visitors", {"source": "web", "breakdown": "product_id"}, "breakdown"),
    ("visitors", {"source": "web", "product_id": "p"}, "source"),
    ("events", {"interval": "minute", "start": "-40h", "breakdown": "source", "limit": "1000"}, "limit"),
]


@pytest.mark.parametrize(("metric", "parameters", "name"), REFUSED)
def test_refused_query_names_its_field(metric: str, parameters: dict[str, str], name: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        make_query_plan(metric, **parameters)
    assert refused.value.field == name
    assert refused.value.allowed
    assert refused.value.hint


def test_plan_is_reused_within_its_minute() -> None:
    query, plans = parse_parameters("events", []), PlanCache()
    assert plans.plan(query, BERLIN, NOW) is plans.plan(query, BERLIN, NOW + 1_000)
    assert plans.plan(query, BERLIN, NOW) != plans.plan(query, BERLIN, NOW + MINUTE_MS)


def test_plans_of_earlier_minutes_are_dropped() -> None:
    query, plans = parse_parameters("events", [("from", "-24h"), ("interval", "minute")]), PlanCache()
    for minute in range(5):
        plans.plan(query, BERLIN, NOW + minute * MINUTE_MS)
        assert plans.buckets < 2 * 1_500


def test_plans_of_one_minute_are_bounded() -> None:
    plans = PlanCache(buckets_max=5_000)
    for hours in range(1, 40):
        plans.plan(parse_parameters("events", [("from", f"-{hours}h"), ("interval", "minute")]), BERLIN, NOW)
        assert plans.buckets <= 5_000


def test_metrics_of_one_request_share_their_period() -> None:
    plans = PlanCache()
    periods = [plans.plan(parse_parameters(name, []), BERLIN, NOW).period for name in ("events", "orders")]
    assert periods[0] is periods[1]
