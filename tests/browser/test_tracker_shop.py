"""A single-page shop: what 50 pages of its visitors did is what the platform has, word for word and in its numbers."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Page

from tests.browser.live_platform import LiveProject
from tests.browser.site import PREFIX, Site
from tests.browser.visitors import USER_AGENT, Visitors

CAMPAIGNS = ("spring", "newsletter", None)
VISITS, PAGES = 5, 10


@dataclass
class ShopTruth:
    """What the visitors did, counted while they did it: plain numbers, nothing of the platform's code."""

    pages: Counter[str] = field(default_factory=Counter)
    landings: Counter[str | None] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    revenue_cents: int = 0
    orders: list[str] = field(default_factory=list)

    def visit(self, page: Page, number: int, chance: random.Random) -> None:
        """The landing page is open; nine more follow."""
        for step in range(1, PAGES):
            product = f"p-{chance.randrange(4)}"
            path = f"/p/{product}/{number}-{step}"
            if step == 5:
                page.go_back()
                path = page.evaluate("location.pathname")
            else:
                page.evaluate("path => history.pushState({}, '', path)", path)
            self.pages[path] += 1
            self.act(page, product, f"o-{number}-{step}", chance)
            page.evaluate("history.replaceState({}, '', location.pathname + '?filter=a')")  # no page of its own

    def act(self, page: Page, product: str, order: str, chance: random.Random) -> None:
        cents = chance.randrange(100, 10_000)
        item = {"product_id": product, "price": cents / 100, "quantity": 1, "currency": "EUR"}
        page.evaluate("item => rta.productViewed(item)", item)
        self.events["Product Viewed"] += 1
        if chance.random() < 0.4:
            page.evaluate("item => rta.productAdded(item)", item)
            page.evaluate("item => rta.checkoutStarted({products: [item], currency: 'EUR'})", item)
            bought = {"order_id": order, "total": cents / 100, "currency": "EUR", "products": [item]}
            page.evaluate("order => rta.orderCompleted(order)", bought)
            self.events.update(["Product Added", "Checkout Started", "Order Completed"])
            self.revenue_cents += cents
            self.orders.append(order)


def read_campaign(record: dict[str, Any]) -> str | None:
    name: str | None = record["context"].get("campaign", {}).get("name")
    return name


def test_every_page_order_and_campaign_of_a_shop_is_there(visitors: Visitors, project: LiveProject) -> None:
    visitors.write_script()
    truth, chance = ShopTruth(), random.Random(7)
    for number in range(VISITS):
        campaign = CAMPAIGNS[number % len(CAMPAIGNS)]
        query = f"?utm_source=mail&utm_medium=email&utm_campaign={campaign}" if campaign else ""
        page = visitors.arrive(f"/{query}", timezone_id="Europe/Berlin")
        truth.pages["/"] += 1
        truth.landings[campaign] += 1
        truth.visit(page, number, chance)
    visitors.leave()  # the last events go by beacon
    records = project.wait_for_records(truth.pages.total() + truth.events.total())
    views = [record for record in records if record["type"] == "page"]
    assert Counter(view["context"]["page"]["path"] for view in views) == truth.pages
    landings = [view for view in views if view["context"]["page"]["path"] == "/"]
    assert Counter(map(read_campaign, landings)) == truth.landings
    assert Counter(record["event"] for record in records if record["type"] == "track") == truth.events
    assert {record.get("properties", {}).get("order_id") for record in records} - {None} == set(truth.orders)
    assert len({record["anonymousId"] for record in records}) == VISITS
    project.wait_for_total("events", truth.pages.total() + truth.events.total())
    assert project.read_total("page_views") == VISITS * PAGES
    assert project.read_total("visitors") == VISITS
    assert project.read_total("orders") == len(truth.orders) > 0
    assert round(project.read_total("revenue") * 100) == truth.revenue_cents
    assert project.read_total("product_views") == truth.events["Product Viewed"]
    assert project.read_total("checkouts") == truth.events["Checkout Started"]


def test_an_event_says_where_and_with_what(visitors: Visitors, project: LiveProject, site: Site) -> None:
    visitors.write_script()
    page = visitors.arrive(
        "/a?utm_source=s&utm_campaign=c&x=1#part", timezone_id="Asia/Tokyo", viewport={"width": 800, "height": 600}
    )
    project.wait_for_records(1)
    page.evaluate("history.pushState({}, '', '/b'); document.title = 'Second'")
    page.wait_for_timeout(150)
    page.evaluate("rta.identify('u-1', {plan: 'pro'}); rta.track('Signed Up', {plan: 'pro'}); rta.reset()")
    page.evaluate("rta.track('Left')")
    first, second, person, signed_up, last = project.wait_for_records(5)
    assert first["context"]["page"] == {
        "path": "/a", "search": "?utm_source=s&utm_campaign=c&x=1", "title": "Shop", "referrer": "",
        "url": f"{site.url}/a?utm_source=s&utm_campaign=c&x=1",
    }  # fmt: skip
    assert first["context"]["campaign"] == {"source": "s", "name": "c"}
    assert first["context"]["library"] == {"name": "rta.js", "version": "1.0.0"}
    assert (first["context"]["locale"], first["context"]["timezone"]) == ("de-DE", "Asia/Tokyo")
    assert first["context"]["userAgent"] == USER_AGENT
    assert first["context"]["screen"] == {"width": 800, "height": 600, "density": 1}
    assert (first["source"], first.get("marks")) == ("web", None)
    assert second["context"]["page"]["title"] == "Second"
    assert second["context"]["page"]["referrer"] == first["context"]["page"]["url"]
    assert "campaign" not in second["context"]
    assert (person["type"], person["userId"], person["traits"]) == ("identify", "u-1", {"plan": "pro"})
    assert (signed_up["userId"], signed_up["properties"]) == ("u-1", {"plan": "pro"})
    assert last.get("userId") is None
    assert last["anonymousId"] != signed_up["anonymousId"] == first["anonymousId"]


def test_hash_navigation_counts_where_the_page_asks(visitors: Visitors, project: LiveProject) -> None:
    visitors.write_script("data-hash")
    page = visitors.arrive("/app#/one")
    page.evaluate("location.hash = '#/two'")
    page.wait_for_timeout(100)
    page.go_back()
    records = project.wait_for_records(3)
    assert [record["context"]["page"]["path"] for record in records] == ["/app#/one", "/app#/two", "/app#/one"]


def test_links_downloads_and_forms_are_events(visitors: Visitors, project: LiveProject, site: Site) -> None:
    visitors.write_script()
    page = visitors.arrive("/")
    for name in ("#inner", "#send", "#search", "#file", "#other"):
        page.click(name, no_wait_after=True)
        page.wait_for_timeout(50)
    page.wait_for_url("**/elsewhere")
    records = project.wait_for_records(5)
    track_events = [record for record in records if record["type"] == "track"]
    assert [(event["event"], event["properties"]) for event in track_events] == [
        ("Signed Up", {"form": "sign-up"}),
        ("File Downloaded", {"url": f"{site.url}/prices.pdf"}),
        ("Outbound Link Clicked", {"url": f"http://localhost:{site.port}/elsewhere"}),
    ]
    assert "secret" not in json.dumps(records)


def test_reading_time_is_sent_when_the_page_changes(visitors: Visitors, project: LiveProject) -> None:
    visitors.write_script('data-engaged="1"')
    page = visitors.arrive("/long")
    page.wait_for_timeout(1_600)
    page.evaluate("history.pushState({}, '', '/short')")
    page.wait_for_timeout(300)
    page.goto("about:blank")
    records = project.wait_for_records(3)
    views = [record for record in records if record["type"] == "page"]
    engaged = [record for record in records if record["type"] == "track"]
    assert [view["context"]["page"]["path"] for view in views] == ["/long", "/short"]
    assert [(event["event"], event["context"]["page"]["path"]) for event in engaged] == [("Page Engaged", "/long")]
    assert engaged[0]["properties"]["seconds"] in (1, 2, 3)


def test_calls_before_the_script_is_there_are_kept(visitors: Visitors, project: LiveProject, site: Site) -> None:
    stub = (
        "<script>window.rta = window.rta || new Proxy([], { get: (calls, name) => name in calls ? calls[name] : "
        "(...given) => calls.push([name, given]) });"
        "rta.identify('u-2');rta.productViewed({product_id: 'p-1'});</script>"
    )
    site.head = stub + visitors.write_script()
    visitors.arrive("/")
    person, viewed, view = project.wait_for_records(3)
    assert (person["type"], viewed["event"], view["type"]) == ("identify", "Product Viewed", "page")
    assert {person["userId"], viewed["userId"], view["userId"]} == {"u-2"}


def test_a_path_of_the_site_needs_no_other_host(visitors: Visitors, project: LiveProject, site: Site) -> None:
    visitors.write_script(src=f"{PREFIX}/rta.js")
    visitors.arrive("/")
    project.wait_for_records(1)
    assert visitors.hosts == {site.url}
    assert [kind for kind, _ in site.posts] == ["text/plain;charset=UTF-8"]  # no preflight is needed for it


def test_a_host_may_be_named(visitors: Visitors, project: LiveProject, site: Site) -> None:
    visitors.write_script(f'data-host="{project.platform.url}/"', src=f"{PREFIX}/rta.js")
    visitors.arrive("/")
    project.wait_for_records(1)
    assert site.posts == []
