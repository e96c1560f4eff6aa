"""Ratios and differences of metrics, compared with a recount of the events in fractions."""

from __future__ import annotations

import math
from datetime import datetime
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtaplatform.analytics.ask.parse import parse_object
from rtaplatform.analytics.live.answer_changes import find_answer_changes
from rtaplatform.analytics.plan.plan import make_plan
from rtaplatform.core.errors import InvalidParameter
from rtaplatform.core.metrics import METRICS, AdditiveMetric, Combination, DerivedMetric, DistinctMetric
from rtaplatform.core.query import Answer
from rtaplatform.core.rollups import ACTIVITY, EVENTS, OTHER, PRODUCTS, REFUND_EVENTS, make_field
from rtaplatform.core.time.buckets import BucketKind
from rtaplatform.serve.http.csv_tables import write_answer
from rtaplatform.store.port import CellsKey, Delta
from tests.examples import count_examples
from tests.unit.analytics.catalog import Catalog, Product
from tests.unit.analytics.shop import NOON, PROJECT, Happening, Shop, list_keys_at, make_engine_without_caches

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
VIEWED, ADDED, ORDERED = "Product Viewed", "Product Added", "Order Completed"
CATALOG = {"p-1": Product("Shoe", "shoes", brand="Acme"), "p-2": Product("Hat", "hats", brand="Acme")}
# name: (events above, events below)
EVENTS_OF = {
    "view_to_cart": (ADDED, VIEWED),
    "cart_to_order": (ORDERED, ADDED),
    "view_to_order": (ORDERED, VIEWED),
}


async def ask(shop: Shop, metric: str, **fields: Any) -> Answer:
    return (await shop.engine.answer("demo", [parse_object({"metric": metric, **fields})]))[0]


def read_rows(answer: Answer) -> dict[tuple[str, ...], Any]:
    return {tuple(result.dimensions.values()): result.total for result in answer.results}


def make_views(product: str, many: int = 1, **more: Any) -> list[Happening]:
    return [Happening(NOON, VIEWED, product=product, **more)] * many


def make_adds(product: str, many: int = 1, **more: Any) -> list[Happening]:
    return [Happening(NOON, ADDED, product=product, **more)] * many


def make_orders(product: str, many: int = 1, **more: Any) -> list[Happening]:
    return [Happening(NOON, ORDERED, product=product, **{"revenue": 30_000, **more})] * many


@pytest.fixture
def shop() -> Shop:
    shop = Shop(catalog=Catalog(CATALOG))
    shop.take(
        [
            *make_views("p-1", 4),
            *make_adds("p-1", 1),
            *make_views("p-2", 2),
            *make_adds("p-2", 3),
            *make_views("p-3"),
            *make_adds("p-4"),
        ]
    )
    return shop


async def test_a_ratio_is_a_share_of_events_and_may_exceed_one(shop: Shop) -> None:
    answer = await ask(shop, "view_to_cart")
    assert (answer.unit, answer.results[0].total) == ("ratio", 5 / 7)
    assert (answer.meta.exact, answer.meta.error) == (True, 0)
    assert read_rows(await ask(shop, "view_to_cart", filters={"product_id": ["p-2"]})) == {(): 1.5}


async def test_rows_of_either_side_are_there_the_greatest_first_and_null_last(shop: Shop) -> None:
    answer = await ask(shop, "view_to_cart", breakdown=["product_id"])
    assert [(r.dimensions["product_id"], r.total) for r in answer.results] == [
        ("p-2", 1.5), ("p-1", 0.25), ("p-3", 0), ("p-4", None),
    ]  # fmt: skip
    short = await ask(shop, "view_to_cart", breakdown=["product_id"], limit=2)
    assert [r.dimensions["product_id"] for r in short.results] == ["p-2", "p-1"]
    assert (short.meta.more_rows, answer.meta.more_rows) == (True, False)


async def test_a_row_that_few_have_beside_many_greater_ones_of_its_parts_is_found() -> None:
    shop = Shop()
    shop.take([happening for n in range(40) for happening in (*make_views(f"p-{n:02}", 20), *make_adds(f"p-{n:02}"))])
    shop.take([*make_views("rare"), *make_adds("rare")])
    answer = await ask(shop, "view_to_cart", breakdown=["product_id"], limit=1)
    assert read_rows(answer) == {("rare",): 1}


async def test_attributes_of_products_are_joined_on_both_sides(shop: Shop) -> None:
    assert read_rows(await ask(shop, "view_to_cart", breakdown=["product_category"])) == {
        ("hats",): 1.5, ("shoes",): 0.25, ("(none)",): 1,
    }  # fmt: skip
    of_hats = await ask(shop, "view_to_cart", breakdown=["product_brand"], filters={"product_category": ["hats"]})
    assert read_rows(of_hats) == {("Acme",): 1.5}


async def test_without_events_a_ratio_is_null_and_so_is_every_point() -> None:
    answer = await ask(Shop(), "view_to_cart", **{"from": "-1h"}, interval="hour", compare="previous_period")
    assert [(r.total, r.previous, [n for _, n in r.points]) for r in answer.results] == [(None, None, [None, None])]
    assert (await ask(Shop(), "view_to_cart", breakdown=["product_id"])).results == []


async def test_points_are_ratios_of_their_own(shop: Shop) -> None:
    shop.take([Happening(NOON - HOUR, VIEWED, product="p-1"), Happening(NOON - 2 * HOUR, ADDED, product="p-1")])
    answer = await ask(shop, "view_to_cart", **{"from": "-3h"}, interval="hour", filters={"product_id": ["p-1"]})
    assert [n for _, n in answer.results[0].points] == [None, None, 0, 0.25]
    assert answer.results[0].total == 2 / 5


async def test_the_period_before_has_a_ratio_of_its_own(shop: Shop) -> None:
    shop.take([Happening(NOON - DAY, VIEWED, product="p-7"), Happening(NOON - DAY, ADDED, product="p-7")])
    answer = await ask(
        shop, "view_to_cart", **{"from": "2026-11-22"}, compare="previous_period", breakdown=["product_id"]
    )
    assert {r.dimensions["product_id"]: (r.total, r.previous) for r in answer.results} == {
        "p-1": (0.25, None), "p-2": (1.5, None), "p-3": (0, None), "p-4": (None, None), "p-7": (None, 1),
    }  # fmt: skip


async def test_the_average_order_is_of_orders_in_the_projects_currency() -> None:
    shop = Shop()
    shop.take([*make_orders("p-1", 2, revenue=100_000), *make_orders("p-1", revenue=50_000, source="ios")])
    shop.take(make_orders("p-1", 3, revenue=0, is_foreign=True))
    answer = await ask(shop, "average_order_value")
    assert (answer.unit, answer.currency, answer.results[0].total) == ("money", "EUR", 25 / 3)
    assert answer.meta.other_currencies == 3
    assert read_rows(await ask(shop, "average_order_value", breakdown=["source"])) == {("web",): 10, ("ios",): 5}
    assert read_rows(await ask(shop, "average_order_value", breakdown=["country"])) == {("DE",): 25 / 3}


async def test_only_foreign_orders_have_no_average() -> None:
    shop = Shop()
    shop.take(make_orders("p-1", 3, revenue=0, is_foreign=True))
    assert (await ask(shop, "average_order_value")).results[0].total is None


def refund(shop: Shop, at_ms: int, product: str, amount: int, source: str = "web") -> None:
    """What the workers add for a refund of one line."""
    values = {
        ACTIVITY.name: ("Order Refunded", source), EVENTS.name: ("Order Refunded", source, "DE", "phone"),
        PRODUCTS.name: (product,),
    }  # fmt: skip
    cells = {
        key: {"refunds": amount, make_field("refunds", *dimensions): amount, "count": 1, REFUND_EVENTS: 1}
        for rollup, dimensions in values.items()
        for key in list_keys_at(shop.project, rollup, at_ms)
    }
    shop.store.apply(0, "g1", Delta(moves=[shop.make_next_move()], cells=cells))


async def test_net_revenue_is_less_what_was_paid_back_at_its_own_time() -> None:
    shop = Shop(catalog=Catalog(CATALOG))
    shop.take([*make_orders("p-1", 2, revenue=100_000), *make_orders("p-2", revenue=50_001, source="ios")])
    shop.take([Happening(NOON - 2 * DAY, ORDERED, product="p-3", revenue=70_000)])
    refund(shop, NOON, "p-1", 30_000)
    refund(shop, NOON, "p-3", 70_000)
    answer = await ask(shop, "net_revenue")
    assert (answer.unit, answer.currency, answer.results[0].total) == ("money", "EUR", 15.0001)
    assert (answer.meta.exact, answer.meta.other_currencies) == (True, 0)
    assert read_rows(await ask(shop, "net_revenue", breakdown=["source"])) == {("web",): 10, ("ios",): 5.0001}
    by_product = await ask(shop, "net_revenue", breakdown=["product_id"])
    assert list(read_rows(by_product).items()) == [(("p-1",), 17), (("p-2",), 5.0001), (("p-3",), -7)]
    assert read_rows(await ask(shop, "net_revenue", breakdown=["product_category"]))[("(none)",)] == -7
    days = await ask(shop, "net_revenue", **{"from": "2026-11-20"}, interval="day")
    assert [n for _, n in days.results[0].points] == [7, 0, 15.0001]
    assert days.results[0].total == 22.0001


async def test_bots_are_left_out_of_both_sides_or_in_both(shop: Shop) -> None:
    shop.take([*make_views("p-1", 6, is_bot=True), *make_adds("p-1", 4, is_bot=True)])
    assert (await ask(shop, "view_to_cart", filters={"product_id": ["p-1"]})).results[0].total == 0.25
    answer = await ask(shop, "view_to_cart", filters={"product_id": ["p-1"]}, bots="include")
    assert answer.results[0].total == 0.5


async def test_what_a_cap_hides_of_one_side_is_said(shop: Shop) -> None:
    hour = CellsKey("demo", PRODUCTS.name, BucketKind.HOUR, (NOON - HOUR) // MINUTE)
    shop.store.apply(0, "g1", Delta(moves=[], cells={hour: {make_field("views", OTHER): 4, "views": 4}}))
    answer = await ask(shop, "view_to_cart", **{"from": "-72h"}, filters={"product_id": ["p-1"]})
    assert (answer.meta.exact, answer.meta.error) == (False, None)
    assert (await ask(shop, "view_to_cart", **{"from": "-72h"})).meta.exact


async def test_both_sides_are_read_in_one_read(shop: Shop) -> None:
    moments: list[int] = []
    read = shop.store.read

    async def counted(project: str, reads: Any) -> Any:
        moments.append(len(reads))
        return await read(project, reads)

    await shop.engine.read_project("demo")
    shop.store.read = counted  # type: ignore[method-assign]  # counts, and passes on
    await ask(shop, "view_to_cart")
    assert len(moments) == 1


async def test_as_csv_a_ratio_over_nothing_is_an_empty_cell(shop: Shop) -> None:
    answer = await ask(shop, "view_to_cart", breakdown=["product_id"])
    table = write_answer(answer, ["product_id"]).text.decode().split("\r\n")
    assert table == ["product_id,total", "p-2,1.5", "p-1,0.25", "p-3,0", "p-4,", ""]


async def test_what_changes_is_told_to_those_who_listen(shop: Shop) -> None:
    before = [await ask(shop, "view_to_cart", **{"from": "-1h"}, interval="hour", breakdown=["product_id"])]
    shop.take(make_views("p-4", 2))
    after = [await ask(shop, "view_to_cart", **{"from": "-1h"}, interval="hour", breakdown=["product_id"])]
    changes = find_answer_changes(before, after)
    assert changes is not None
    assert [(r.dimensions["product_id"], r.total, len(r.points)) for r in changes[0].results] == [("p-4", 0.5, 1)]


def test_dimensions_are_those_that_all_parts_have() -> None:
    assert set(METRICS["view_to_cart"].dimensions) == {
        "source", "country", "device", "product_id", "product_category", "product_brand",
    }  # fmt: skip
    visits = {"utm_source", "utm_medium", "utm_campaign", "referrer", "channel"}
    assert set(METRICS["average_order_value"].dimensions) == {"source", "country", "device", *visits}
    for fields in ({"breakdown": ["event"]}, {"filters": {"event": ["Product Added"]}}):
        with pytest.raises(InvalidParameter):
            parse_object({"metric": "view_to_cart", **fields})
    with pytest.raises(InvalidParameter):
        make_plan(parse_object({"metric": "view_to_cart", "breakdown": ["device", "product_id"]}), PROJECT, NOON)


def test_an_amount_is_divided_once() -> None:
    """0.0003 ÷ 3 is 0.0001, because it is rounded once only."""
    from rtaplatform.analytics.read.rows import divide

    assert divide(3, 30_000) == 0.0001
    assert divide(2**80, 3) == 2**80 / 3
    assert divide(6 * 10**40, 3) == 2 * 10**40


def test_the_parts_of_a_difference_keep_their_scale_and_of_estimates_it_has_no_error() -> None:
    revenue, visitors = METRICS["revenue"], METRICS["visitors"]
    assert isinstance(revenue, AdditiveMetric)
    assert isinstance(visitors, DistinctMetric)
    difference = DerivedMetric("less", "money", "", Combination((revenue,), (revenue,)))
    assert difference.parts == (revenue,)
    assert DerivedMetric("each", "number", "", Combination((revenue,)), Combination((visitors,))).dimensions == (
        "source", "country", "device", "product_id", "product_category", "product_brand",
        "utm_source", "utm_medium", "utm_campaign", "referrer", "channel",
    )  # fmt: skip


# Against a recount -----------------------------------------------------------------------------------------------


HAPPENING = st.builds(
    lambda at, event, product, source, country, revenue, foreign, bot: Happening(
        at, event, source=source, product=product, country=country, is_bot=bot,
        revenue=0 if event != ORDERED or foreign else revenue, is_foreign=foreign and event == ORDERED,
    ),
    st.integers(NOON - 3 * DAY, NOON + 4 * MINUTE), st.sampled_from((VIEWED, VIEWED, ADDED, ORDERED)),
    st.sampled_from(("p-1", "p-2", "p-3", "p-4")), st.sampled_from(("web", "ios")), st.sampled_from(("DE", "FR")),
    st.sampled_from((1, 19_999, 30_000)), st.booleans(), st.sampled_from((False, False, True)),
)  # fmt: skip
BREAKDOWNS = st.sampled_from(
    ([], ["source"], ["country"], ["source", "country"], ["product_id"], ["product_category"], ["product_brand"])
)
PERIODS = st.sampled_from(("-3h", "-24h", "-49h", "2026-11-20", "2026-11-22"))


@settings(max_examples=count_examples(60), deadline=None)
@given(
    happenings=st.lists(HAPPENING, max_size=40),
    later=st.lists(HAPPENING, max_size=5),
    metric=st.sampled_from((*EVENTS_OF, "average_order_value")),
    breakdown=BREAKDOWNS,
    period=PERIODS,
    interval=st.sampled_from(("none", "hour", "day", "week")),
    compare=st.sampled_from((None, "previous_period")),
    bots=st.sampled_from(("exclude", "include")),
    limit=st.sampled_from((1, 3, 1000)),
)
async def test_every_number_is_a_recount(
    happenings: list[Happening], later: list[Happening], metric: str, breakdown: list[str], period: str, interval: str,
    compare: str | None, bots: str, limit: int,
) -> None:  # fmt: skip
    if metric == "average_order_value" and any(name.startswith("product") for name in breakdown):
        return
    catalog = Catalog(CATALOG)
    shop = Shop(catalog=catalog)
    query = parse_object({"metric": metric, "from": period, "interval": interval, "breakdown": breakdown,
                          "compare": compare, "bots": bots, "limit": limit})  # fmt: skip
    counted: list[Happening] = []
    for batch in (happenings, later):
        shop.take(batch)
        counted += [h for h in batch if bots == "include" or not h.is_bot]
        answer = (await shop.engine.answer("demo", [query]))[0]
        assert answer == (await make_engine_without_caches(shop, catalog).answer("demo", [query]))[0]
        _hold(msgspec.json.decode(msgspec.json.encode(answer)), counted, metric, breakdown, limit)


def _hold(answer: Any, counted: list[Happening], metric: str, breakdown: list[str], limit: int) -> None:
    """Each number of the answer, and the order of its rows."""
    first, last = _parse_ms(answer["from"]), _parse_ms(answer["to"])
    before = (
        (_parse_ms(answer["previous_from"]), _parse_ms(answer["previous_to"])) if "previous_from" in answer else None
    )
    keys: set[tuple[str, ...]] = {
        _make_key(h, breakdown) for h in counted if _is_of(h, metric) and _is_in(h, (first, last), before)
    }
    if not breakdown:
        keys = {()}
    expected = {key: _compute_value(metric, _select_inside(counted, key, breakdown, first, last)) for key in keys}
    order = sorted(expected, key=lambda key: (expected[key] is None, -(expected[key] or 0), key))
    assert [tuple(row["dimensions"][name] for name in breakdown) for row in answer["results"]] == order[:limit]
    for row in answer["results"]:
        key = tuple(row["dimensions"][name] for name in breakdown)
        assert _is_near(row["total"], expected[key])
        if before is not None:
            assert _is_near(row["previous"], _compute_value(metric, _select_inside(counted, key, breakdown, *before)))
        starts = [_parse_ms(time) for time, _ in row["points"]]
        for (_, number), low, high in zip(row["points"], starts, [*starts[1:], last][: len(starts)], strict=True):
            inside = _select_inside(counted, key, breakdown, max(low, first), high)
            assert _is_near(number, _compute_value(metric, inside))


def _is_of(h: Happening, metric: str) -> bool:
    return h.event in EVENTS_OF.get(metric, (ORDERED, ORDERED))


def _is_in(h: Happening, *spans: tuple[int, int] | None) -> bool:
    return any(span is not None and span[0] <= h.at_ms < span[1] for span in spans)


def _select_inside(
    counted: list[Happening], key: tuple[str, ...], breakdown: list[str], low: int, high: int
) -> list[Happening]:
    return [h for h in counted if low <= h.at_ms < high and _make_key(h, breakdown) == key]


def _make_key(h: Happening, breakdown: list[str]) -> tuple[str, ...]:
    product = CATALOG.get(h.product)
    values = {
        "source": h.source, "country": h.country, "product_id": h.product,
        "product_category": (product and product.category) or "(none)",
        "product_brand": (product and product.brand) or "(none)",
    }  # fmt: skip
    return tuple(values[name] for name in breakdown)


def _compute_value(metric: str, inside: list[Happening]) -> Fraction | None:
    if metric == "average_order_value":
        ours = [h for h in inside if h.event == ORDERED and not h.is_foreign]
        return Fraction(sum(h.revenue for h in ours), 10_000 * len(ours)) if ours else None
    above, below = EVENTS_OF[metric]
    views = sum(h.event == below for h in inside)
    return Fraction(sum(h.event == above for h in inside), views) if views else None


def _is_near(actual: float | None, expected: Fraction | None) -> bool:
    if actual is None or expected is None:
        return actual is None and expected is None
    return math.isclose(actual, float(expected), rel_tol=1e-15)


def _parse_ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def test_the_smallest_rollup_is_taken_for_each_side() -> None:
    plan = make_plan(parse_object({"metric": "view_to_cart"}), PROJECT, NOON)
    assert [getattr(part.shape, "rollup", None) for part in plan.parts] == [ACTIVITY.name, ACTIVITY.name]
    assert all(part.period is plan.period for part in plan.parts)
