"""What a commerce event adds: units, money, products."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rtaplatform.analytics.cache.visitor_bounds import MEASURES
from rtaplatform.core.errors import Quarantined
from rtaplatform.core.events import COMMERCE_EVENTS
from rtaplatform.process.decode.commerce import NOTHING, EventCommerce, read_commerce

ORDER = "Order Completed"


def read(name: str, fields: dict[str, Any] | str, currency: str = "EUR") -> EventCommerce:
    text = fields if isinstance(fields, str) else json.dumps(fields)
    return read_commerce(name, text.encode(), currency)


def make_lines(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"products": list(entries)}


def test_an_order_sums_its_lines() -> None:
    commerce = read(
        ORDER, make_lines({"product_id": "p", "price": 2.5, "quantity": 2}, {"product_id": "q", "price": "0.99"})
    )
    assert (commerce.units, commerce.revenue, commerce.other_currencies) == (30_000, 59_900, 0)
    assert commerce.products == {
        "p": {"orders": 1, "units": 20_000, "revenue": 50_000},
        "q": {"orders": 1, "units": 10_000, "revenue": 9_900},
    }


def test_a_product_in_two_lines_is_one_order_of_it() -> None:
    commerce = read(ORDER, make_lines({"product_id": "p", "price": 1}, {"product_id": "p", "price": 2, "quantity": 3}))
    assert commerce.products == {"p": {"orders": 1, "units": 40_000, "revenue": 70_000}}
    commerce = read("Checkout Started", make_lines({"product_id": "p"}, {"product_id": "p"}, {"product_id": "q"}, {}))
    assert commerce.products == {"p": {"checkouts": 1}, "q": {"checkouts": 1}, "": {"checkouts": 1}}


def test_quantity_is_one_and_price_nothing_where_absent_or_null() -> None:
    commerce = read(ORDER, make_lines({"product_id": "p", "price": None, "quantity": None}))
    assert (commerce.units, commerce.revenue) == (10_000, 0)


@pytest.mark.parametrize(
    ("fields", "revenue"),
    [
        ({"revenue": 5, "total": 6, "price": 7}, 50_000),
        ({"revenue": None, "total": 6, "price": 7}, 60_000),
        ({"revenue": 0, "total": 6}, 0),
        ({"price": 7, "quantity": 2}, 140_000),
        ({}, 0),
    ],
)
def test_revenue_is_what_was_stated_else_the_lines(fields: dict[str, Any], revenue: int) -> None:
    assert read(ORDER, fields).revenue == revenue


@pytest.mark.parametrize(
    ("fields", "units"),
    [
        ("{}", 0),
        ('{"product_id":"p"}', 10_000),
        ('{"price":1}', 10_000),
        ('{"quantity":3}', 30_000),
        ('{"product_id":""}', 10_000),  # it is there, and not null
        ('{"product_id":[1]}', 10_000),
        ('{"product_id":{}}', 10_000),
        ('{"product_id":null,"price":null,"quantity":null}', 0),
        ('{"products":[],"product_id":"p"}', 10_000),
        ('{"products":null,"quantity":2}', 20_000),
        ('{"products":[{}],"quantity":2}', 10_000),
    ],
)
def test_without_products_the_root_is_a_line(fields: str, units: int) -> None:
    assert read(ORDER, fields).units == units


def test_an_order_in_another_currency_counts_units_but_no_revenue() -> None:
    commerce = read(ORDER, {"currency": "usd", "revenue": 9, "product_id": "p", "price": 9})
    assert (commerce.units, commerce.revenue, commerce.other_currencies) == (10_000, 0, 1)
    assert commerce.products == {"p": {"orders": 1, "units": 10_000, "revenue": 0}}


@pytest.mark.parametrize(
    "ours", ["EUR", "eur", "", None, " ", " EUR", "EUR ", "eur\n", "EUR\u200b", "\ufeffEUR", "\tEUR\x00", "EUR\u00a0"]
)
def test_a_currency_is_read_without_surrounding_blanks(ours: str | None) -> None:
    commerce = read(ORDER, {"currency": ours, "revenue": 9})
    assert (commerce.revenue, commerce.other_currencies) == (90_000, 0)


@pytest.mark.parametrize("other", ["USD", "US$", "€", "Euro", "E UR", "EÜR", 978, 9.5, True, False, ["EUR"], [], {}])
def test_an_invalid_currency_is_never_the_projects(other: Any) -> None:
    commerce = read(ORDER, {"currency": other, "revenue": 9})
    assert (commerce.revenue, commerce.other_currencies) == (0, 1)


def test_views_and_adds_are_of_the_root_and_others_of_nothing() -> None:
    fields = {"product_id": 7, "products": [{"product_id": "q"}], "price": 3}
    assert read("Product Viewed", fields).products == {"7": {"views": 1}}
    assert read("Product Added", fields).products == {"7": {"adds": 1}}
    assert read("Product Removed", fields) is NOTHING


@pytest.mark.parametrize("name", ["Order Refunded", "Order Cancelled", "refund"])
def test_a_refund_is_what_was_stated_else_its_lines(name: str) -> None:
    entries: list[dict[str, Any]] = [
        {"product_id": "p", "price": 2, "quantity": 3},
        {"product_id": "q", "price": 1},
        {"product_id": "p"},
    ]
    of_lines = {
        "p": {"refunds": 60_000, "refunded_units": 40_000},
        "q": {"refunds": 10_000, "refunded_units": 10_000},
    }
    assert (read(name, {"total": 5, "order_id": "o"}).refunds, read(name, {"order_id": "o"}).refunds) == (50_000, 0)
    assert read(name, {"total": 5}).products == {}, "the whole order: its products are not known here"
    commerce = read(name, make_lines(*entries))
    assert (commerce.refunds, commerce.products, commerce.orders, commerce.revenue) == (70_000, of_lines, 0, 0)
    stated = read(name, {**make_lines(*entries), "revenue": 99})
    assert (stated.refunds, stated.products) == (990_000, of_lines)
    assert (commerce.order_id, commerce.shared_field, commerce.person_products) == (b"", "refund_events", ())


def test_a_refund_that_is_larger_than_its_order_counts_in_full() -> None:
    """With postage, or by mistake: what was paid back was paid back, and net revenue is below nothing."""
    bought = {"product_id": "p", "price": "19.99", "quantity": 2}
    order = read(ORDER, {"order_id": "o", **make_lines(bought)})
    stated = read("Order Refunded", {"order_id": "o", "total": "44.97", **make_lines(bought)})
    assert (order.revenue, stated.refunds, order.revenue - stated.refunds) == (399_800, 449_700, -49_900)
    assert stated.products == {"p": {"refunds": 399_800, "refunded_units": 20_000}}
    of_lines = read("Order Refunded", {"order_id": "o", **make_lines({**bought, "quantity": 3})})
    assert (of_lines.refunds, of_lines.revenue, of_lines.units, of_lines.orders) == (599_700, 0, 0, 0)
    assert of_lines.products == {"p": {"refunds": 599_700, "refunded_units": 30_000}}
    assert (stated.has_unreadable, of_lines.has_unreadable) == (False, False)


def test_a_refund_in_another_currency_gives_units_and_no_money() -> None:
    commerce = read("Order Refunded", {**make_lines({"product_id": "p", "price": 2}), "currency": "USD", "total": 2})
    assert (commerce.refunds, commerce.other_currencies) == (0, 1)
    assert commerce.products == {"p": {"refunds": 0, "refunded_units": 10_000}}


@pytest.mark.parametrize(
    ("name", "measure"), [("Product Viewed", "views"), ("Product Added", "adds"), (ORDER, "orders")]
)
def test_an_event_without_a_product_counts_for_no_product(name: str, measure: str) -> None:
    """So that rows by product come to the total."""
    for commerce in (read(name, {"product_id": ""}), read(name, {}), read_commerce(name, b"", "EUR")):
        assert {product: of[measure] for product, of in commerce.products.items()} == {"": 1}
        assert (measure, f"{measure}\x1f", 1) in commerce.fields


def test_an_event_with_several_products_counts_as_shared() -> None:
    lines = [{"product_id": "p"}, {"product_id": "q"}, {"product_id": "p"}]
    assert read(ORDER, {"products": lines}).shared_field == "shared_orders"
    assert read("Checkout Started", {"products": lines}).shared_field == "shared_checkouts"
    assert read(ORDER, {"products": lines[::2]}).shared_field == ""


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("7", "7"), ("1.50", "1.50"), ("1e2", "1e2"), ("true", "true"), ('"a\\tb"', "a b"), ("1e400", "1e400"),
        ("9" * 30, "9" * 30),
    ],
)  # fmt: skip
def test_a_product_id_is_text_as_it_was_written_in_lines_and_root(sent: str, shown: str) -> None:
    assert list(read("Checkout Started", f'{{"products":[{{"product_id":{sent}}}]}}').products) == [shown]
    assert list(read("Checkout Started", f'{{"product_id":{sent}}}').products) == [shown]


@pytest.mark.parametrize("sent", ["null", '""', "[1e400]", "{}", "[]"])
def test_a_line_without_a_readable_product_counts_for_none(sent: str) -> None:
    commerce = read(ORDER, f'{{"products":[{{"product_id":{sent},"price":2}}]}}')
    assert (commerce.units, commerce.revenue) == (10_000, 20_000)
    assert commerce.products == {"": {"orders": 1, "units": 10_000, "revenue": 20_000}}


@pytest.mark.parametrize("name", sorted(COMMERCE_EVENTS))
@pytest.mark.parametrize(
    "fields",
    [
        '{"price":"x"}', '{"quantity":true}', '{"revenue":[]}', '{"total":{}}', '{"price":""}', '{"price":"007"}',
        '{"price":1e400}', '{"revenue":450359962737.0497}', '{"products":"p"}', '{"products":5}', '{"products":["p"]}',
        '{"products":{"product_id":"p"}}', '{"products":[{"price":"x"}]}', '{"products":[{"quantity":false}]}',
        '{"products":[{"price":1e11,"quantity":1e11}]}', '{"products":[{"price":4e11},{"price":4e11}]}',
        '{"products":[{"quantity":4e11},{"quantity":4e11}]}', '{"price":1e11,"quantity":1e11}',
        '{"price":1' + "0" * 1_000 + "}", '{"price":"1,322.22"}', '{"total":"1e3"}',
        '{"products":[{"price":1}],"price":"x"}',
    ],
)  # fmt: skip
def test_an_unreadable_amount_is_marked_and_costs_no_event(name: str, fields: str) -> None:
    assert read(name, fields).has_unreadable


@pytest.mark.parametrize("name", sorted(COMMERCE_EVENTS))
@pytest.mark.parametrize(
    "fields",
    [
        "{}", '{"price":null}', '{"products":[]}', '{"products":""}', '{"products":false}', '{"products":{}}',
        '{"products":[null]}', '{"products":[[]]}', '{"products":[{}]}', '{"products":{"0":{"price":1},"2":[]}}',
        '{"price":" 1.5 "}', '{"products":[{"price":4e11},{"price":4e11},{"price":-4e11}]}',
        '{"products":[{"price":1}],"price":1e11,"quantity":1e11}',
    ],
)  # fmt: skip
def test_readable_and_absent_amounts_are_not_marked(name: str, fields: str) -> None:
    assert not read(name, fields).has_unreadable


@pytest.mark.parametrize(
    ("fields", "units", "revenue"),
    [
        ('{"revenue":"","total":100}', 0, 1_000_000),
        ('{"revenue":"20 EUR","total":"","product_id":"p","price":7}', 10_000, 70_000),
        ('{"product_id":"p","price":"","quantity":"two","revenue":9}', 10_000, 90_000),
        ('{"price":"","revenue":9}', 0, 90_000),
        ('{"revenue":20,"products":[{"product_id":"p","price":10},{"product_id":"q","price":""}]}', 20_000, 200_000),
        ('{"products":[{"product_id":"p","price":10},{"product_id":"q","price":"x"}]}', 20_000, 100_000),
        ('{"products":[{"price":4e11},{"price":4e11}]}', 20_000, 0),
        ('{"products":[{"quantity":4e11},{"quantity":4e11}]}', 0, 0),
        ('{"products":[{"product_id":"p","price":4e11},{"product_id":"p","price":4e11},{"price":-4e11}]}', 30_000, 0),
        ('{"products":["p",{"price":2}]}', 10_000, 20_000),
        ('{"products":["p"],"price":2}', 10_000, 20_000),
        ('{"products":{"0":{"price":2},"2":{"price":3,"quantity":2}}}', 30_000, 80_000),
        ('{"products":[[],"",false,null],"price":2}', 30_000, 0),
        ('{"products":[null],"price":2}', 10_000, 20_000),
    ],
)
def test_an_order_counts_its_readable_amounts(fields: str, units: int, revenue: int) -> None:
    commerce = read(ORDER, fields)
    assert (commerce.units, commerce.revenue) == (units, revenue)


LONG = "x" * 257


@pytest.mark.parametrize("name", sorted(COMMERCE_EVENTS))
@pytest.mark.parametrize(
    "fields",
    [
        {"product_id": LONG}, {"product_id": "ä" * 129}, {"order_id": LONG}, {"order_id": int("7" * 257)},
        {"products": [{"product_id": "p"}, {"product_id": LONG}]}, {"products": {"1": {"product_id": LONG}}},
        {"products": [None, {"product_id": LONG}]},
    ],
)  # fmt: skip
def test_ids_of_more_than_256_bytes_are_refused(name: str, fields: dict[str, Any]) -> None:
    with pytest.raises(Quarantined) as why:
        read(name, fields)
    assert str(why.value.reason) == "id_too_long"


@pytest.mark.parametrize(
    "fields",
    [
        {"product_id": "x" * 256, "order_id": "ä" * 128, "products": [{"product_id": "😀" * 64}]},
        {"product_id": [LONG], "order_id": {"a": LONG}},
        '{"order_id":"' + "\\u0041" * 256 + '"}',
        {"name": LONG},
    ],
)
def test_ids_of_256_bytes_are_accepted(fields: dict[str, Any] | str) -> None:
    assert not read(ORDER, fields).has_unreadable


@pytest.mark.parametrize("name", sorted(COMMERCE_EVENTS))
@pytest.mark.parametrize("fields", [{"product_id": "p", "price": 1}, {"products": [{"product_id": "p", "price": 1}]}])
def test_a_person_seen_with_a_product_is_counted_among_its_events(name: str, fields: dict[str, Any]) -> None:
    """So an hour to which none of these events is added has the persons that it had, and a bound stands."""
    commerce = read(name, fields)
    for product in commerce.person_products:
        assert sum(commerce.products[product].get(measure, 0) for measure in MEASURES) >= 1
