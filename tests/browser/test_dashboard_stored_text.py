"""Text that wants to be a program, in every field that is stored: the pages show it as text.

The pain: an event of a stranger, or a product of an import, that runs in the session of an administrator.
"""

from __future__ import annotations

import json
import re
from urllib.parse import quote

import pytest
from confluent_kafka import Producer
from playwright.sync_api import Browser, Locator, Page, expect

from tests import plain_http
from tests.browser.dashboard_window import ApiCaller, DashboardWindow
from tests.browser.live_platform import LivePlatform, LiveProject, wait_for

SCRIPT = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>\u202eevil'
TEXT = "<img src=x"
ELEMENTS = "main img, main script, main iframe, dialog img, dialog script, header img, header script"
PAGES = (
    "/", "/?from=-30m&metric=orders", "/products", "/products?tab=trending", f"/products/{quote(SCRIPT, safe='')}",
    "/engagement", "/explore?metric=events&breakdown=event", f"/explore?metric=events&event={quote(SCRIPT)}", "/feed",
    "/feed?status=refused", "/catalog/products", "/catalog/users", "/settings/project", "/settings/keys",
    "/settings/dead-letters", "/settings/dead-letters?kind=rejected", "/settings/install", "/?wall=1",
)  # fmt: skip


@pytest.fixture
def stored(platform: LivePlatform) -> LiveProject:
    """A project whose every field that somebody can write has the script."""
    project = platform.create_project("stored-text", name=SCRIPT)
    admin, send = ApiCaller(platform, project.admin_key), ApiCaller(platform, project.write_key)
    product = {
        "name": SCRIPT, "category": SCRIPT, "brand": SCRIPT, "image_url": f"https://shop.example/{quote(SCRIPT)}",
        "attributes": {SCRIPT: SCRIPT},
    }  # fmt: skip
    admin.call("PUT", f"/v1/products/{quote(SCRIPT, safe='')}", product)
    user = {"name": SCRIPT, "traits": {SCRIPT: SCRIPT}, "anonymous_ids": [SCRIPT]}
    admin.call("PUT", f"/v1/users/{quote(SCRIPT, safe='')}", user)
    admin.call("POST", "/v1/keys", {"name": SCRIPT, "scopes": ["read"]})
    event = {
        "anonymousId": SCRIPT, "userId": SCRIPT, "event": SCRIPT,
        "properties": {"product_id": SCRIPT, "order_id": SCRIPT},
        "context": {"page": {"path": SCRIPT, "title": SCRIPT}, "campaign": {"name": SCRIPT}},
    }  # fmt: skip
    for name in (SCRIPT, "Product Viewed", "Order Completed"):
        send.call("POST", "/v1/track", {**event, "event": name})
    send_refused_event(project)
    send_dead_letter(project)
    project.wait_for_total("events", 3)
    return project


def send_refused_event(project: LiveProject) -> None:
    """An event that the collector refuses."""
    answer = plain_http.post(
        f"{project.platform.url}/v1/track", json={"event": SCRIPT, "context": {"library": SCRIPT}}, timeout=30,
        headers={"Authorization": f"Bearer {project.write_key}"},
    )  # fmt: skip
    assert answer.status_code == 400, answer.text


def send_dead_letter(project: LiveProject) -> None:
    """A record that cannot be counted, as another producer may write it."""
    record = {"projectId": project.slug, "type": SCRIPT, "event": SCRIPT, "anonymousId": SCRIPT, "messageId": SCRIPT}
    producer = Producer({"bootstrap.servers": project.platform.ready["kafka"]})
    producer.produce("rta.events.server", key=f"{project.slug}:{SCRIPT}".encode(), value=json.dumps(record).encode())
    assert producer.flush(10) == 0
    admin = ApiCaller(project.platform, project.admin_key)
    wait_for(lambda: count_letters(admin, "dead") and count_letters(admin, "rejected"), "a letter of each kind")


def count_letters(admin: ApiCaller, kind: str) -> int:
    return len(admin.call("GET", f"/v1/dead-letters?kind={kind}").json()["items"])


def test_script_in_every_stored_field_is_shown_as_text(
    platform: LivePlatform, browser: Browser, stored: LiveProject
) -> None:
    window = DashboardWindow(browser, platform, stored.admin_key)
    for path in PAGES:
        page = window.open(path)
        page.wait_for_timeout(700)
        if path.endswith(("=refused", "=rejected")):
            chosen = page.get_by_role("button", name=re.compile("^Refused"))
            expect(chosen, f"{path} shows what was refused").to_have_attribute("aria-pressed", "true")
        require_text_only(page, path)
        if path not in ("/engagement", "/settings/install"):
            expect(page.locator("body"), path).to_contain_text(TEXT)
    rows = {
        "/feed": 3, "/feed?status=refused": 2, "/catalog/products": 1, "/catalog/users": 1, "/settings/dead-letters": 1,
        "/settings/dead-letters?kind=rejected": 1,
    }  # fmt: skip
    for path, count in rows.items():
        for place in range(count):
            window.open(path).locator("main tbody tr").nth(place).click()
            require_shown(page.locator("dialog"))
            require_text_only(page, path)
    window.open("/catalog/users").locator("main tbody tr").first.click()
    page.locator("dialog").get_by_role("link", name="Their events").click()
    expect(page, "the feed shows the events of that user only").to_have_url(re.compile(r"/feed\?(.*&)?person="))
    expect(page.locator("main tbody tr").first).to_contain_text(TEXT)
    page = window.open("/")
    page.keyboard.press("Control+k")
    expect(page.get_by_role("dialog").get_by_role("combobox")).to_be_focused()
    page.keyboard.type("<img")
    expect(page.locator("dialog .palette-row").first).to_contain_text(TEXT)
    require_text_only(page, "the palette")
    window.close()


def require_shown(dialog: Locator) -> None:
    """As text, or as what a field holds."""
    expect(dialog).to_be_visible()
    texts = "dialog => dialog.innerText + [...dialog.querySelectorAll('input, textarea')].map(one => one.value).join()"
    wait_for(lambda: TEXT in dialog.evaluate(texts), lambda: dialog.evaluate(texts), 30)


def require_text_only(page: Page, where: str) -> None:
    assert page.evaluate("window.hacked") is None, where
    assert page.locator(ELEMENTS).count() == 0, where
