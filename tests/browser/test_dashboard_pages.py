"""Every page in Chromium on the real stack: both themes, both widths, no error, nothing foreign, readable for all.

The pain: a page that worked in the theme and the width of whoever made it.
"""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.dashboard_window import DashboardWindow
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

# By name: the page, the key that opens it (none: a click on the first row), and what is then there.
OVER_A_PAGE = {
    "palette": ("/", "Control+k", "dialog[aria-label='Go to']"),
    "help": ("/", "?", "dialog[aria-label='Shortcuts']"),
    "period-menu": ("/", "c", ".panel"),
    "filter-menu": ("/", "/", ".panel"),
    "event-drawer": ("/feed", "", "dialog.drawer"),
    "product-drawer": ("/catalog/products", "", "dialog.drawer"),
    "user-drawer": ("/catalog/users", "", "dialog.drawer"),
    "letter-drawer": ("/settings/dead-letters?from=-7d", "", "dialog.drawer"),
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


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_what_is_not_a_page_of_its_own_is_whole_and_accessible(
    busy_platform: LivePlatform, browser: Browser, axe: str, width: int, theme: str
) -> None:
    """Sign-in, the empty project, and what opens over a page: palette, help, drawers, menus."""
    key, findings = busy_platform.ready["admin_key"], []
    project = busy_platform.create_project(f"empty-{width}-{theme}")
    out = DashboardWindow(browser, busy_platform, None, width, theme)
    out.page.goto(busy_platform.url)
    expect(out.page.get_by_label("Key")).to_be_visible()
    findings += out.find_violations(axe)
    out.keep_picture(f"sign-in-{width}-{theme}")
    out.close()
    empty = DashboardWindow(browser, busy_platform, project.admin_key, width, theme)
    expect(empty.open("/").locator(".listening")).to_be_visible()
    findings += empty.find_violations(axe)
    empty.keep_picture(f"empty-{width}-{theme}")
    empty.close()
    window = DashboardWindow(browser, busy_platform, key, width, theme)
    for name, (path, keys, opened) in OVER_A_PAGE.items():
        page = window.open(path)
        if keys:
            page.keyboard.press(keys)
        else:
            page.locator("main tbody tr").first.click()
        expect(page.locator(opened)).to_be_visible()
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0, f"{name} is {overflow} px wider than the window"
        findings += window.find_violations(axe)
        window.keep_picture(f"{name}-{width}-{theme}")
    assert findings == []
    window.close()


def test_a_wall_can_hide_money(busy_platform: LivePlatform, browser: Browser) -> None:
    window = DashboardWindow(browser, busy_platform, busy_platform.ready["admin_key"])
    page = window.open("/?wall=1&hide=money")
    assert "revenue" not in window.read_values()
    assert "€" not in page.inner_text("main")
    window.close()


@pytest.mark.parametrize(
    ("path", "role", "name", "address"),
    [
        ("/", "button", "Events", "/?list=event"),
        ("/engagement", "button", "Active in 7 days", "/engagement?hidden=weekly_active_users"),
        ("/explore?breakdown=source", "checkbox", "Web in the chart", "/explore?breakdown=source&hidden=web"),
        ("/feed", "button", "Counted", "/feed?status=counted"),
        ("/settings/dead-letters", "button", "Refused by the collector", "/settings/dead-letters?kind=rejected"),
    ],
)  # fmt: skip
def test_what_is_chosen_is_in_the_address_and_a_link_shows_it(
    busy_platform: LivePlatform, browser: Browser, path: str, role: Any, name: str, address: str
) -> None:
    window = DashboardWindow(browser, busy_platform, busy_platform.ready["admin_key"])
    page = window.open(path)
    states = ("checked", "aria-pressed")

    def read_state() -> list[Any]:
        part = page.get_by_role(role, name=name, exact=True).first
        part.wait_for()
        return [
            part.get_attribute(state) if state != "checked" else role == "checkbox" and part.is_checked()
            for state in states
        ]

    before = read_state()
    page.get_by_role(role, name=name, exact=True).first.click()
    page.wait_for_url(f"**{address}")
    chosen = read_state()
    assert chosen != before
    page = window.open(page.url.removeprefix(busy_platform.url))
    assert read_state() == chosen
    window.close()


def test_a_person_of_the_feed_and_a_reason_of_letters_are_named_as_in_the_api(
    busy_platform: LivePlatform, browser: Browser
) -> None:
    window = DashboardWindow(browser, busy_platform, busy_platform.ready["admin_key"])
    page = window.open("/feed?person=u-1")
    assert page.get_by_label("userId or anonymousId").input_value() == "u-1"
    with page.expect_request(lambda request: "reason=not_json" in request.url and "kind=dead" in request.url):
        window.open("/settings/dead-letters?reason=not_json")
    window.close()
