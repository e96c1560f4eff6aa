"""Answers and lists as CSV."""

from __future__ import annotations

import csv
import io

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtaplatform.serve.http.csv_tables import write_objects
from tests.unit.analytics.shop import NOON, Happening
from tests.unit.serve.parts_of_tests import Reply, Site


@pytest.fixture
def site() -> Site:
    site = Site()
    site.shop.take(
        [
            Happening(NOON, "=cmd|'/c calc'!A1"),
            Happening(NOON, 'a "quoted", name\r\nof two lines'),
            Happening(NOON, "Order Completed", product="p-1", revenue=125_000),
        ]
    )
    return site


def read_rows(reply: Reply) -> list[list[str]]:
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/csv; header=present; charset=utf-8"
    return list(csv.reader(io.StringIO(reply.body.decode(), newline="")))


async def test_a_metric_has_one_row_per_result(site: Site) -> None:
    reply = await site.ask("GET", "/v1/metrics/events", breakdown="event,source", format="csv")
    assert read_rows(reply) == [
        ["event", "source", "total"],
        ["'=cmd|'/c calc'!A1", "web", "1"],
        ["Order Completed", "web", "1"],
        ['a "quoted", name\r\nof two lines', "web", "1"],
    ]
    assert reply.body.endswith(b"\r\n")
    assert msgspec.json.decode(reply.headers["rta-meta"])["exact"] is True


async def test_a_metric_with_an_interval_has_one_row_per_point(site: Site) -> None:
    parameters = {"from": "-1h", "interval": "hour", "compare": "previous_period", "format": "csv"}
    assert read_rows(await site.ask("GET", "/v1/metrics/revenue", **parameters)) == [
        ["time", "value", "total", "previous", "currency"],
        ["2026-11-22T11:00:00+01:00", "0", "12.5", "0", "EUR"],
        ["2026-11-22T12:00:00+01:00", "12.5", "12.5", "0", "EUR"],
    ]


async def test_a_table_without_rows_has_its_columns(site: Site) -> None:
    parameters = {"breakdown": "country", "from": "-3h", "to": "-2h", "format": "csv"}
    assert read_rows(await site.ask("GET", "/v1/metrics/events", **parameters)) == [["country", "total"]]


async def test_lists_are_tables_too(site: Site) -> None:
    metrics = read_rows(await site.ask("GET", "/v1/metrics", format="csv"))
    assert metrics[0] == ["name", "unit", "description", "dimensions", "intervals"]
    assert msgspec.json.decode(metrics[1][3]) == [
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
    popular = read_rows(await site.ask("GET", "/v1/products/popular", by="revenue", format="csv"))
    assert popular[0][:3] == ["product_id", "value", "name"]
    assert popular[1] == ["p-1", "12.5", "", "", "", "", ""]


@pytest.mark.parametrize(
    ("accept", "is_csv"),
    [
        ("text/csv", True),
        ("text/csv;q=0.5, application/json;q=0.4", True),
        ("text/*", True),
        ("application/json, text/csv;q=0.9", False),
        ("*/*", False),
        ("", False),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False),
        ("text/csv, */*;q=0.1", True),
        ("text/csv;q=x", False),
    ],
)
async def test_accept_chooses(site: Site, accept: str, is_csv: bool) -> None:
    reply = await site.ask_raw("GET", "/v1/metrics/events", b"", headers={"accept": accept})
    assert reply.headers["content-type"].startswith("text/csv") is is_csv


async def test_format_overrides_accept_and_unknown_formats_are_refused(site: Site) -> None:
    reply = await site.ask_raw("GET", "/v1/metrics/events", b"format=json", headers={"accept": "text/csv"})
    assert reply.json["metric"] == "events"
    for query in (b"format=xlsx", b"format=csv&format=json"):
        reply = await site.ask_raw("GET", "/v1/metrics/events", query)
        assert (reply.status, reply.json["field"]) == (422, "format")


async def test_errors_of_a_table_are_problem_documents_too(site: Site) -> None:
    reply = await site.ask_raw("GET", "/v1/metrics/events", b"interval=eon", headers={"accept": "text/csv"})
    assert (reply.status, reply.headers["content-type"]) == (422, "application/problem+json")


@given(st.lists(st.text(), min_size=1))
def test_every_text_can_be_read_back_and_none_is_a_formula(texts: list[str]) -> None:
    table = write_objects([{"a": text} for text in texts], ["a"]).text.decode("utf-8", "surrogatepass")
    cells = [row[0] if row else "" for row in csv.reader(io.StringIO(table, newline=""))][1:]
    for cell, text in zip(cells, texts, strict=True):
        assert cell in (text, f"'{text}")
        assert not cell.lstrip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠"))
        assert not cell.startswith(("\t", "\r", "\n"))
