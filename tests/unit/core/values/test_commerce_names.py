"""Events of older and other specs mean those of Segment's V2 spec: by name, by properties, by what they add."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rtaplatform.core.events import COMMERCE_EVENTS
from rtaplatform.core.values.commerce_names import FOREIGN_EVENTS, find_event_name, is_commerce, read_as_v2
from rtaplatform.process.decode.commerce import EventCommerce, read_commerce
from rtaplatform.process.decode.fast import read_event
from tests.tidy.sources import ROOT

PURCHASE = {
    "transaction_id": "o-1",
    "value": 30.5,
    "currency": "EUR",
    "items": [{"item_id": "p", "price": 10, "quantity": 3}, {"item_id": "q", "price": 0.5}],
}


def read(name: str, fields: dict[str, Any]) -> EventCommerce:
    return read_commerce(name, json.dumps(fields).encode(), "EUR")


def test_a_purchase_is_an_order() -> None:
    commerce = read("purchase", PURCHASE)
    assert (commerce.units, commerce.revenue) == (40_000, 305_000)
    assert commerce.products == {
        "p": {"orders": 1, "units": 30_000, "revenue": 300_000},
        "q": {"orders": 1, "units": 10_000, "revenue": 5_000},
    }
    assert commerce.shared_field == "shared_orders"


def test_a_view_of_ga4_is_one_of_each_item() -> None:
    two = {"items": [{"item_id": "p"}, {"item_id": "q"}, {"item_id": "p"}]}
    commerce = read("view_item", two)
    assert (commerce.products, commerce.shared_field) == ({"p": {"views": 1}, "q": {"views": 1}}, "shared_views")
    assert read("add_to_cart", {"items": [{"item_id": 7, "quantity": 2}]}).products == {"7": {"adds": 1}}
    assert read("view_item", {"product_id": "root", **two}).products == {"root": {"views": 1}}
    assert read("view_item", {}).products == {"": {"views": 1}}
    assert read("Product Viewed", {"products": [{"product_id": "p"}]}).products == {"": {"views": 1}}, "as V2 has it"


def test_v1_names_products_by_id_and_orders_by_orderid() -> None:
    assert read("Viewed Product", {"id": "p"}).products == {"p": {"views": 1}}
    assert read("Added Product", {"product_id": None, "id": "p"}).products == {"p": {"adds": 1}}
    commerce = read(
        "Completed Order", {"orderId": "o", "id": "o", "total": 3, "products": {"0": {"id": "p", "price": 2}}}
    )
    assert commerce.products == {"p": {"orders": 1, "units": 10_000, "revenue": 20_000}}
    assert commerce.revenue == 30_000
    assert read("Completed Order", {"id": "o"}).products == {"": {"orders": 1, "units": 0, "revenue": 0}}


def test_the_name_of_v2_goes_first_and_other_specs_names_are_read_in_their_own_events_only() -> None:
    commerce = read("purchase", {**PURCHASE, "revenue": 1, "products": [{"product_id": "r", "item_id": "p"}]})
    assert (commerce.revenue, list(commerce.products)) == (10_000, ["r"])
    assert read("Order Completed", PURCHASE).revenue == 0
    assert read("Product Viewed", {"id": "p"}).products == {"": {"views": 1}}
    assert json.loads(read_as_v2("purchase", json.dumps({"order_id": "a", "transaction_id": "b"}).encode())) == {
        "order_id": "a",
        "transaction_id": "b",
    }


@pytest.mark.parametrize("name", FOREIGN_EVENTS)
def test_an_event_is_counted_under_its_name_of_v2(name: str) -> None:
    value = json.dumps({"projectId": "demo", "type": "track", "event": name, "userId": "u"}).encode()
    event = read_event(value, topic_source="web", record_timestamp_ms=0)
    assert event.name == find_event_name(name) in COMMERCE_EVENTS
    assert event.dimensions.events.startswith(f"\x1f{event.name}\x1f")
    assert is_commerce(name)


def test_other_names_stay_what_they_are() -> None:
    for name in ("Purchase", "completed order", "Signed Up", "$page"):
        assert find_event_name(name) == name
        assert not is_commerce(name)


def test_the_page_has_the_table() -> None:
    rows = (ROOT / "docs" / "reference" / "record.md").read_text().splitlines()
    for name, foreign in FOREIGN_EVENTS.items():
        assert any(f"`{name}`" in row and f"| {foreign.event} |" in row for row in rows), name
