from __future__ import annotations

import gzip
from typing import Any

import msgspec
import pytest

from rtaplatform.core.projects import ProjectSettings
from tests.unit.analytics.shop import NOON, Happening, Shop
from tests.unit.serve.parts_of_tests import Site, Stream


@pytest.fixture
def site() -> Site:
    site = Site()
    site.shop.take([Happening(NOON), Happening(NOON, "Product Viewed", product="p-1")])
    return site


async def test_metrics_are_listed(site: Site) -> None:
    reply = await site.ask("GET", "/v1/metrics")
    items = {item["name"]: item for item in reply.json["items"]}
    assert items["events"]["dimensions"] == [
        "event",
        "source",
        "country",
        "device",
        "utm_source",
        "utm_medium",
        "utm_campaign",
        "referrer",
        "channel",
        "os",
        "browser",
        "region",
        "language",
    ]
    assert items["revenue"]["unit"] == "money"
    assert items["online"]["intervals"] == ["none"]


async def test_declared_properties_are_listed_and_asked_by() -> None:
    site = Site(Shop(ProjectSettings("demo", "Europe/Berlin", "EUR", event_properties=("coupon",))))
    items = (await site.ask("GET", "/v1/metrics")).json["items"]
    assert [item["name"] for item in items if "property.coupon" in item["dimensions"]] == ["events"]
    reply = await site.ask("GET", "/v1/metrics/events", format="csv", breakdown="property.coupon,event")
    assert reply.body.startswith(b"property.coupon,event,")
    query = {"metric": "events", "filters": {"property.coupon": ["(none)"]}, "breakdown": ["event"]}
    assert (await site.ask("POST", "/v1/query", body={"queries": [query]})).status == 200
    refused = await site.ask("GET", "/v1/metrics/events", **{"property.plan": "a"})
    assert (refused.status, refused.json["field"]) == (422, "property.plan")
    assert refused.json["allowed"] == ["property.coupon"]
    assert "event_properties" in refused.json["hint"]


async def test_one_metric(site: Site) -> None:
    reply = await site.ask("GET", "/v1/metrics/events", breakdown="event", interval="hour", **{"from": "-1h"})
    assert reply.status == 200
    assert [(r["dimensions"]["event"], r["total"]) for r in reply.json["results"]] == [
        ("$page", 1),
        ("Product Viewed", 1),
    ]


async def test_several_queries_at_once(site: Site) -> None:
    queries = [{"metric": "events"}, {"metric": "visitors", "filters": {"source": ["web"]}}]
    reply = await site.ask("POST", "/v1/query", body={"queries": queries})
    assert reply.status == 200
    assert [(a["metric"], a["results"][0]["total"]) for a in reply.json["answers"]] == [("events", 2), ("visitors", 1)]


async def test_popular_products(site: Site) -> None:
    reply = await site.ask("GET", "/v1/products/popular")
    assert reply.json["results"] == [
        {"product_id": "p-1", "value": 1, "name": None, "price": None, "currency": None, "category": None,
         "image_url": None}
    ]  # fmt: skip
    assert reply.json["by"] == "views"
    assert set(reply.json) == {"by", "from", "to", "results", "meta"}


@pytest.mark.parametrize(
    ("path", "parameters", "status", "field"),
    [
        ("/v1/metrics/evnts", {}, 404, "metric"),
        ("/v1/metrics/events", {"page": "/"}, 422, "page"),
        ("/v1/metrics/events", {"from": "now", "to": "-1h"}, 422, "from"),
        ("/v1/metrics/events", {"timezone": "Nowhere"}, 422, "timezone"),
        ("/v1/metrics", {"limit": "5"}, 422, "limit"),
        ("/v1/products/popular", {"by": "luck"}, 422, "by"),
        ("/v1/products/popular", {"window": "-1h"}, 422, "window"),
        ("/v1/products/popular", {"window": "100w"}, 422, "window"),
        ("/v1/products/popular", {"limit": "0"}, 422, "limit"),
        ("/v1/products/popular", {"category": ""}, 422, "category"),
        ("/v1/products/popular", {"form": "1"}, 422, "form"),
        ("/v1/metrics/events", {"timezone": "localtime"}, 422, "timezone"),
        ("/v1/metrics/events", {"timezone": "Factory"}, 422, "timezone"),
        ("/v1/live", {}, 422, "metrics"),
        ("/v1/live", {"metrics": "events,evnts"}, 422, "metrics"),
        ("/v1/live", {"metrics": "events", "interval": "year"}, 422, "interval"),
    ],
)
async def test_bad_questions_are_problem_documents(
    site: Site, path: str, parameters: dict[str, str], status: int, field: str
) -> None:
    reply = await site.ask("GET", path, **parameters)
    assert (reply.status, reply.json["field"]) == (status, field)
    assert reply.json["type"].startswith("/problems/")
    assert reply.json["allowed"] is not None or reply.json["hint"]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"{", 400, None),
        (b"\xff", 400, None),
        (b"[" * 100_000, 400, None),
        (b"x" * 300_000, 400, None),
        ([], 422, "body"),
        ({}, 422, "queries"),
        ({"queries": []}, 422, "queries"),
        ({"queries": [{"metric": "events"}] * 21}, 422, "queries"),
        ({"queries": [{"metric": "events"}], "x": 1}, 422, "x"),
        ({"queries": [{"metric": "events"}, 5]}, 422, "queries.1"),
        ({"queries": [{"metric": "events"}, {"metric": "events", "limit": 0}]}, 422, "queries.1.limit"),
        ({"queries": [{"metric": "events", "from": "2030-01-01"}]}, 422, "queries.0.from"),
        ({"queries": [{"metric": "events"}, {"metric": "nope"}]}, 422, "queries.1.metric"),
        ({"queries": [{"metric": "events", "filters": {"colour": ["red"]}}]}, 422, "queries.0.filters.colour"),
        ({"queries": [{"metric": "events", "filters": {"event": []}}]}, 422, "queries.0.filters.event"),
        ({"queries": [{"metric": "events", "filters": {"property.x": ["1"]}}]}, 422, "queries.0.filters.property.x"),
        ({"queries": [{"metric": "events", "filters": []}]}, 422, "queries.0.filters"),
    ],
)
async def test_bad_bodies_are_problem_documents(site: Site, body: Any, status: int, field: str | None) -> None:
    reply = await site.ask("POST", "/v1/query", body=body)
    assert (reply.status, reply.json["field"]) == (status, field)


async def test_a_body_of_queries_is_read_as_other_bodies_are(site: Site) -> None:
    body, path = msgspec.json.encode({"queries": [{"metric": "events"}]}), "/v1/query"
    assert (await site.ask("POST", path, body=gzip.compress(body))).status == 200
    refused = await site.ask_raw("POST", path, b"", body=body, headers={"content-encoding": "br"})
    assert (refused.status, refused.json["field"]) == (415, "Content-Encoding")
    large = await site.ask("POST", path, body=gzip.compress(bytes(1 << 20)))
    assert (large.status, large.json["hint"]) == (
        400, "Send JSON of at most 262144 bytes, gzipped or not: fewer queries at once.",
    )  # fmt: skip


async def test_queries_whose_body_has_no_end_are_no_error_of_ours(site: Site) -> None:
    stream = Stream(site.app, "POST", "/v1/query", body=b'{"queries":', is_body_cut=True)
    await stream.leave()
    assert stream.status == 400


async def test_an_empty_body_is_named(site: Site) -> None:
    reply = await site.ask("POST", "/v1/query")
    assert (reply.status, reply.json["detail"]) == (400, "The body is empty.")


@pytest.mark.parametrize("query", ["event=%ff", "event=a%E2%28", "%C3=1", "breakdown=event&event=%ed%a0%80"])
async def test_a_query_that_is_not_utf_8_cannot_be_read(site: Site, query: str) -> None:
    for path in ("/v1/metrics/events", "/v1/metrics", "/v1/live", "/v1/products/popular"):
        reply = await site.ask_raw("GET", path, query.encode())
        assert (reply.status, reply.json["code"]) == (400, "bad-request")


async def test_a_value_with_a_comma_can_be_asked_for(site: Site) -> None:
    site.shop.take([Happening(NOON, country="DE, north"), Happening(NOON, country="DE")])
    totals = {rb"country=DE%5C,%20north": 1, b"country=DE%2C%20north&country=FR": 1, b"country=DE,%20north": 3}
    for query, total in totals.items():
        reply = await site.ask_raw("GET", "/v1/metrics/events", query)
        assert reply.json["results"][0]["total"] == total


@pytest.mark.parametrize(("key", "status"), [(None, 401), ("nobody", 401), ("writer", 403)])
async def test_the_key_must_open_reading(site: Site, key: str | None, status: int) -> None:
    for path in ("/v1/metrics", "/v1/metrics/events", "/v1/products/popular", "/v1/live"):
        assert (await site.ask("GET", path, key=key)).status == status
    assert (await site.ask("POST", "/v1/query", key=key)).status == status
    assert (await site.ask("POST", "/v1/live/tickets", key=key)).status == status


async def test_an_unavailable_store_is_503(site: Site) -> None:
    site.shop.store.is_away = True
    assert (await site.ask("GET", "/v1/metrics/events")).status == 503


async def test_the_schema_tells_parameters_and_answers(site: Site) -> None:
    document = (await site.ask("GET", "/openapi.json", key=None)).json
    names = {p["name"] for p in document["paths"]["/v1/metrics/{name}"]["get"]["parameters"]}
    assert {"name", "from", "to", "interval", "source", "product_id"} <= names
    answer = document["components"]["schemas"]
    assert any("Answer" in name and "from" in schema.get("properties", {}) for name, schema in answer.items())
    assert document["paths"]["/v1/query"]["post"]["requestBody"]
