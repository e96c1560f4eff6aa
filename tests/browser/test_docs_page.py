"""`/docs` in Chromium: a reader tries requests with a key, which stays in the page, and nothing leaves the host."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.dashboard_window import DashboardWindow
from tests.browser.live_platform import LivePlatform

WAIT_MS = 30_000


def open_operation(page: Page, name: str) -> Locator:
    section = page.locator(f"#{name}")
    section.locator("summary").click()
    expect(section.locator("form")).to_be_visible(timeout=WAIT_MS)
    return section


def send(section: Locator) -> str:
    """Send the form. Returns the line with the status."""
    section.locator("output").evaluate("output => output.replaceChildren()")  # what the request before has left
    section.get_by_role("button", name="Send").click()
    expect(section.locator("output p")).to_have_text(re.compile(r"^\d{3} "), timeout=WAIT_MS)
    return section.locator("output p").inner_text()


def read_answer(section: Locator) -> Any:
    answer = section.locator("output .answer")
    expect(answer).not_to_be_empty(timeout=WAIT_MS)  # it comes after the status
    return json.loads(answer.inner_text())


@pytest.fixture
def window(platform: LivePlatform, browser: Browser) -> DashboardWindow:
    new_window = DashboardWindow(browser, platform, None)
    new_window.open("/docs")
    return new_window


def test_requests_are_tried_and_the_key_stays_in_the_page(window: DashboardWindow, platform: LivePlatform) -> None:
    page, keys = window.page, platform.ready
    track = open_operation(page, "collectTrack")
    assert send(track).startswith("401")
    page.get_by_label("Key").fill(keys["write_key"])
    assert send(track).startswith("200")
    assert read_answer(track) == {"success": True}

    page.get_by_label("Key").fill(keys["read_key"])
    metric = open_operation(page, "readMetric")
    metric.get_by_label("name *").select_option("events")
    metric.get_by_label("from").fill("-1h")
    assert send(metric).startswith("200")
    assert read_answer(metric)["metric"] == "events"
    curl = metric.locator("output pre").first.inner_text()
    assert "from=-1h" in curl
    assert keys["read_key"] not in page.content()
    metric.get_by_label("from").fill("yesterday")
    assert send(metric).startswith("422")
    assert read_answer(metric)["field"] == "from"

    stored = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])")
    assert keys["read_key"] not in stored
    assert window.context.cookies() == []
    window.close()


def test_a_stream_is_shown_until_the_reader_stops_it(window: DashboardWindow, platform: LivePlatform) -> None:
    page = window.page
    page.get_by_label("Key").fill(platform.ready["read_key"])
    live = open_operation(page, "streamLive")
    live.get_by_label("metrics *").fill("events")
    live.get_by_role("button", name="Send").click()
    expect(live.locator("output .answer")).to_contain_text("event: snapshot", timeout=WAIT_MS)
    live.get_by_role("button", name="Stop").click()
    expect(live.get_by_role("button", name="Stop")).to_be_hidden(timeout=WAIT_MS)
    window.close()


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (360, "dark")])
def test_the_page_is_whole_and_accessible(
    platform: LivePlatform, browser: Browser, axe: str, width: int, theme: str
) -> None:
    window = DashboardWindow(browser, platform, None, width, theme)
    page = window.open("/docs#readQueries")
    expect(page.locator("#readQueries form")).to_be_visible(timeout=WAIT_MS)
    expect(page.locator("#readQueries .body")).to_contain_text('"metric": "orders"')
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0
    assert window.find_violations(axe) == []
    window.keep_picture(f"docs-{width}-{theme}")
    page.locator("#readQueries").scroll_into_view_if_needed()
    window.close()
