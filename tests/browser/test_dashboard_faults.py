"""The dashboard while a worker stands still or the network is gone: it says so, and goes on by itself.

The pain: boards that show old numbers as if they were new, and tabs that stay "offline" until somebody reloads them.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.cut_network import CutNetwork
from tests.browser.dashboard_window import ApiCaller, DashboardWindow
from tests.browser.live_platform import LivePlatform, LiveProject, wait_for
from tests.browser.test_dashboard_live import find_process, make_order

STANDS_STILL_MS = 60_000
CLOCK = r"\d{2}:\d{2}:\d{2}"


@pytest.fixture
def network(platform: LivePlatform) -> Iterator[CutNetwork]:
    wire = CutNetwork(platform)
    yield wire
    wire.stop()


def test_a_worker_that_stands_still_is_said_with_its_time(
    platform: LivePlatform, browser: Browser, project: LiveProject
) -> None:
    send, window = ApiCaller(platform, project.write_key), DashboardWindow(browser, platform, project.read_key)
    send.call("POST", "/v1/track", make_order(1))
    project.wait_for_total("orders", 1)
    page = window.open("/?from=-30m")
    wait_for(lambda: window.read_values().get("orders") == 1, "the first order")
    worker = find_process(platform, "worker")
    os.kill(worker, signal.SIGSTOP)
    try:
        send.call("POST", "/v1/track", make_order(2))
        banner = page.locator(".banner.warn")
        expect(banner).to_contain_text(re.compile(f"stand still since {CLOCK}"), timeout=STANDS_STILL_MS)
        expect(page.locator(".live-words")).to_contain_text(re.compile(f"as of {CLOCK}"))
        expect(page.locator(".dot-state")).to_have_attribute("data-state", "stale")
        assert window.read_values()["orders"] == 1, "the old numbers stay"
    finally:
        os.kill(worker, signal.SIGCONT)
    wait_for(lambda: window.read_values()["orders"] == 2, "the second order, once the worker goes on", 90)
    expect(banner).to_have_count(0, timeout=STANDS_STILL_MS)
    expect(page.locator(".dot-state")).to_have_attribute("data-state", "live")
    window.close()


def test_a_network_that_was_cut_without_a_word_is_noticed_and_come_back_from(
    platform: LivePlatform, browser: Browser, project: LiveProject, network: CutNetwork
) -> None:
    send = ApiCaller(platform, project.write_key)
    send.call("POST", "/v1/track", make_order(1))
    project.wait_for_total("orders", 1)
    window = DashboardWindow(browser, network.far_platform, project.read_key)
    page = window.open("/?from=-30m")
    wait_for(lambda: window.read_values().get("orders") == 1, "the first order")
    network.cut()
    expect(page.locator(".dot-state")).to_have_attribute("data-state", "stale", timeout=STANDS_STILL_MS)
    expect(page.locator(".live-words")).to_contain_text(re.compile(f"as of {CLOCK}"))
    send.call("POST", "/v1/track", make_order(2))
    project.wait_for_total("orders", 2)
    assert window.read_values()["orders"] == 1, "the old numbers stay"
    expect(page.locator(".dot-state")).to_have_attribute("data-state", "reconnecting", timeout=STANDS_STILL_MS)
    network.mend()
    wait_for(lambda: window.read_values()["orders"] == 2, "the second order, without a reload", 60)
    expect(page.locator(".dot-state")).to_have_attribute("data-state", "live", timeout=STANDS_STILL_MS)
    window.close()


def test_a_browser_that_was_offline_goes_on_by_itself(
    platform: LivePlatform, browser: Browser, project: LiveProject
) -> None:
    send, window = ApiCaller(platform, project.write_key), DashboardWindow(browser, platform, project.read_key)
    send.call("POST", "/v1/track", make_order(1))
    project.wait_for_total("orders", 1)
    page = window.open("/?from=-30m")
    wait_for(lambda: window.read_values().get("orders") == 1, "the first order")
    page.evaluate("dispatchEvent(new Event('offline'))")  # a line that stays, as over loopback
    expect(page.locator(".dot-state")).to_have_attribute("data-state", "live", timeout=STANDS_STILL_MS)
    window.context.set_offline(True)
    page.wait_for_timeout(2_000)
    send.call("POST", "/v1/track", make_order(2))
    project.wait_for_total("orders", 2)
    window.context.set_offline(False)
    wait_for(lambda: window.read_values()["orders"] == 2, "the second order, without a reload", 60)
    expect(page.locator(".dot-state")).to_have_attribute("data-state", "live", timeout=STANDS_STILL_MS)
    window.close()
