"""Every page in Chromium on the real stack: both themes, both widths, no error, nothing foreign, readable for all.

The pain: a page that worked in the theme and the width of whoever made it.
"""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from tests.browser.dashboard_window import ApiCaller, DashboardWindow
from tests.browser.live_platform import LivePlatform

PAGES = {
    "overview": "/",
    "overview-filtered": "/?from=-7d&country=DE",
    "products": "/products",
    "trending": "/products?tab=trending",
    "product": "/products/p-1",
    "engagement": "/engagement?from=-7d&interval=day",
    "explore": "/explore?metric=orders&breakdown=country",
    "explore-table": "/explore?metric=visitors&as=table",
    "feed": "/feed",
    "catalog-products": "/catalog/products",
    "catalog-product": "/catalog/products?id=p-1",
    "catalog-users": "/catalog/users",
    "settings-project": "/settings/project",
    "settings-keys": "/settings/keys",
    "settings-letters": "/settings/dead-letters",
    "settings-health": "/settings/health",
    "settings-install": "/settings/install",
    "settings-browser": "/settings/browser",
    "wall": "/?wall=1",
}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_every_page_is_whole_and_accessible(
    busy_platform: LivePlatform, browser: Browser, axe: str, width: int, theme: str
) -> None:
    window = DashboardWindow(browser, busy_platform, busy_platform.ready["admin_key"], width, theme)
    findings: list[str] = []
    for name, path in PAGES.items():
        page = window.open(path)
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0, f"{name} is {overflow} px wider than the window"
        findings += window.find_violations(axe)
        window.keep_picture(f"{name}-{width}-{theme}")
    assert findings == []
    window.close()


def test_the_numbers_of_the_overview_are_the_apis(busy_platform: LivePlatform, browser: Browser) -> None:
    key = busy_platform.ready["admin_key"]
    window, api = DashboardWindow(browser, busy_platform, key), ApiCaller(busy_platform, key)
    window.open("/")
    shown = window.read_values()
    metrics = ("visitors", "sessions", "page_views", "orders", "revenue")
    expected = {metric: api.read_total(metric, interval="hour") for metric in metrics}
    assert {metric: shown[metric] for metric in expected} == pytest.approx(expected)
    assert expected["orders"] > 0
    window.close()


def test_the_rows_of_explore_are_the_apis(busy_platform: LivePlatform, browser: Browser) -> None:
    key = busy_platform.ready["admin_key"]
    window, api = DashboardWindow(browser, busy_platform, key), ApiCaller(busy_platform, key)
    page = window.open("/explore?metric=orders&breakdown=device&from=-7d")
    values = page.locator("table .strong [data-value]").evaluate_all("spans => spans.map(s => Number(s.dataset.value))")
    query = {"metric": "orders", "from": "-7d", "breakdown": ["device"]}
    results = api.call("POST", "/v1/query", {"queries": [query]}).json()["answers"][0]["results"]
    assert values == [row["total"] for row in results]
    assert len(values) > 1
    window.close()


def test_a_wall_can_hide_money(busy_platform: LivePlatform, browser: Browser) -> None:
    window = DashboardWindow(browser, busy_platform, busy_platform.ready["admin_key"])
    page = window.open("/?wall=1&hide=money")
    assert "revenue" not in window.read_values()
    assert "€" not in page.inner_text("main")
    window.close()
