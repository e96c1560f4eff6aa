"""The dashboard while things change: numbers that move, servers that go and come back, keys that end.

The pain: boards that stand still and do not say so.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests import plain_http
from tests.browser.dashboard_window import ApiCaller, DashboardWindow
from tests.browser.live_platform import LivePlatform, LiveProject, wait_for

AHEAD_MS = 3_600_000


def make_order(number: int) -> dict[str, object]:
    properties = {"order_id": f"o-{number}", "revenue": 10, "currency": "EUR", "product_id": "p-1"}
    return {"anonymousId": f"a-{number}", "event": "Order Completed", "properties": properties}


def test_numbers_move_by_themselves_and_stand_still_while_paused(
    platform: LivePlatform, browser: Browser, project: LiveProject
) -> None:
    send, window = ApiCaller(platform, project.write_key), DashboardWindow(browser, platform, project.read_key)
    send.call("POST", "/v1/track", make_order(1))
    project.wait_for_total("orders", 1)
    page = window.open("/?from=-30m")
    wait_for(lambda: window.read_values().get("orders") == 1, "the first order")
    send.call("POST", "/v1/track", make_order(2))
    wait_for(lambda: window.read_values()["orders"] == 2, "the second order, without a reload")
    page.keyboard.press("Space")
    expect(page.locator(".banner")).to_contain_text("Paused")
    send.call("POST", "/v1/track", make_order(3))
    project.wait_for_total("orders", 3)
    page.wait_for_timeout(6_000)
    assert window.read_values()["orders"] == 2
    page.keyboard.press("Space")
    wait_for(lambda: window.read_values()["orders"] == 3, "the third order, once resumed")
    window.close()


def test_an_event_of_a_product_opens_and_leads_to_its_person_in_the_feed(
    platform: LivePlatform, browser: Browser, project: LiveProject
) -> None:
    send, window = ApiCaller(platform, project.write_key), DashboardWindow(browser, platform, project.read_key)
    for number in (1, 2):
        send.call("POST", "/v1/track", make_order(number))
    project.wait_for_total("orders", 2)
    page = window.open("/products/p-1?from=-30m")
    rows = page.locator("section[aria-label='Last events'] tbody tr")
    expect(rows).to_have_count(2)
    rows.filter(has_text="a-1").get_by_role("button").click()
    drawer = page.get_by_role("dialog")
    expect(drawer.locator(".raw")).to_contain_text("o-1")
    drawer.get_by_role("button", name="Only this person").click()
    expect(drawer).to_have_count(0)
    expect(page).to_have_url(re.compile(r"/feed\?.*person=a-1"))
    expect(page.locator("table.events tbody tr")).to_have_count(1)
    window.close()


def test_the_api_is_killed_and_comes_back(platform: LivePlatform, browser: Browser, project: LiveProject) -> None:
    send, window = ApiCaller(platform, project.write_key), DashboardWindow(browser, platform, project.read_key)
    send.call("POST", "/v1/track", make_order(1))
    project.wait_for_total("orders", 1)
    page = window.open("/?from=-30m")
    wait_for(lambda: window.read_values().get("orders") == 1, "the first order")
    with holding_supervisor(platform):
        os.kill(find_process(platform, "api"), signal.SIGKILL)
        expect(page.locator(".dot-state")).to_have_attribute("data-state", "reconnecting", timeout=30_000)
        assert window.read_values()["orders"] == 1, "the old numbers stay"
    wait_for(lambda: is_sent(send, 2), "the API is back", 60)
    wait_for(lambda: window.read_values()["orders"] == 2, "the page goes on by itself", 60)
    window.close()


@contextmanager
def holding_supervisor(platform: LivePlatform) -> Iterator[None]:
    """Nothing that ends is started again: a fast start would be over before the page has noticed."""
    platform.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        platform.process.send_signal(signal.SIGCONT)


def is_sent(send: ApiCaller, number: int) -> bool:
    try:
        send.call("POST", "/v1/track", make_order(number))
    except Exception:  # noqa: BLE001  # any failure means: not yet
        return False
    return True


def find_process(platform: LivePlatform, command: str) -> int:
    """The process below `rta up` that runs this command of `rta`."""
    processes = {int(path.name): path for path in Path("/proc").iterdir() if path.name.isdigit()}
    parents = {}
    for number, path in processes.items():
        try:
            parents[number] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    own = {platform.process.pid}
    while more := {number for number, parent in parents.items() if parent in own} - own:
        own |= more
    lines = {number: (processes[number] / "cmdline").read_bytes().split(b"\0") for number in own}
    matching = [number for number, words in sorted(lines.items()) if command.encode() in words]
    assert matching, lines
    return matching[0]


def test_a_browser_with_a_wrong_clock_shows_true_ages(
    platform: LivePlatform, browser: Browser, project: LiveProject
) -> None:
    window = DashboardWindow(browser, platform, project.read_key)
    window.context.add_init_script(f"{{ const now = Date.now; Date.now = () => now() + {AHEAD_MS}; }}")
    page = window.open("/?from=-30m")
    page.wait_for_timeout(3_000)
    assert page.locator(".dot-state").get_attribute("data-state") in ("live", "polling", "connecting")
    behind = page.inner_text(".live-words")
    assert "as of" not in behind, behind
    window.close()


def test_a_revoked_key_ends_the_session(platform: LivePlatform, browser: Browser) -> None:
    admin = ApiCaller(platform, platform.ready["admin_key"])
    new_key = admin.call("POST", "/v1/keys", {"name": "short", "scopes": ["read", "catalog:read"]}).json()
    window = DashboardWindow(browser, platform, new_key["key"])
    page = window.open("/explore?metric=orders")
    admin.call("DELETE", f"/v1/keys/{new_key['id']}")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible(timeout=90_000)
    assert page.url.endswith("/explore?metric=orders"), "the address stays"
    window.close()


def test_an_empty_project_shows_its_first_event(platform: LivePlatform, browser: Browser, project: LiveProject) -> None:
    window = DashboardWindow(browser, platform, project.read_key)
    page = window.open("/")
    expect(page.locator(".listening")).to_be_visible()
    event = {"event": "Signed Up", "anonymousId": "a-1"}
    ApiCaller(platform, project.write_key).call("POST", "/v1/track", event)
    expect(page.locator(".arrival").first).to_contain_text("Signed Up", timeout=20_000)
    expect(page.locator(".arrival").first).to_contain_text("counted")
    window.close()


def test_an_empty_project_shows_why_its_first_event_was_refused(
    platform: LivePlatform, browser: Browser, project: LiveProject
) -> None:
    window = DashboardWindow(browser, platform, project.read_key)
    page = window.open("/")
    expect(page.locator(".listening")).to_be_visible()
    answer = plain_http.post(
        f"{platform.url}/v1/track", json={"event": "Signed Up"}, timeout=30,
        headers={"Authorization": f"Bearer {project.write_key}"},
    )  # fmt: skip
    assert answer.status_code == 400
    arrival = page.locator(".arrival").first
    expect(arrival).to_contain_text("rejected", timeout=20_000)
    expect(arrival.locator(".wrong")).to_contain_text(answer.json()["detail"])
    event = {"event": "Signed Up", "anonymousId": "a-1"}
    ApiCaller(platform, project.write_key).call("POST", "/v1/track", event)
    expect(page.locator(".arrival").first).to_contain_text("counted", timeout=20_000)
    window.close()


def test_a_page_without_numbers_is_live_though_nothing_arrives(
    platform: LivePlatform, browser: Browser, project: LiveProject
) -> None:
    """A heartbeat comes every ten seconds. The numbers of the page before are not those of this one."""
    window = DashboardWindow(browser, platform, project.read_key)
    page = window.open("/?from=-30m")
    page.keyboard.press("5")
    expect(page.get_by_role("heading", name="Feed")).to_be_attached()
    expect(page.locator(".dot-state")).to_have_attribute("data-state", "live")
    page.evaluate(NOTE_STATES)
    page.wait_for_timeout(14_000)
    assert page.evaluate("window.states") == ["live"]
    window.close()


NOTE_STATES = """() => {
  const dot = document.querySelector(".dot-state");
  window.states = [dot.dataset.state];
  new MutationObserver(() => window.states.push(dot.dataset.state)).observe(dot, { attributeFilter: ["data-state"] });
}"""
