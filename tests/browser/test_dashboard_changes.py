"""What people change in the dashboard: products and users of the catalog, and keys. The API then says the same.

The pain: a button that does nothing, and a form that says "saved" when it is not.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from confluent_kafka import Producer
from playwright.sync_api import Browser, expect

from tests import plain_http
from tests.browser.dashboard_window import ApiCaller, DashboardWindow
from tests.browser.live_platform import LivePlatform, LiveProject, wait_for

CSV = "id,name,price\np-new,New name,4.5\np-2,Second,7\np-3,Third,4,5\n"


def open_as_admin(platform: LivePlatform, browser: Browser, project: LiveProject) -> tuple[DashboardWindow, ApiCaller]:
    return DashboardWindow(browser, platform, project.admin_key), ApiCaller(platform, project.admin_key)


def test_a_product_is_made_found_imported_over_and_exported(
    platform: LivePlatform, browser: Browser, project: LiveProject, tmp_path: Path
) -> None:
    window, api = open_as_admin(platform, browser, project)
    page = window.open("/catalog/products")
    page.get_by_role("button", name="New product").click()
    drawer = page.get_by_role("dialog")
    drawer.get_by_label("Id, as events name it").fill("p-new")
    drawer.get_by_label("Name", exact=True).fill("First name")
    drawer.get_by_label("Price").fill("-1")
    drawer.get_by_role("button", name="Create the product").click()
    expect(drawer).to_contain_text("It must be a number from 0")
    drawer.get_by_label("Price").fill("3.25")
    drawer.get_by_role("button", name="Create the product").click()
    expect(drawer).to_have_count(0)
    product = api.call("GET", "/v1/products/p-new").json()
    assert (product["name"], product["price"]) == ("First name", 3.25)

    page.get_by_role("button", name="Import").click()
    dialog = page.get_by_role("dialog", name="Import products")
    path = tmp_path / "products.csv"
    path.write_text(CSV)
    dialog.locator("input[type=file]").set_input_files(path)
    expect(dialog.locator("pre")).to_contain_text("p-2,Second,7")
    dialog.get_by_role("button", name="Import", exact=True).click()
    expect(dialog.get_by_role("status")).to_contain_text("1 product created, 1 changed, 0 as before, 1 failed")
    dialog.get_by_role("button", name="Done").click()
    assert api.call("GET", "/v1/products/p-new").json()["name"] == "New name"
    expect(page.locator("section[aria-label=Products] tbody tr")).to_have_count(2)

    page.get_by_placeholder("Name or id begins with").fill("Sec")
    expect(page.locator("section[aria-label=Products] tbody tr")).to_have_count(1)
    expect(page.locator("section[aria-label=Products] tbody")).to_contain_text("Second")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export CSV").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert lines[0].startswith("id,")
    assert [line.split(",")[0] for line in lines[1:]] == ["p-2"], "what is searched for is what is exported"
    window.close()


def test_a_product_is_deleted_and_a_person_erased_with_a_receipt(
    platform: LivePlatform, browser: Browser, project: LiveProject
) -> None:
    window, api = open_as_admin(platform, browser, project)
    api.call("PUT", "/v1/products/p-1", {"name": "Bean"})
    api.call("PUT", "/v1/users/u-1", {"name": "Ada"})
    window.page.on("dialog", lambda question: question.accept())
    page = window.open("/catalog/products?id=p-1")
    drawer = page.get_by_role("dialog")
    drawer.locator("summary").click()
    drawer.get_by_role("button", name="Delete the product").click()
    expect(drawer).to_have_count(0)
    assert api.call("GET", "/v1/products").json()["items"] == []
    page = window.open("/catalog/users?id=u-1")
    drawer = page.get_by_role("dialog")
    drawer.locator("summary").click()
    erase = drawer.get_by_role("button", name="Erase")
    expect(erase).to_be_disabled()
    drawer.get_by_label("To erase the person, type the id").fill("u-1")
    erase.click()
    expect(drawer.locator("pre")).to_contain_text('"user_id": "u-1"')
    drawer.get_by_role("button", name="Done").click()
    expect(drawer).to_have_count(0)
    assert api.call("GET", "/v1/users").json()["items"] == []
    assert [receipt["user_id"] for receipt in api.call("GET", "/v1/erasures").json()["items"]] == ["u-1"]
    window.close()


def test_a_key_is_made_shown_once_and_revoked(platform: LivePlatform, browser: Browser, project: LiveProject) -> None:
    window, api = open_as_admin(platform, browser, project)
    window.page.on("dialog", lambda question: question.accept())
    page = window.open("/settings/keys")
    card = page.locator("section[aria-label='New key']")
    card.get_by_label("Name").fill("Report")
    card.get_by_role("button", name="Make the key").click()
    key = page.locator(".secret").inner_text()
    assert key.startswith("rta_r_")
    reader = {"Authorization": f"Bearer {key}"}
    assert plain_http.get(f"{platform.url}/v1/metrics/events", headers=reader, timeout=30).status_code == 200
    page.get_by_role("button", name="Done").click()
    expect(page.locator(".secret")).to_have_count(0)
    assert key not in page.content()
    row = page.locator("section[aria-label=Keys] tbody tr").filter(has_text="Report")
    row.get_by_role("button", name="Revoke").click()
    expect(row).to_contain_text(re.compile("revoked"))
    wait_for(
        lambda: plain_http.get(f"{platform.url}/v1/metrics/events", headers=reader, timeout=30).status_code == 401,
        "the key is refused",
        60,
    )
    names = [key["name"] for key in api.call("GET", "/v1/keys").json()["items"]]
    assert "Report" not in names
    window.close()


def test_dead_letters_are_replayed_and_what_became_of_them_is_said(
    platform: LivePlatform, browser: Browser, project: LiveProject
) -> None:
    window, _ = open_as_admin(platform, browser, project)
    window.page.on("dialog", lambda question: question.accept())
    producer = Producer({"bootstrap.servers": platform.ready["kafka"]})
    for number in (1, 2):
        event = {"projectId": project.slug, "type": "track", "userId": "u", "messageId": f"{project.slug}-{number}"}
        producer.produce("rta.events.web", json.dumps(event).encode(), f"{project.slug}:u".encode())
    assert producer.flush(30) == 0
    page = window.open("/settings/dead-letters?from=-24h")
    rows = page.locator("section[aria-label=Letters] tbody tr")
    expect(rows).to_have_count(2, timeout=60_000)
    rows.first.get_by_role("button").click()
    drawer = page.get_by_role("dialog")
    drawer.get_by_role("button", name="Replay").click()
    expect(drawer.get_by_role("status")).to_contain_text("1 letter: 1 ")
    page.keyboard.press("Escape")
    page.get_by_role("button", name=re.compile("^Replay all")).first.click()
    expect(page.locator("section[aria-label=Replay]")).to_contain_text("2 letters:")
    window.close()
