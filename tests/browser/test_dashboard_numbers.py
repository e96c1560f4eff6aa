"""Each number on a page is the API's. A page reads `data-value`, which is the API's number, and the test reads it too.

The pain: a page that makes its own numbers, and rounds, joins or shifts them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator

from tests.browser.dashboard_window import ApiCaller, DashboardWindow
from tests.browser.live_platform import LivePlatform, wait_for

TILES = ("visitors", "sessions", "page_views", "orders", "revenue", "conversion_rate")
DAILY = ("active_users", "weekly_active_users", "monthly_active_users", "stickiness", "new_visitors")
SESSIONS = ("sessions_per_visitor", "events_per_session", "bounce_rate", "session_duration")
QUANTILES = ("session_duration_median", "session_duration_p95")
COLUMNS = ("product_views", "adds_to_cart", "orders", "units", "revenue", "visitors")
Numbers = Mapping[Any, float]


@pytest.fixture
def window(busy_platform: LivePlatform, browser: Browser) -> DashboardWindow:
    return DashboardWindow(browser, busy_platform, busy_platform.ready["admin_key"])


@pytest.fixture
def api(busy_platform: LivePlatform) -> ApiCaller:
    return ApiCaller(busy_platform, busy_platform.ready["read_key"])


def ask_results(api: ApiCaller, metric: str, **query: Any) -> list[dict[str, Any]]:
    answers = api.call("POST", "/v1/query", {"queries": [{"metric": metric, "from": "-7d", **query}]}).json()
    results: list[dict[str, Any]] = answers["answers"][0]["results"]
    return results


def read_numbers(places: Locator) -> list[float]:
    return places.evaluate_all("all => all.map(one => Number(one.dataset.value))")  # type: ignore[no-any-return]


def wait_for_equal(read_page: Callable[[], Numbers], ask_api: Callable[[], Numbers]) -> None:
    """Both are read until they are of one moment: an hour or a day may end in between, and the page follows."""

    def is_equal() -> bool:
        return read_page() == pytest.approx(ask_api())

    wait_for(is_equal, lambda: f"the page has {read_page()}, the API {ask_api()}")


def test_the_numbers_of_the_overview_are_the_apis(window: DashboardWindow, api: ApiCaller) -> None:
    window.open("/")
    wait_for_equal(
        lambda: {metric: value for metric, value in window.read_values().items() if metric in TILES},
        lambda: {metric: api.read_total(metric, interval="hour") for metric in TILES},
    )
    assert window.read_values()["orders"] > 0
    window.close()


def test_what_the_tiles_show_is_asked_before_all_else(window: DashboardWindow) -> None:
    requests: list[tuple[str, str]] = []
    window.page.on("request", lambda request: requests.append((urlsplit(request.url).path, request.post_data or "")))
    window.open("/")
    paths = [path for path, _ in requests if path.startswith("/v1/")]
    assert sorted(paths[:2]) == ["/v1/metrics", "/v1/session"]
    assert paths.count("/v1/session") == paths.count("/v1/metrics") == 1
    question = next(json.loads(body)["queries"] for path, body in requests if path == "/v1/query")
    assert paths[2] == "/v1/query"
    assert [query["metric"] for query in question] == [*TILES, "online", "events", "visitors"]
    assert all("breakdown" not in query for query in question)
    window.close()


def test_the_numbers_of_products_are_the_apis(window: DashboardWindow, api: ApiCaller) -> None:
    page = window.open("/products?from=-7d")
    steps = ("product_views", "adds_to_cart", "checkouts", "orders")
    wait_for_equal(
        lambda: dict(zip(steps, read_numbers(page.locator(".funnel [data-value]")), strict=True)),
        lambda: {metric: api.read_total(metric, **{"from": "-7d"}) for metric in steps},
    )
    rows = page.locator("table.products tbody tr")
    links = rows.locator("a.row-name").evaluate_all("all => all.map(one => one.getAttribute('href'))")
    products = [link.split("/products/")[1].split("?")[0] for link in links]
    assert len(products) > 10
    totals = {
        metric: {
            row["dimensions"]["product_id"]: row["total"]
            for row in ask_results(api, metric, breakdown=["product_id"], limit=1000)
        }
        for metric in COLUMNS
    }
    wait_for(
        lambda: rows.locator("td .value").count() == len(products) * len(COLUMNS), "all columns have their numbers"
    )
    for place, product in enumerate(products):
        values = read_numbers(rows.nth(place).locator("td .value"))
        assert values == pytest.approx([totals[metric].get(product, 0) for metric in COLUMNS]), product
    window.close()


def test_the_numbers_of_a_product_are_the_apis(window: DashboardWindow, api: ApiCaller) -> None:
    page = window.open("/products/p-1?from=-7d")
    metrics = ("product_views", "adds_to_cart", "checkouts", "orders", "units", "revenue", "visitors")
    places = page.locator(".funnel [data-value], .figures [data-value]")
    filters = {"product_id": ["p-1"]}
    # By their places: a page that has not drawn all of them yet has fewer.
    wait_for_equal(
        lambda: dict(enumerate(read_numbers(places))),
        lambda: dict(enumerate(api.read_total(metric, filters=filters, **{"from": "-7d"}) for metric in metrics)),
    )
    window.close()


def test_the_numbers_of_engagement_are_the_apis(window: DashboardWindow, api: ApiCaller) -> None:
    page = window.open("/engagement?from=-7d&interval=day")
    query = {"from": "-7d", "interval": "day"}
    wait_for_equal(
        window.read_values,
        lambda: {metric: api.read_total(metric, **query) for metric in (*DAILY, *SESSIONS, *QUANTILES)},
    )
    lengths = page.locator("section[aria-label='Session lengths'] .bar-row [data-value]")
    body = api.call("GET", "/v1/sessions/lengths?from=-7d").json()
    assert sum(read_numbers(lengths)) == body["sessions"] == sum(entry["sessions"] for entry in body["lengths"])
    cohorts = api.call("GET", "/v1/retention?cohort=day&periods=8&from=-14d").json()["cohorts"]
    page.locator("section[aria-label=Retention]").get_by_role("button", name="People").click()
    table = page.locator("section[aria-label=Retention] tbody tr:not(.mean)")
    rows = [
        [int(text.replace(",", "")) for text in row.locator("td:not(:empty)").all_inner_texts()] for row in table.all()
    ]
    assert rows == [[cohort["size"], *cohort["retained"]] for cohort in reversed(cohorts) if cohort["size"]]
    window.close()


def test_the_rows_of_explore_are_the_apis(window: DashboardWindow, api: ApiCaller) -> None:
    page = window.open("/explore?metric=orders&breakdown=device&from=-7d")
    values = read_numbers(page.locator("table .strong [data-value]"))
    assert values == [row["total"] for row in ask_results(api, "orders", breakdown=["device"])]
    assert len(values) > 1
    window.close()
