"""The law of the caps: an answer is right, or says that it is not exact, without a guess by how much.

Each question is asked of two shops that have counted the same: one whose buckets hold a few values, one without caps.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtaplatform.analytics.ask.parse import parse_object
from rtaplatform.analytics.plan.plan import make_plan
from rtaplatform.core.caps import CAPS, Caps
from rtaplatform.core.errors import InvalidParameter
from rtaplatform.core.query import SKETCH_ERROR, Answer
from rtaplatform.core.rollups import make_field
from rtaplatform.core.time.buckets import BucketKind
from rtaplatform.store.port import Applied, Delta
from tests.examples import count_examples
from tests.unit.analytics.catalog import Catalog, Product
from tests.unit.analytics.shop import NOON, PROJECT, Happening, Shop, list_keys_at

PRODUCTS = {
    "p-1": Product("Shoe", "shoes", brand="Acme"), "p-2": Product("Hat", "hats", brand="Acme"),
    "p-3": Product("Boot", "shoes", brand="Bolt"), "(none)": Product("Odd", "(none)"), "p-5": Product("Odd", "(other)"),
}  # fmt: skip
EVENTS = [
    "$page",
    "Product Viewed",
    "Product Added",
    "Order Completed",
    "flood 1",
    "flood 2",
    "flood 3",
    "(other)",
    "(none)",
]
BREAKDOWNS: dict[str, list[list[str]]] = {
    "events": [[], ["event"], ["source"], ["country"], ["event", "source"], ["source", "country"]],
    "page_views": [[], ["source"], ["country"]],
    "orders": [[], ["source"], ["country"], ["product_id"], ["product_category"], ["product_id", "country"]],
    "revenue": [[], ["event"], ["country"], ["product_id"], ["product_brand", "product_category"]],
    "product_views": [[], ["product_id"], ["product_category"], ["product_id", "product_brand"]],
    "adds_to_cart": [[], ["product_id", "source"], ["country", "product_category"]],
    "visitors": [[], ["product_id"], ["source"], ["product_category"]],
}
FILTERS: list[dict[str, list[str]]] = [
    {}, {"country": ["DE"]}, {"event": ["flood 1", "Order Completed"]}, {"source": ["web"], "event": ["$page"]},
    {"product_id": ["p-1"]}, {"product_id": ["p-1", "(none)"]}, {"product_category": ["shoes", "(none)"]},
    {"product_category": ["(other)"]}, {"country": ["\\(none)"]}, {"event": ["(other)"]}, {"product_id": ["\\(none)"]},
]  # fmt: skip
WINDOWS: list[dict[str, Any]] = [
    {"from": "-2h"}, {"from": "-3h", "interval": "hour"}, {"from": "-1h", "compare": "previous_period"},
    {"from": "-2h", "bots": "include"}, {"from": "-2h", "limit": 2},
]  # fmt: skip
HAPPENING = st.builds(
    lambda minutes, event, source, country, product, bot, person: Happening(
        NOON - minutes * 60_000, event, source=source, country=country, is_bot=bot, person=person,
        product=product if event in ("Product Viewed", "Product Added", "Order Completed") else "",
        revenue=30_000 if event == "Order Completed" else 0,
    ),
    st.integers(0, 200), st.sampled_from(EVENTS), st.sampled_from(["web", "ios"]),
    st.sampled_from(["DE", "FR", "", "(none)", "IT"]), st.sampled_from([*PRODUCTS, "p-4", "p-6", "(other)"]),
    st.booleans(), st.sampled_from("abc"),
)  # fmt: skip


def list_questions() -> list[dict[str, Any]]:
    """The questions that can be answered."""
    questions = []
    for metric, breakdowns in BREAKDOWNS.items():
        for breakdown in breakdowns:
            for filters in FILTERS:
                named = {*breakdown, *filters}
                is_of_products, is_of_events = (
                    any(n.startswith("product") == is_one for n in named) for is_one in (1, 0)
                )
                if is_of_products and (is_of_events or metric in ("events", "page_views")):
                    continue
                if metric == "visitors" and ({"event", "country"} & named or len(breakdown) + len(filters) > 1):
                    continue
                questions += [{"metric": metric, "breakdown": breakdown, "filters": filters, **w} for w in WINDOWS]
    return questions


QUESTIONS = list_questions()


def select_rows_shown(answer: Answer) -> Any:
    return [r for r in answer.results if r.total or r.previous or any(n for _, n in r.points)]


async def find_wrong(capped: Shop, true: Shop, question: dict[str, Any]) -> str:
    query = parse_object({name: value for name, value in question.items() if value})
    (answer,), (truth,) = [await shop.engine.answer("demo", [query]) for shop in (capped, true)]
    is_of_sketches = question["metric"] == "visitors"
    if answer.meta.exact == (answer.meta.error != 0):
        return f"{question}: exact {answer.meta.exact}, error {answer.meta.error}"
    if truth.meta.error != (SKETCH_ERROR if is_of_sketches else 0):
        return f"{question}: without caps the error is {truth.meta.error}"
    if answer.meta.error is not None and select_rows_shown(answer) != select_rows_shown(truth):
        return f"{question}: {select_rows_shown(answer)} instead of {select_rows_shown(truth)}"
    return ""


@settings(max_examples=count_examples(40), deadline=None)
@given(
    st.lists(st.lists(HAPPENING, max_size=10), min_size=1, max_size=4),
    st.sampled_from([1, 2, 4]),
    st.lists(st.sampled_from(QUESTIONS), min_size=30, max_size=30),
)
def test_answer_is_right_or_not_exact(
    batches: list[list[Happening]], seats: int, questions: list[dict[str, Any]]
) -> None:
    caps = Caps(
        products=seats, products_of_minute=seats, combinations=seats, sales=seats, product_sketch_bytes=300 * seats
    )

    async def run() -> list[str]:
        capped, true = (Shop(catalog=Catalog(PRODUCTS), caps=limits) for limits in (caps, CAPS))
        lines = []
        for batch in batches:
            for shop in (capped, true):
                shop.take(batch)
            lines += [await find_wrong(capped, true, question) for question in questions]
        return [line for line in lines if line]

    assert asyncio.run(run()) == []


def make_crowd(products: int) -> list[Happening]:
    return [Happening(NOON, "Product Viewed", product=f"x-{n}") for n in range(products)]


async def ask(shop: Shop, metric: str, **fields: Any) -> Answer:
    return (await shop.engine.answer("demo", [parse_object({"metric": metric, **fields})]))[0]


TOUCHED: list[tuple[str, dict[str, Any]]] = [
    ("product_views", {"breakdown": ["product_id"]}),
    ("product_views", {"breakdown": ["product_id"], "limit": 1}),
    ("product_views", {"breakdown": ["product_category"]}),
    ("product_views", {"filters": {"product_id": ["x-1"]}}),
    ("product_views", {"filters": {"product_id": ["late"]}}),
    ("product_views", {"filters": {"product_brand": ["Acme"]}, "breakdown": ["product_id"]}),
    ("product_views", {"breakdown": ["product_id"], "interval": "hour"}),
    ("visitors", {"breakdown": ["product_id"]}),
    ("visitors", {"filters": {"product_id": ["late"]}}),
    ("visitors", {"breakdown": ["product_category"]}),
]
UNTOUCHED: list[tuple[str, dict[str, Any]]] = [
    ("product_views", {}),
    ("product_views", {"breakdown": ["source"]}),
    ("product_views", {"breakdown": ["country"]}),
    ("product_views", {"from": "-3h", "to": "-1h", "breakdown": ["product_id"]}),
    ("orders", {"breakdown": ["product_id"]}),
    ("orders", {"filters": {"product_id": ["p-1"]}}),
]


@pytest.mark.parametrize(("metric", "fields"), TOUCHED)
async def test_answers_that_a_cap_touches_are_inexact(metric: str, fields: dict[str, Any]) -> None:
    shop = Shop(catalog=Catalog(PRODUCTS), caps=Caps(products=20, products_of_minute=20, product_sketch_bytes=4_000))
    shop.take([*make_crowd(40), Happening(NOON, "Product Viewed", product="late", person="z")])
    meta = (await ask(shop, metric, **fields)).meta
    assert (meta.exact, meta.error) == (False, None)


@pytest.mark.parametrize(("metric", "fields"), UNTOUCHED)
async def test_answers_that_no_cap_touches_are_exact(metric: str, fields: dict[str, Any]) -> None:
    shop = Shop(catalog=Catalog(PRODUCTS), caps=Caps(products=20, products_of_minute=20))
    shop.take([*make_crowd(40), Happening(NOON, "Order Completed", product="p-1", revenue=1)])
    # What hides views hides no order where all orders have a seat; here the product of this one has none.
    if metric == "orders":
        shop = Shop(catalog=Catalog(PRODUCTS), caps=Caps(products=20, products_of_minute=20))
        shop.take([Happening(NOON, "Order Completed", product="p-1", revenue=1), *make_crowd(40)])
    meta = (await ask(shop, metric, **fields)).meta
    assert (meta.exact, meta.error) == (True, 0)


async def test_a_flood_of_names_hides_neither_orders_nor_page_views() -> None:
    shop = Shop(caps=Caps(combinations=50))
    shop.take([Happening(NOON, f"flood {n}") for n in range(100)])
    shop.take([*[Happening(NOON, "Order Completed", revenue=2) for _ in range(6)], Happening(NOON), Happening(NOON)])
    for metric, total in (("orders", 6), ("page_views", 2), ("events", 108)):
        for fields in ({}, {"breakdown": ["source"]}):
            answer = await ask(shop, metric, **fields)
            assert (answer.results[0].total, answer.meta.exact) == (total, True)
    answer = await ask(shop, "events", breakdown=["event"], limit=1)
    assert (answer.results[0].dimensions, answer.meta.error) == ({"event": "(other)"}, None)


async def test_values_that_read_like_markers_are_rows_of_their_own() -> None:
    shop = Shop(catalog=Catalog(PRODUCTS))
    shop.take([Happening(NOON, country=c) for c in ("", "", "(none)", "(other)", "\\(none)")])
    answer = await ask(shop, "events", breakdown=["country"])
    assert {r.dimensions["country"]: r.total for r in answer.results} == {
        "(none)": 2, "\\(none)": 1, "\\(other)": 1, "\\\\(none)": 1,
    }  # fmt: skip
    for country, total in (("(none)", 2), ("\\(none)", 1), ("(other)", 0), ("\\(other)", 1)):
        assert (await ask(shop, "events", filters={"country": [country]})).results[0].total == total


async def test_an_overflow_touches_the_answers_that_have_its_field_and_no_other() -> None:
    shop = Shop(catalog=Catalog(PRODUCTS))
    much = Happening(NOON, "Order Completed", product="p-1", revenue=2**62)
    shop.take([much])
    shop.take([much, Happening(NOON, "Order Completed", product="p-2", revenue=5), Happening(NOON)])
    touched: list[dict[str, Any]] = [
        {}, {"breakdown": ["source"]}, {"breakdown": ["product_id"]}, {"filters": {"product_id": ["p-1"]}},
        {"filters": {"product_category": ["shoes"]}}, {"interval": "hour"}, {"breakdown": ["country"]},
    ]  # fmt: skip
    for fields in touched:
        assert (await ask(shop, "revenue", **fields)).meta.error is None, fields
    untouched: list[tuple[str, dict[str, Any]]] = [
        ("orders", {}), ("events", {"breakdown": ["country"]}), ("revenue", {"filters": {"product_id": ["p-2"]}}),
        ("revenue", {"filters": {"product_category": ["hats"]}}), ("revenue", {"to": "-1h"}), ("visitors", {}),
    ]  # fmt: skip
    for metric, fields in untouched:
        assert (await ask(shop, metric, **fields)).meta.error in (0, SKETCH_ERROR), (metric, fields)


# Orders of several products -----------------------------------------------------------------------------------------


def take_order(shop: Shop, *products: str) -> None:
    """An order of these products."""
    cells: dict[str, int] = {}
    for product in products:
        cells |= {make_field("orders", product): 1, "orders": len(products)}
    if len(products) > 1:
        cells["shared_orders"] = 1
    delta = Delta(
        moves=[shop.make_next_move()], cells={key: dict(cells) for key in list_keys_at(shop.project, "products", NOON)}
    )
    assert isinstance(shop.store.apply(0, "g1", delta), Applied)


@pytest.mark.parametrize("more", [{}, {"interval": "hour"}, {"compare": "previous_period"}, {"bots": "include"}])
async def test_orders_of_several_products_are_never_summed_twice_in_silence(more: dict[str, Any]) -> None:
    shop = Shop(catalog=Catalog(PRODUCTS))
    summed: list[dict[str, Any]] = [
        {"filters": {"product_category": ["shoes"]}}, {"breakdown": ["product_category"]},
        {"breakdown": ["product_brand"], "limit": 1}, {"filters": {"product_id": ["p-1", "p-3"]}},
    ]  # fmt: skip
    single: list[dict[str, Any]] = [
        {"breakdown": ["product_id"]}, {"filters": {"product_id": ["p-1"]}},
        {"filters": {"product_category": ["shoes"]}, "breakdown": ["product_id"]},
    ]  # fmt: skip
    take_order(shop, "p-1")
    for fields in (*summed, *single):
        assert (await ask(shop, "orders", **fields, **more)).meta.error == 0, fields
    take_order(shop, "p-1", "p-3")
    for fields in summed:
        assert (await ask(shop, "orders", **fields, **more)).meta.error is None, fields
    for fields in single:
        assert (await ask(shop, "orders", **fields, **more)).meta.error == 0, fields
    assert (await ask(shop, "units", breakdown=["product_category"], **more)).meta.error == 0


# How long sketches are kept, and who is online ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "kinds"),
    [
        ({"from": "-7d", "breakdown": ["product_id"]}, {BucketKind.HOUR, BucketKind.DAY}),
        ({"from": "-10d", "breakdown": ["product_id"]}, {BucketKind.DAY}),
        ({"from": "-5d", "filters": {"product_category": ["shoes"]}, "compare": "previous_period"}, {BucketKind.DAY}),
        ({"from": "-20d", "breakdown": ["source"]}, {BucketKind.HOUR, BucketKind.DAY}),
        ({"from": "-20d"}, {BucketKind.HOUR, BucketKind.DAY}),
    ],
)
def test_persons_by_product_are_read_from_days_where_hours_are_gone(
    fields: dict[str, Any], kinds: set[BucketKind]
) -> None:
    period = make_plan(parse_object({"metric": "visitors", **fields}), PROJECT, NOON).period
    assert {kind for kind, _ in (*period.tiles, *(period.previous or ()))} == kinds


def test_hours_of_persons_by_product_that_are_gone_are_refused() -> None:
    query = parse_object({"metric": "visitors", "from": "-10d", "interval": "hour", "breakdown": ["product_id"]})
    with pytest.raises(InvalidParameter, match="8 days"):
        make_plan(query, PROJECT, NOON)


async def test_visitor_with_a_clock_far_ahead_is_not_online() -> None:
    shop = Shop()
    shop.take(Happening(NOON + ahead, person=str(ahead)) for ahead in (-300_001, -300_000, 0, 30_000, 30_001, 240_000))
    assert (await ask(shop, "online")).results[0].total == 3
