"""Rows of each tool's export become events; what has only totals is refused."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from rtaplatform.core.errors import SetupError
from rtaplatform.history.export_files import TOOLS, compute_digest, read_rows
from rtaplatform.history.tools.rows import RowFault, read_utc, without_nothing

UMAMI = "event_id,session_id,created_at,url_path,url_query,hostname,event_name,browser,country,referrer_domain\n"


def read_events(tmp_path: Path, tool: str, content: str | bytes) -> list[dict[str, Any]]:
    path = tmp_path / "export"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    rows = [item for item in read_rows(path, TOOLS[tool]) if not isinstance(item, RowFault)]
    return [without_nothing(event) for _, row in rows for event in TOOLS[tool].read_row(row)]


def test_umami(tmp_path: Path) -> None:
    rows = UMAMI + "1,s-1,2026-11-01 10:00:00,/a,utm_source=x,s.example,,firefox,DE,t.example\n"
    rows += "2,s-1,2026-11-01 10:00:05,/a,,s.example,Signed Up,firefox,DE,\n"
    page, track = read_events(tmp_path, "umami", rows)
    assert page == {
        "type": "page",
        "anonymousId": "s-1",
        "timestamp": "2026-11-01T10:00:00Z",
        "context": {
            "page": {"url": "https://s.example/a?utm_source=x", "path": "/a", "search": "?utm_source=x",
                     "referrer": "https://t.example"},
            "location": {"country": "DE"}, "browser": {"name": "firefox"}, "library": {"name": "javascript"},
        },
    }  # fmt: skip
    assert (track["type"], track["event"]) == ("track", "Signed Up")


def test_plausible(tmp_path: Path) -> None:
    row = {
        "timestamp": "2026-11-01 10:00:00", "name": "Buy", "user_id": "123", "hostname": "s.example", "pathname": "/",
        "meta.key": ["plan"], "meta.value": ["pro"], "country_code": "DE", "screen_size": "Laptop",
        "revenue_source_amount": "10.5", "revenue_source_currency": "EUR",
    }  # fmt: skip
    lines = "\n".join(json.dumps({**row, "name": name}) for name in ("Buy", "pageview", "engagement"))
    buy, page = read_events(tmp_path, "plausible", lines)
    assert buy["properties"] == {"plan": "pro", "revenue": "10.5", "currency": "EUR"}
    assert (page["type"], page["anonymousId"], page["context"]["device"]) == ("page", "123", {"type": "desktop"})


def test_matomo(tmp_path: Path) -> None:
    visit = {
        "visitorId": "v", "countryCode": "de", "deviceType": "Smartphone",
        "actionDetails": [
            {"type": "action", "url": "https://s.example/a", "pageTitle": "A", "timestamp": 1793527200},
            {"type": "event", "eventAction": "Play", "timestamp": 1793527201},
            {"type": "ecommerceOrder", "orderId": "o", "revenue": 12.5, "timestamp": 1793527202,
             "itemDetails": [{"itemSKU": "p", "price": 12.5, "quantity": 1}]},
        ],
    }  # fmt: skip
    page, play, order = read_events(tmp_path, "matomo", json.dumps([visit]))
    assert (page["type"], page["context"]["location"], page["timestamp"]) == ("page", {"country": "DE"}, 1793527200)
    assert play["event"] == "Play"
    assert (order["event"], order["properties"]["products"][0]["product_id"]) == ("Order Completed", "p")


def test_ga4(tmp_path: Path) -> None:
    row = {
        "event_timestamp": "1793527200123456", "event_name": "purchase", "user_pseudo_id": "g.1", "user_id": "u",
        "event_params": [{"key": "page_location", "value": {"string_value": "https://s.example/"}},
                         {"key": "value", "value": {"string_value": None, "double_value": 12.5}}],
        "ecommerce": {"transaction_id": "o-1"}, "items": [{"item_id": "p", "price": 12.5, "quantity": 1}],
        "device": {"category": "mobile", "web_info": {"browser": "Chrome"}}, "geo": {"country": "Germany"},
    }  # fmt: skip
    [order] = read_events(tmp_path, "ga4", json.dumps(row))
    assert (order["event"], order["timestamp"], order["userId"]) == ("purchase", 1793527200123, "u")
    assert order["properties"]["transaction_id"] == "o-1"
    assert order["properties"]["items"] == [{"item_id": "p", "price": 12.5, "quantity": 1}]
    assert order["context"]["browser"] == {"name": "Chrome"}


@pytest.mark.parametrize("msec", ["31700", 31_700])
def test_reading_time_of_ga4_is_imported_as_it_is_collected(tmp_path: Path, msec: Any) -> None:
    row = {
        "event_timestamp": "1793527200123456", "event_name": "user_engagement", "user_pseudo_id": "g.1",
        "event_params": [{"key": "engagement_time_msec", "value": {"int_value": msec}}],
    }  # fmt: skip
    [engaged] = read_events(tmp_path, "ga4", json.dumps(row))
    assert (engaged["event"], engaged["properties"]) == ("Page Engaged", {"seconds": 31})


@pytest.mark.parametrize("name", ["session_start", "first_visit", "first_open", "user_engagement"])
def test_what_ga4s_tag_sends_by_itself_is_no_event(tmp_path: Path, name: str) -> None:
    row = {"event_timestamp": "1793527200123456", "event_name": name, "user_pseudo_id": "g.1"}
    rows = [row, {**row, "event_name": "page_view"}]
    [page] = read_events(tmp_path, "ga4", "".join(f"{json.dumps(row_of_export)}\n" for row_of_export in rows))
    assert page["type"] == "page"


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    content = "timestamp;user_id;event;plan;country\n2026-11-01T10:00:00Z;u-1;Signed Up;pro;DE\n2026-11-01;u-2;;;\n"
    signed_up, page = read_events(tmp_path, "csv", gzip.compress(content.encode()))
    assert (signed_up["event"], signed_up["properties"]) == ("Signed Up", {"plan": "pro"})
    assert signed_up["context"]["location"] == {"country": "DE"}
    assert page["type"] == "page"


@pytest.mark.parametrize(
    ("tool", "content"),
    [
        ("plausible", "date,visitors,pageviews,bounces\n2026-11-01,5,9,1\n"),
        ("umami", "date,pageviews\n2026-11-01,5\n"),
        ("matomo", '[{"label": "/a", "nb_visits": 5}]'),
        ("ga4", "# ----\n# Report\nCountry,Active users\nGermany,5\n"),
        ("csv", "day,orders\n2026-11-01,5\n"),
    ],
)
def test_what_has_only_totals_is_refused_with_the_remedy(tmp_path: Path, tool: str, content: str) -> None:
    with pytest.raises(SetupError, match="totals") as caught:
        read_events(tmp_path, tool, content)
    assert caught.value.exit_code == 2
    assert caught.value.remedy == TOOLS[tool].remedy


def test_rows_that_cannot_be_read_keep_their_line_and_reason(tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    path.write_text("timestamp,user_id\n2026-11-01,u\n2026-11-01\n2026-11-02,v\n")
    faults = [item for item in read_rows(path, TOOLS["csv"]) if isinstance(item, RowFault)]
    assert faults == [RowFault(3, "1 cells, but the header has 2.")]
    path.write_text('{"timestamp": 1, "user_id": "u"}\n{"timestamp": \n3\n')
    faults = [item for item in read_rows(path, TOOLS["csv"]) if isinstance(item, RowFault)]
    assert [fault.line for fault in faults] == [2, 3]


def test_content_is_recognised_whatever_the_file_is_called(tmp_path: Path) -> None:
    for name, content in (("a", b"x" * 10), ("b.gz", gzip.compress(b"x" * 10))):
        (tmp_path / name).write_bytes(content)
    assert compute_digest(tmp_path / "a") == compute_digest(tmp_path / "b.gz")


@pytest.mark.parametrize(
    ("moment", "read"),
    [
        ("2026-11-01 10:00:00", "2026-11-01T10:00:00Z"),
        ("2026-11-01 10:00:00.5 UTC", "2026-11-01T10:00:00.5Z"),
        ("2026-11-01 10:00:00+02:00", "2026-11-01T10:00:00+02:00"),
        ("2026-11-01", "2026-11-01"),
        (None, None),
    ],
)
def test_a_time_without_an_offset_is_utc(moment: str | None, read: str | None) -> None:
    assert read_utc(moment) == read
