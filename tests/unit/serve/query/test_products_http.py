"""Trending products and one product's own funnel, over HTTP."""

from __future__ import annotations

import csv
import io
from typing import Any
from urllib.parse import quote

import pytest

from tests.unit.analytics.catalog import Catalog, Product
from tests.unit.analytics.shop import NOON, Happening, Shop
from tests.unit.serve.parts_of_tests import Site

HOUR, DAY = 3_600_000, 86_400_000
CATALOG = {"p-1": Product("Shoe", "shoes"), "a/b": Product("Slash", None)}


def make_order(product: str, at_ms: int = NOON, revenue: int = 30_000, **more: Any) -> Happening:
    return Happening(at_ms, "Order Completed", product=product, revenue=revenue, **more)


def make_view(product: str, at_ms: int = NOON, **more: Any) -> Happening:
    return Happening(at_ms, "Product Viewed", product=product, **more)


@pytest.fixture
def site() -> Site:
    site = Site(Shop(catalog=Catalog(CATALOG)), Catalog(CATALOG))
    site.shop.take(
        [
            *(make_view("p-1", person=person) for person in "aabc"),
            Happening(NOON, "Product Added", product="p-1"), Happening(NOON, "Product Added", product="p-1"),
            Happening(NOON, "Checkout Started", product="p-1"), make_order("p-1"), make_view("p-2"),
            make_view("p-1", NOON - DAY), make_view("p-1", NOON - DAY), make_order("p-1", NOON - DAY),
        ]
    )  # fmt: skip
    return site


async def test_a_products_own_funnel(site: Site) -> None:
    reply = await site.ask("GET", "/v1/products/p-1/metrics", **{"from": "-2h"})
    assert reply.status == 200
    numbers = {name: part["total"] for name, part in reply.json.items() if isinstance(part, dict) and "total" in part}
    assert numbers == {
        "product_views": 4, "adds_to_cart": 2, "checkouts": 1, "orders": 1, "units": 1, "revenue": 3, "refunds": 0,
        "net_revenue": 3, "visitors": 3, "buyers": 1, "view_to_cart": 0.5, "cart_to_order": 0.5, "view_to_order": 0.25,
    }  # fmt: skip
    assert reply.json["revenue"] == {"unit": "money", "total": 3, "previous": None, "error": 0, "currency": "EUR"}
    assert reply.json["visitors"]["error"] == reply.json["meta"]["error"] == 0.0081
    assert not reply.json["meta"]["exact"]
    shown = ("product_id", "name", "price", "currency", "category", "image_url")
    assert [reply.json[name] for name in shown] == ["p-1", "Shoe", 9.5, "EUR", "shoes", None]
    assert reply.json["meta"]["other_currencies"] == 0


async def test_all_numbers_are_of_one_period(site: Site) -> None:
    """Visitors by product are kept by hour: the others take whole hours too, also for the period before."""
    site.shop.clock.at_ms = NOON + 10 * 60_000
    site.shop.take([make_view("p-1", NOON - 90 * 60_000, person="early")])
    document = (await site.ask("GET", "/v1/products/p-1/metrics", **{"from": "-2h"})).json
    assert (document["from"], document["to"]) == ("2026-11-22T10:00:00+01:00", "2026-11-22T13:00:00+01:00")
    assert (document["product_views"]["total"], document["visitors"]["total"]) == (5, 4)
    parameters = {"from": "2026-11-22", "to": "2026-11-22T13:00", "compare": "previous_period"}
    document = (await site.ask("GET", "/v1/products/p-1/metrics", **parameters)).json
    assert (document["previous_from"], document["previous_to"]) == (
        "2026-11-21T00:00:00+01:00",
        "2026-11-21T13:00:00+01:00",
    )
    previous = [document[name]["previous"] for name in ("product_views", "visitors", "view_to_order", "view_to_cart")]
    assert previous == [2, 1, 0.5, 0]


async def test_long_ago_the_period_is_one_of_days(site: Site) -> None:
    document = (await site.ask("GET", "/v1/products/p-1/metrics", **{"from": "-20d", "timezone": "Europe/Berlin"})).json
    assert (document["from"], document["to"]) == ("2026-11-02T00:00:00+01:00", "2026-11-23T00:00:00+01:00")
    assert (document["product_views"]["total"], document["visitors"]["total"]) == (6, 3)


async def test_a_product_that_nobody_knows_has_zeros(site: Site) -> None:
    document = (await site.ask("GET", "/v1/products/nothing/metrics")).json
    assert (document["product_id"], document["name"], document["product_views"]["total"]) == ("nothing", None, 0)
    assert document["view_to_cart"]["total"] is None


@pytest.mark.parametrize("product", ["a/b", "(none)", "(other)", "\\(none)", "ü 1,2", "popular"])
async def test_any_id_is_that_products(site: Site, product: str) -> None:
    site.shop.take([make_view(product), make_view(product), make_view("", person="x")])
    reply = await site.ask("GET", f"/v1/products/{quote(product, safe='')}/metrics")
    assert (reply.json["product_id"], reply.json["product_views"]["total"]) == (product, 2)


async def test_the_catalog_away_leaves_the_name_out() -> None:
    site = Site(Shop(), Catalog(None))
    site.shop.take([make_view("p-1")])
    document = (await site.ask("GET", "/v1/products/p-1/metrics")).json
    assert (document["name"], document["product_views"]["total"]) == (None, 1)


async def test_trending_products(site: Site) -> None:
    reply = await site.ask("GET", "/v1/products/trending", window="2h")
    assert reply.status == 200
    assert set(reply.json) == {
        "by", "from", "to", "half_life_seconds", "results", "meta", "previous_from", "previous_to",
    }  # fmt: skip
    first = reply.json["results"][0]
    assert set(first) == {
        "product_id", "value", "score", "previous", "change", "name", "price", "currency", "category", "image_url",
    }  # fmt: skip
    assert (first["product_id"], first["value"], first["name"]) == ("p-1", 4, "Shoe")


async def test_both_as_csv(site: Site) -> None:
    trending = await site.ask("GET", "/v1/products/trending", format="csv", limit="1")
    assert _read_rows(trending.body)[0][:5] == ["product_id", "value", "score", "previous", "change"]
    assert _read_rows(trending.body)[1][0] == "p-1"
    own = await site.ask("GET", "/v1/products/p-1/metrics", format="csv", **{"from": "-2h"})
    assert _read_rows(own.body)[:2] == [
        ["metric", "unit", "total", "previous", "currency", "error"], ["product_views", "count", "4", "", "", "0"],
    ]  # fmt: skip
    assert ["revenue", "money", "3", "", "EUR", "0"] in _read_rows(own.body)
    assert "rta-meta" in own.headers


def _read_rows(body: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(body.decode())))


@pytest.mark.parametrize(
    ("path", "parameters", "field"),
    [
        ("/v1/products/trending", {"by": "visitors"}, "by"),
        ("/v1/products/trending", {"window": "0h"}, "window"),
        ("/v1/products/trending", {"limit": "1001"}, "limit"),
        ("/v1/products/trending", {"limit": "1000", "window": "6h"}, "limit"),
        ("/v1/products/trending", {"category": ""}, "category"),
        ("/v1/products/trending", {"from": "-1h"}, "from"),
        ("/v1/products/p-1/metrics", {"from": "soon"}, "from"),
        ("/v1/products/p-1/metrics", {"interval": "hour"}, "interval"),
        ("/v1/products/p-1/metrics", {"compare": "before"}, "compare"),
        ("/v1/products/p-1/metrics", {"product_id": "p-2"}, "product_id"),
        ("/v1/products/p-1/metrics", {"format": "xml"}, "format"),
        ("/v1/products/%FF/metrics", {}, "id"),
    ],
)
async def test_bad_questions_are_problem_documents(
    site: Site, path: str, parameters: dict[str, str], field: str
) -> None:
    reply = await site.ask("GET", path, **parameters)
    assert (reply.status, reply.json["field"]) == (422, field)


@pytest.mark.parametrize(("key", "status"), [(None, 401), ("writer", 403)])
async def test_the_key_must_open_reading(site: Site, key: str | None, status: int) -> None:
    for path in ("/v1/products/trending", "/v1/products/p-1/metrics"):
        assert (await site.ask("GET", path, key=key)).status == status
