"""People at the dashboard: signing in, the keyboard alone, and two editors."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, Page, expect

from tests.browser.dashboard_window import ApiCaller, DashboardWindow
from tests.browser.live_platform import LivePlatform, LiveProject, wait_for

STEPS_MAX = 60


def test_a_key_signs_in_and_the_link_that_was_opened_is_shown(platform: LivePlatform, browser: Browser) -> None:
    window = DashboardWindow(browser, platform, None)
    page = window.page
    page.goto(f"{platform.url}/explore?metric=orders&breakdown=source")
    page.get_by_label("Key").fill("rta_r_wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).not_to_be_empty()
    page.get_by_label("Key").fill(platform.ready["write_key"])
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("only send events")
    page.get_by_label("Key").fill(platform.ready["read_key"])
    page.keyboard.press("Enter")
    expect(page.get_by_role("combobox", name="Metric")).to_have_value("orders")
    assert page.url.endswith("/explore?metric=orders&breakdown=source")
    window.errors.clear()  # the refusals of the wrong keys
    window.close()


def test_a_link_signs_in_once_and_its_code_leaves_the_address(platform: LivePlatform, browser: Browser) -> None:
    code = ApiCaller(platform, platform.ready["read_key"]).call("POST", "/v1/session/codes").json()["start"]
    window = DashboardWindow(browser, platform, None)
    page = window.open(f"/#start={code}")
    expect(page.locator(".brand-name")).to_be_visible()
    assert "start" not in page.url
    window.close()
    second = DashboardWindow(browser, platform, None)
    second.page.goto(f"{platform.url}/#start={code}")
    expect(second.page.get_by_role("alert")).to_contain_text("used already")
    second.close()


def test_the_keyboard_is_enough(busy_platform: LivePlatform, browser: Browser) -> None:
    window = DashboardWindow(browser, busy_platform, busy_platform.ready["admin_key"])
    page = window.open("/")
    page.keyboard.press("w")
    expect(page).to_have_url(re.compile(r"from=-7d"))
    page.keyboard.press("c")
    page.keyboard.type("48h")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"from=-48h"))
    page.locator(".chart svg").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".tip")).to_be_visible()
    page.keyboard.press("t")
    expect(page.locator(".chart-card table")).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("2")
    expect(page).to_have_url(re.compile(r"/products"))
    page.go_back()
    expect(page).to_have_url(re.compile(r"/\?from=-48h"))
    window.close()


def test_somebody_without_a_mouse_signs_in_filters_and_edits(platform: LivePlatform, browser: Browser) -> None:
    """Keys alone: no click, no focus and no text that the test sets by itself."""
    project = platform.create_project("no-mouse")
    admin, send = ApiCaller(platform, project.admin_key), ApiCaller(platform, project.write_key)
    admin.call("PUT", "/v1/products/p-1", {"name": "Old name"})
    send.call(
        "POST", "/v1/track", {"anonymousId": "a-1", "event": "Product Viewed", "properties": {"product_id": "p-1"}}
    )
    project.wait_for_total("events", 1)
    window = DashboardWindow(browser, platform, None)
    page = window.page
    page.goto(platform.url)
    expect(page.get_by_label("Key")).to_be_focused()
    page.keyboard.type(project.admin_key)
    page.keyboard.press("Enter")
    expect(page.locator("[data-metric=visitors] [data-value='1']")).to_be_attached(timeout=30_000)
    page.keyboard.press("/")
    walk_to(page, "Source")
    page.keyboard.press("Enter")
    expect(page.locator(".panel input")).to_be_focused()
    page.keyboard.type("server")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("source=server"))
    expect(page.locator(".chip")).to_contain_text("Server")
    page.keyboard.press("Escape")
    expect(page.locator(".chip")).to_have_count(0)
    page.keyboard.press("6")
    expect(page.get_by_role("button", name="Old name")).to_be_visible()
    walk_to(page, "Old name")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    walk_to(page, "Name")
    page.keyboard.press("Control+A")
    page.keyboard.type("New name")
    walk_to(page, "Save")
    page.keyboard.press("Enter")
    wait_for(lambda: admin.call("GET", "/v1/products/p-1").json()["name"] == "New name", "the new name is saved")
    window.close()


# The words of what has the focus, without the initials that stand for a picture.
FOCUS = """() => {
  const element = document.activeElement;
  const initials = element.querySelector(".mark")?.innerText ?? "";
  return (element.labels?.[0] ?? element).innerText.replace(initials, "").trim();
}"""


def walk_to(page: Page, name: str) -> None:
    """Press Tab until the focus is on what has this name."""
    for _ in range(STEPS_MAX):
        if page.evaluate(FOCUS).split("\n")[0] == name:
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{name} is not reached; the focus is on {page.evaluate(FOCUS)!r}")


def test_properties_and_traits_are_declared_and_then_asked_by(
    platform: LivePlatform, browser: Browser, project: LiveProject
) -> None:
    window = DashboardWindow(browser, platform, project.admin_key)
    page = window.open("/settings")
    properties = page.get_by_label("Properties of events to ask by")
    properties.fill("coupon\n\n 9lives ")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".field", has=properties)).to_contain_text("9lives")
    window.errors.clear()  # the refusal of the name
    properties.fill("coupon\n\n search ")
    page.get_by_role("button", name="Save").click()
    expect(properties).to_have_value("coupon\nsearch")
    traits = page.get_by_label("Traits of users to ask by")
    traits.fill("plan")
    # "Saved" may still be that of the properties, and a page that is left gives its request up.
    with page.expect_response(lambda answer: answer.request.method == "PATCH" and answer.ok):
        page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved", exact=True)).to_be_visible()
    window.open("/explore?metric=events")
    by = page.get_by_role("combobox", name="by", exact=True)
    wait_for(lambda: "search" in by.inner_text(), "the list of dimensions has the property")
    by.select_option("property.search")
    expect(page).to_have_url(re.compile(r"breakdown=property\.search"))
    by.select_option("user.plan")
    expect(page.get_by_text("known of each person when the event was counted")).to_be_attached()
    window.close()


def test_two_people_change_one_product(busy_platform: LivePlatform, browser: Browser) -> None:
    key = busy_platform.ready["admin_key"]
    window, api = DashboardWindow(browser, busy_platform, key), ApiCaller(busy_platform, key)
    api.call("PUT", "/v1/products/p-two", {"name": "First", "brand": "Old"})
    page = window.open("/catalog/products?id=p-two")
    page.get_by_role("textbox", name="Name").fill("Mine")
    api.call("PATCH", "/v1/products/p-two", {"brand": "Theirs"})
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".conflict")).to_contain_text("Theirs")
    page.get_by_role("button", name="Save these").click()
    wait_for(lambda: api.call("GET", "/v1/products/p-two").json()["name"] == "Mine", "the chosen name is saved")
    assert api.call("GET", "/v1/products/p-two").json()["brand"] == "Theirs"
    window.close()
