"""What a commerce event adds: units, money, products."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rtaplatform.analytics.bounds import MEASURES
from rtaplatform.core.errors import Quarantined
from rtaplatform.core.events import COMMERCE_EVENTS
from rtaplatform.process.commerce import NOTHING, Commerce, read_commerce

ORDER = "Order Completed"


def read(name: str, fields: dict[str, Any] | str, currency: str = "EUR") -> Commerce:
    text = fields if isinstance(fields, str) else json.dumps(fields)
    return read_commerce(name, text.encode(), currency)


def is_invalid(name: str, fields: dict[str, Any] | str) -> bool:
    try:
        read(name, fields)
    except Quarantined as why:
        return str(why.reason) == "invalid_amount"
    return False


def lines(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"products": list(entries)}


def test_an_order_sums_its_lines() -> None:
    found = read(ORDER, lines({"product_id": "p", "price": 2.5, "quantity": 2}, {"product_id": "q", "price": "0.99"}))
    assert (found.units, found.revenue, found.other_currencies) == (30_000, 59_900, 0)
    assert found.products == {
        "p": {"orders": 1, "units": 20_000, "revenue": 50_000},
        "q": {"orders": 1, "units": 10_000, "revenue": 9_900},
    }


def test_a_product_in_two_lines_is_one_order_of_it() -> None:
    found = read(ORDER, lines({"product_id": "p", "price": 1}, {"product_id": "p", "price": 2, "quantity": 3}))
    assert found.products == {"p": {"orders": 1, "units": 40_000, "revenue": 70_000}}
    found = read("Checkout Started", lines({"product_id": "p"}, {"product_id": "p"}, {"product_id": "q"}, {}))
    assert found.products == {"p": {"checkouts": 1}, "q": {"checkouts": 1}}


def test_quantity_is_one_and_price_nothing_where_absent_or_null() -> None:
    found = read(ORDER, lines({"product_id": "p", "price": None, "quantity": None}))
    assert (found.units, found.revenue) == (10_000, 0)


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
def test_the_root_is_a_line_where_it_names_anything_and_there_are_no_products(fields: str, units: int) -> None:
    assert read(ORDER, fields).units == units


def test_another_currency_is_no_money_but_an_order_and_units() -> None:
    found = read(ORDER, {"currency": "usd", "revenue": 9, "product_id": "p", "price": 9})
    assert (found.units, found.revenue, found.other_currencies) == (10_000, 0, 1)
    assert found.products == {"p": {"orders": 1, "units": 10_000, "revenue": 0}}
    for ours in ("EUR", "eur", "", None, 5, ["USD"]):
        assert read(ORDER, {"currency": ours, "revenue": 9}).revenue == 90_000


def test_views_and_adds_are_of_the_root_and_others_of_nothing() -> None:
    fields = {"product_id": 7, "products": [{"product_id": "q"}], "price": 3}
    assert read("Product Viewed", fields).products == {"7": {"views": 1}}
    assert read("Product Added", fields).products == {"7": {"adds": 1}}
    for name in ("Product Removed", "Order Refunded"):
        assert read(name, fields) is NOTHING
    assert read("Product Viewed", {"product_id": ""}) == read("Product Viewed", {}) is NOTHING
    assert read_commerce(ORDER, b"", "EUR") is NOTHING


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
def test_a_line_without_a_readable_product_counts_in_the_order_alone(sent: str) -> None:
    found = read(ORDER, f'{{"products":[{{"product_id":{sent},"price":2}}]}}')
    assert (found.units, found.revenue, found.products) == (10_000, 20_000, {})


@pytest.mark.parametrize("name", sorted(COMMERCE_EVENTS))
@pytest.mark.parametrize(
    "fields",
    [
        '{"price":"x"}', '{"quantity":true}', '{"revenue":[]}', '{"total":{}}', '{"price":""}', '{"price":"007"}',
        '{"price":1e400}', '{"revenue":450359962737.0497}', '{"products":{}}', '{"products":"p"}', '{"products":5}',
        '{"products":["p"]}', '{"products":[null]}', '{"products":[[]]}', '{"products":[{"price":"x"}]}',
        '{"products":[{"quantity":false}]}', '{"products":[{"price":1e11,"quantity":1e11}]}',
        '{"products":[{"price":4e11},{"price":4e11}]}', '{"price":1e11,"quantity":1e11}',
        '{"price":1' + "0" * 100 + "}",
        '{"price":0.' + "0" * 99 + "}",
    ],
)  # fmt: skip
def test_amounts_that_cannot_be_summed_are_invalid_in_all_six(name: str, fields: str) -> None:
    assert is_invalid(name, fields)


def test_sums_are_checked_at_their_end_and_lines_hide_no_root() -> None:
    assert not is_invalid(ORDER, '{"products":[{"price":4e11},{"price":4e11},{"price":-4e11}]}')
    assert is_invalid(ORDER, '{"products":[{"price":1}],"price":"x"}')
    assert not is_invalid(ORDER, '{"products":[{"price":1}],"price":1e11,"quantity":1e11}')


@pytest.mark.parametrize("name", sorted(COMMERCE_EVENTS))
@pytest.mark.parametrize("fields", [{"product_id": "p", "price": 1}, {"products": [{"product_id": "p", "price": 1}]}])
def test_a_person_seen_with_a_product_is_counted_among_its_events(name: str, fields: dict[str, Any]) -> None:
    """So an hour to which none of these events is added has the persons that it had, and a bound stands."""
    found = read(name, fields)
    for product in found.of_persons:
        assert sum(found.products[product].get(measure, 0) for measure in MEASURES) >= 1
