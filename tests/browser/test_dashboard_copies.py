"""What a page gives away: the curl line of each number; the table, CSV and PNG of each card; else the reason.

The pain: a number on a page that nobody can ask for again, and a page that leaves a chart out without a word.
"""

from __future__ import annotations

import csv
import io
import json
import shlex
import struct
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.dashboard_window import ApiCaller, DashboardWindow
from tests.browser.live_platform import LivePlatform

# All of the shop's history is inside: the ends of the period move, the numbers do not.
PERIOD = "from=-7d"
# By page: the label of each card that shows numbers, and the first column of its CSV.
CARDS = {
    f"/?{PERIOD}": {"Visitors": "time", "Pages": "time", "Sources": "time", "Countries": "time", "Devices": "time"},
    f"/products?{PERIOD}": {"From view to order": "time", "Products": "product_id"},
    "/products?tab=trending": {"Trending products": "product_id"},
    f"/products/p-1?{PERIOD}": {
        "From view to order": "time", "Product views": "time", "Views by country": "time", "Views by source": "time",
    },
    f"/engagement?{PERIOD}&interval=day": {
        "Active users": "time", "Session length": "time", "Retention": "cohort", "Session lengths": "from_seconds",
        "When": "day",
    },
    f"/explore?{PERIOD}&metric=orders&breakdown=device": {"Orders": "time"},
    f"/settings/dead-letters?{PERIOD}": {"By reason": "reason"},
}  # fmt: skip
PICTURES = ("Visitors", "Countries", "Active users", "Session lengths", "Product views", "Views by country")


@pytest.fixture
def window(busy_platform: LivePlatform, browser: Browser) -> DashboardWindow:
    return DashboardWindow(browser, busy_platform, busy_platform.ready["admin_key"])


def find_card(page: Page, label: str) -> Locator:
    return page.locator(f"section[aria-label='{label}']")


def ask_by_line(window: DashboardWindow, button: Locator) -> Any:
    """Copy the curl line and ask what it asks."""
    button.evaluate("button => button.click()")  # a tile shows it while the pointer is there
    expect(window.page.locator(".notice")).to_contain_text("curl line")
    command, address, option, header, *options = shlex.split(window.page.evaluate("navigator.clipboard.readText()"))
    assert (command, option, header) == ("curl", "-H", "Authorization: Bearer $RTA_KEY")
    parts = urlsplit(address)
    assert f"{parts.scheme}://{parts.netloc}" == window.platform.url
    api = ApiCaller(window.platform, window.platform.ready["read_key"])
    path = f"{parts.path}?{parts.query}"
    return api.call("POST", path, json.loads(options[1])).json() if options else api.call("GET", path).json()


def read_sheet(card: Locator) -> list[list[str]]:
    with card.page.expect_download() as download:
        card.get_by_role("button", name="Save as CSV").click()
    assert download.value.suggested_filename.endswith(".csv")
    return list(csv.reader(io.StringIO(Path(download.value.path()).read_text())))


@pytest.mark.parametrize("path", [f"/?{PERIOD}", f"/engagement?{PERIOD}&interval=day"])
def test_the_curl_line_of_a_tile_asks_its_number(window: DashboardWindow, path: str) -> None:
    page = window.open(path)
    places = page.locator(".tile-place:has([data-metric])")
    totals = {}
    for place in places.all():
        metric = place.locator("[data-metric]").get_attribute("data-metric")
        answer = ask_by_line(window, place.get_by_role("button", name="as curl"))
        assert answer["metric"] == metric
        totals[metric] = float(place.locator("[data-value]").get_attribute("data-value") or "nan")
        assert totals[metric] == pytest.approx(answer["results"][0]["total"]), metric
    assert len(totals) >= 7
    window.close()


@pytest.mark.parametrize(
    ("path", "label"),
    [(f"/?{PERIOD}", "Countries"), (f"/?{PERIOD}", "Devices"), (f"/products/p-1?{PERIOD}", "Views by country")],
)
def test_the_curl_line_and_the_csv_of_a_list_have_its_rows(window: DashboardWindow, path: str, label: str) -> None:
    page = window.open(path)
    card = find_card(page, label)
    values = card.locator(".bar-row [data-value]").evaluate_all("all => all.map(one => Number(one.dataset.value))")
    results = ask_by_line(window, card.get_by_role("button", name="Copy as curl"))["results"]
    assert [row["total"] for row in results] == values
    assert len(values) > 1
    (_, _, dimension, metric, *_), *rows = read_sheet(card)
    assert [(row[2], float(row[3])) for row in rows] == [
        (row["dimensions"][dimension], row["total"]) for row in results
    ], metric
    card.get_by_role("button", name="Show the table").click()
    assert values == card.locator("td:nth-child(2) [data-value]").evaluate_all(
        "all => all.map(one => Number(one.dataset.value))"
    )
    window.close()


def test_the_curl_lines_of_other_cards_ask_what_they_show(window: DashboardWindow) -> None:
    page = window.open(f"/engagement?{PERIOD}&interval=day")
    copies = {
        label: ask_by_line(window, find_card(page, label).get_by_role("button", name="Copy as curl"))
        for label in ("Active users", "Session lengths", "Retention", "When")
    }
    assert [answer["metric"] for answer in copies["Active users"]["answers"]] == [
        "active_users", "weekly_active_users", "monthly_active_users"
    ]  # fmt: skip
    lengths = find_card(page, "Session lengths").locator(".bar-row [data-value]")
    counts = lengths.evaluate_all("all => all.map(one => Number(one.dataset.value))")
    assert sum(counts) == copies["Session lengths"]["sessions"] > 0
    cohorts = {cohort["start"]: cohort for cohort in copies["Retention"]["cohorts"]}
    head, *rows = read_sheet(find_card(page, "Retention"))
    assert head[:3] == ["cohort", "size", "day_0"]
    for start, size, *retained in rows:
        assert int(size) == cohorts[start]["size"]
        assert [int(count) for count in retained if count] == cohorts[start]["retained"]
    assert rows
    assert copies["When"]["interval"] == "hour"
    trending = find_card(window.open("/products?tab=trending"), "Trending products")
    results = ask_by_line(window, trending.get_by_role("button", name="Copy as curl"))["results"]
    assert {row[0] for row in read_sheet(trending)[1:]} == {row["product_id"] for row in results}
    window.close()


@pytest.mark.parametrize("path", CARDS)
def test_every_card_gives_its_rows_and_its_picture(window: DashboardWindow, path: str) -> None:
    page = window.open(path)
    for label, first_column in CARDS[path].items():
        card = find_card(page, label).first
        card.scroll_into_view_if_needed()
        expect(card.get_by_role("button", name="Copy as curl")).to_be_enabled()
        expect(card.get_by_role("button", name="Save as CSV")).to_be_enabled()
        head, *rows = read_sheet(card)
        assert head[0] == first_column, label
        assert rows, label
        assert {len(row) for row in rows} == {len(head)}, label
        with page.expect_download() as download:
            card.get_by_role("button", name="Save as PNG").click()
        picture = Path(download.value.path()).read_bytes()
        assert picture.startswith(b"\x89PNG"), label
        assert struct.unpack(">I", picture[16:20]) == (2_400,), label
        if label in PICTURES:
            card.get_by_role("button", name="Show the table").click()
            expect(card.locator("table tbody tr").first).to_be_visible()
    window.close()


@pytest.mark.parametrize("path", ["/", "/products/p-1", "/explore?metric=product_views&product_id=p-1"])
def test_hours_that_the_zone_does_not_have_are_said_with_the_remedy(window: DashboardWindow, path: str) -> None:
    """Hours of a zone 45 minutes beside the project's are not kept for 7 days. The totals are."""
    page = window.open(f"{path}{'&' if '?' in path else '?'}{PERIOD}&interval=hour&timezone=Asia/Kathmandu")
    chart = page.locator(".chart-card").first
    expect(chart.locator(".problem")).to_contain_text("Asia/Kathmandu")
    expect(chart.locator(".problem")).to_contain_text("Europe/Berlin")
    metric = "visitors" if path == "/" else "product_views"
    api = ApiCaller(window.platform, window.platform.ready["read_key"])
    filters = {} if path == "/" else {"product_id": ["p-1"]}
    expected = api.read_total(metric, filters=filters, timezone="Asia/Kathmandu", **{"from": "-7d"})
    values = page.locator("main [data-value]").evaluate_all("all => all.map(one => Number(one.dataset.value))")
    assert expected in values
    chart.get_by_role("button", name="In Europe/Berlin").click()
    expect(chart.locator("svg[role=img]")).to_be_visible()
    assert "timezone" not in page.url
    window.close()


@pytest.mark.parametrize("path", ["/", "/products", "/products/p-1", "/engagement", "/explore?metric=orders"])
def test_a_period_that_ends_before_it_begins_is_said_with_the_remedy(window: DashboardWindow, path: str) -> None:
    page = window.open(f"{path}{'&' if '?' in path else '?'}from=2026-03-02&to=2026-03-01")
    problem = page.locator(".problem").first
    expect(problem).to_contain_text("is not before")
    problem.get_by_role("button", name="Last 24 hours").click()
    expect(page.locator(".problem")).to_have_count(0)
    expect(page.locator("main [data-value]").first).to_be_visible()
    window.close()


def test_the_drawer_of_a_letter_shows_its_json_line_by_line_and_nothing_unknown(window: DashboardWindow) -> None:
    page = window.open(f"/settings/dead-letters?{PERIOD}&reason=missing_identity")
    page.locator(".cell-link").first.click()
    drawer = page.locator("dialog.drawer")
    raw = drawer.locator("pre.raw").inner_text()
    assert raw.startswith('{\n  "')
    assert isinstance(json.loads(raw), dict)
    assert "–" not in drawer.locator("dl.facts dd").all_inner_texts()
    window.close()
