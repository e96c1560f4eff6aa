"""The two ways of docs/how-to/show-a-wall.md to show numbers on a page of another server: its own words are tried.

The pain: lines to copy from a page of the docs that a browser refuses.
"""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.browser.cut_network import CutNetwork
from tests.browser.dashboard_window import ApiCaller, DashboardWindow
from tests.browser.live_platform import LivePlatform, LiveProject, wait_for
from tests.browser.site import Site

GUIDE = (Path(__file__).parents[2] / "docs" / "how-to" / "show-a-wall.md").read_text()
PLATFORM, INTRANET = "https://analytics.example.com", "https://intranet.example.com"


def read_block(kind: str, beginning: str) -> str:
    """The block of the guide that begins so."""
    match = re.search(rf"```{kind}\n({re.escape(beginning)}.*?)```", GUIDE, re.DOTALL)
    assert match is not None, beginning
    return match.group(1)


def write_page(site: Site, path: Path, platform_url: str, beginning: str) -> str:
    """A page of the site with the block of the guide, on this machine's addresses. Gives the page's address."""
    path.write_text(read_block("html", beginning).replace(PLATFORM, platform_url))
    site.files[f"/{path.name}"] = path
    return f"{site.url}/{path.name}"


def send_order(project: LiveProject, number: int) -> None:
    event = {"anonymousId": f"a-{number}", "event": "Order Completed", "properties": {"order_id": f"o-{number}"}}
    ApiCaller(project.platform, project.write_key).call("POST", "/v1/track", event)


def request_ticket(reader: ApiCaller) -> str:
    ticket: str = reader.call("POST", "/v1/live/tickets").json()["ticket"]
    return ticket


def test_a_page_of_another_origin_shows_live_numbers_by_a_ticket(
    platform: LivePlatform, browser: Browser, project: LiveProject, site: Site, tmp_path: Path
) -> None:
    admin, reader = ApiCaller(platform, project.admin_key), ApiCaller(platform, project.read_key)
    (own,) = admin.call("GET", "/v1/projects").json()["items"]
    admin.call("PATCH", f"/v1/projects/{own['id']}", {"allowed_origins": [site.url]})
    send_order(project, 1)
    project.wait_for_total("orders", 1)
    page = browser.new_context().new_page()
    page.route(f"{site.url}/live-ticket", lambda route: route.fulfill(body=request_ticket(reader)))
    page.goto(write_page(site, tmp_path / "numbers.html", platform.url, "<!doctype html>"))
    expect(page.locator("#orders")).to_have_text("1", timeout=30_000)
    send_order(project, 2)
    expect(page.locator("#orders")).to_have_text("2", timeout=30_000)
    expect(page.locator("#visitors")).to_have_text("2")
    page.context.close()


def test_the_wall_is_in_a_frame_only_where_a_proxy_allows_it(
    platform: LivePlatform, browser: Browser, project: LiveProject, site: Site, tmp_path: Path
) -> None:
    send_order(project, 1)
    project.wait_for_total("orders", 1)
    window = DashboardWindow(browser, platform, project.read_key)
    number = window.page.frame_locator("iframe").locator("[data-metric=orders] [data-value]")
    window.page.goto(write_page(site, tmp_path / "refused.html", platform.url, "<iframe"))
    wait_for(lambda: is_frame_refused(window), "the browser says why it refuses the frame")
    expect(number).to_have_count(0)
    proxy = CutNetwork(platform, read_replacements(site.url))
    window.page.goto(write_page(site, tmp_path / "wall.html", proxy.far_platform.url, "<iframe"))
    expect(number).to_have_attribute("data-value", "1", timeout=30_000)
    window.context.close()
    proxy.stop()


def is_frame_refused(window: DashboardWindow) -> bool:
    window.page.evaluate("true")  # what the browser has said comes while it is asked
    return any("frame-ancestors" in error for error in window.errors)


def read_replacements(origin: str) -> tuple[tuple[bytes, bytes], ...]:
    """What the lines for Caddy say: one header goes, and a part of the other is replaced."""
    lines = read_block("", "analytics.example.com")
    dropped = re.search(r"header_down -(\S+)", lines)
    replaced = re.search(r'header_down Content-Security-Policy "([^"]+)" "([^"]+)"', lines)
    assert dropped is not None
    assert replaced is not None
    header = f"{dropped.group(1).lower()}: DENY\r\n"
    old, new = replaced.groups()
    return (header.encode(), b""), (old.encode(), new.replace(INTRANET, origin).encode())
