"""What stands in a tracker's way: no network, failing servers, closed pages, blocked storage, the visitor's wish."""

from __future__ import annotations

import json

import pytest

from tests.browser.live_platform import LiveProject, wait_for
from tests.browser.site import PREFIX, Failure, Site
from tests.browser.visitors import Visitors


def list_message_ids(site: Site) -> list[list[str]]:
    """The messageIds of each request that the proxy got."""
    return [[event["messageId"] for event in json.loads(body)["batch"]] for _, body in site.posts]


def test_a_hundred_events_in_a_second_are_all_there(visitors: Visitors, project: LiveProject) -> None:
    visitors.write_script()
    page = visitors.arrive("/")
    page.evaluate(
        """async () => { for (let n = 0; n < 100; n++) {
          rta.track("Scrolled", { n }); if (n % 10 == 9) await new Promise(done => setTimeout(done, 90)); } }"""
    )
    records = project.wait_for_records(101)
    assert sorted(record["properties"]["n"] for record in records if record["type"] == "track") == list(range(100))


def test_a_burst_beyond_a_request_goes_in_several(visitors: Visitors, project: LiveProject, site: Site) -> None:
    visitors.write_script(src=f"{PREFIX}/rta.js")
    page = visitors.arrive("/")
    page.evaluate("for (let n = 0; n < 230; n++) rta.track('Scrolled', { n, text: '€'.repeat(100) })")
    project.wait_for_records(231)
    assert all(len(body) < 64_000 for _, body in site.posts)
    assert len(site.posts) > 2


def test_offline_and_back_loses_nothing(visitors: Visitors, project: LiveProject) -> None:
    visitors.write_script()
    page = visitors.arrive("/")
    project.wait_for_records(1)
    page.context.set_offline(True)
    page.evaluate("rta.track('In A Tunnel', {n: 1})")
    page.wait_for_timeout(1_500)
    page.evaluate("rta.track('In A Tunnel', {n: 2})")
    page.context.set_offline(False)
    records = project.wait_for_records(3)
    assert [record["properties"]["n"] for record in records[1:]] == [1, 2]


def test_a_page_that_is_left_offline_hands_its_events_to_the_next(visitors: Visitors, project: LiveProject) -> None:
    visitors.write_script()
    page = visitors.arrive("/")
    project.wait_for_records(1)
    page.context.set_offline(True)
    page.evaluate("rta.track('In A Tunnel'); dispatchEvent(new PageTransitionEvent('pagehide'))")
    page.context.set_offline(False)
    visitors_next = page.context.new_page()
    page.close()
    visitors_next.goto(f"{visitors.site.url}/next")
    records = project.wait_for_records(3)
    assert sorted(str(record.get("event")) for record in records) == ["In A Tunnel", "None", "None"]


def test_an_event_that_is_sent_again_counts_once(visitors: Visitors, project: LiveProject, site: Site) -> None:
    visitors.write_script(src=f"{PREFIX}/rta.js")
    site.failures = [Failure(503), Failure(0), Failure(500)]
    visitors.arrive("/")
    records = project.wait_for_records(1)
    project.wait_for_total("events", 1)
    assert list_message_ids(site) == [[records[0]["messageId"]]] * 4


def test_an_answer_that_was_lost_repeats_the_event_and_it_counts_once(
    visitors: Visitors, project: LiveProject, site: Site
) -> None:
    visitors.write_script(src=f"{PREFIX}/rta.js")
    page = visitors.arrive("/", blocks_storage=True)
    project.wait_for_records(1)
    # The platform has the event, the page never hears so.
    page.evaluate(
        """() => { const real = fetch; window.fetch = async (...given) => {
          window.fetch = real; await real(...given); throw new TypeError("cut"); }; rta.track("Twice"); }"""
    )
    wait_for(lambda: len(project.read_records()) == 3, "the event is sent again")
    project.wait_for_total("events", 2)
    assert len(project.wait_for_records(2)) == 3


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_obeyed(visitors: Visitors, project: LiveProject, site: Site, status: int) -> None:
    visitors.write_script(src=f"{PREFIX}/rta.js")
    site.failures = [Failure(status, {"Retry-After": "3"})]
    page = visitors.arrive("/")
    page.wait_for_timeout(2_000)
    assert len(site.posts) == 1
    project.wait_for_records(1)


@pytest.mark.parametrize("status", [400, 401, 413])
def test_what_is_refused_is_not_sent_again(visitors: Visitors, project: LiveProject, site: Site, status: int) -> None:
    visitors.write_script(src=f"{PREFIX}/rta.js")
    site.failures = [Failure(status)]
    page = visitors.arrive("/")
    page.wait_for_timeout(1_500)
    assert len(site.posts) == 1
    page.evaluate("rta.track('Next')")
    (record,) = project.wait_for_records(1)
    assert record["event"] == "Next"


def test_a_rejected_event_is_told_with_its_reason(visitors: Visitors, project: LiveProject) -> None:
    visitors.write_script()
    page = visitors.arrive("/")
    project.wait_for_records(1)
    with page.expect_console_message(lambda message: "rta.js:" in message.text) as warning:
        page.evaluate("rta.track('')")
    assert "rejected" in warning.value.text


def test_what_waits_goes_by_beacon_when_the_page_hides(visitors: Visitors, project: LiveProject, site: Site) -> None:
    visitors.write_script(src=f"{PREFIX}/rta.js")
    page = visitors.arrive("/")
    project.wait_for_records(1)
    page.evaluate("() => { window.fetch = () => new Promise(() => {}); }")  # only a beacon comes through
    page.evaluate("rta.track('Left')")
    page.goto("about:blank")
    assert [record.get("event") for record in project.wait_for_records(2)] == [None, "Left"]
    assert [kind for kind, _ in site.posts] == ["text/plain;charset=UTF-8"] * 2


def test_blocked_storage_costs_only_the_memory_of_the_visitor(visitors: Visitors, project: LiveProject) -> None:
    visitors.write_script()
    page = visitors.arrive("/", blocks_storage=True)
    page.evaluate("rta.track('Here')")
    page.reload()
    records = project.wait_for_records(3)
    first, second, third = (record["anonymousId"] for record in records)
    assert first == second != third


def test_a_visitor_is_known_on_the_next_page_without_a_cookie(visitors: Visitors, project: LiveProject) -> None:
    visitors.write_script()
    page = visitors.arrive("/")
    page.goto(f"{visitors.site.url}/next")
    records = project.wait_for_records(2)
    assert len({record["anonymousId"] for record in records}) == 1
    assert page.context.cookies() == []


def test_a_cookie_is_set_where_the_page_asks(visitors: Visitors, project: LiveProject) -> None:
    visitors.write_script("data-cookies")
    page = visitors.arrive("/")
    page.goto(f"{visitors.site.url}/next")
    records = project.wait_for_records(2)
    assert len({record["anonymousId"] for record in records}) == 1
    assert [(cookie["name"], cookie["sameSite"], cookie["path"]) for cookie in page.context.cookies()] == [
        ("rta", "Lax", "/")
    ]
    assert page.evaluate("localStorage.length") == 0


@pytest.mark.parametrize("sandbox", ["", "sandbox='allow-scripts'"])
def test_in_a_frame_it_works_as_in_a_page(visitors: Visitors, project: LiveProject, sandbox: str) -> None:
    """A sandboxed frame has no origin and no storage."""
    visitors.write_script()
    visitors.site.frame = sandbox
    visitors.arrive("/frame")
    (record,) = project.wait_for_records(1)
    assert record["context"]["page"]["path"] == "/inside"
    assert record["context"]["page"]["referrer"].startswith(visitors.site.url)


def test_nothing_is_stored_or_sent_before_consent(visitors: Visitors, project: LiveProject, site: Site) -> None:
    visitors.write_script('data-consent="required"', src=f"{PREFIX}/rta.js")
    page = visitors.arrive("/?utm_source=mail")
    page.evaluate("rta.track('Looked')")
    page.wait_for_timeout(1_000)
    assert site.posts == []
    assert page.evaluate("localStorage.length") == 0
    page.evaluate("rta.consent(true)")
    view, looked = project.wait_for_records(2)
    assert (view["context"]["campaign"], looked["event"]) == ({"source": "mail"}, "Looked")
    page.goto(f"{site.url}/next")
    assert project.wait_for_records(3)[2]["anonymousId"] == view["anonymousId"]


def test_a_refused_consent_drops_what_waits(visitors: Visitors, project: LiveProject, site: Site) -> None:
    visitors.write_script('data-consent="required"', src=f"{PREFIX}/rta.js")
    page = visitors.arrive("/")
    page.evaluate("rta.consent(false); rta.track('Looked')")
    page.goto(f"{site.url}/next")
    page.wait_for_timeout(1_000)
    assert site.posts == []


def test_an_opt_out_deletes_the_id_and_holds_until_it_is_undone(
    visitors: Visitors, project: LiveProject, site: Site
) -> None:
    visitors.write_script()
    page = visitors.arrive("/")
    (first,) = project.wait_for_records(1)
    page.evaluate("rta.track('Dropped'); rta.optOut(); rta.track('Dropped')")
    page.goto(f"{site.url}/next")
    page.evaluate("rta.track('Dropped')")
    assert page.evaluate("localStorage.rta") == '{"ok":0}'
    page.wait_for_timeout(1_000)
    page.evaluate("rta.consent(true); rta.track('Back')")
    _, back = project.wait_for_records(2)
    assert back["event"] == "Back"
    assert back["anonymousId"] != first["anonymousId"]


@pytest.mark.parametrize("signal", ["globalPrivacyControl", "doNotTrack"])
def test_a_browser_that_asks_for_privacy_is_obeyed_where_the_page_says_so(
    visitors: Visitors, project: LiveProject, site: Site, signal: str
) -> None:
    wish = "true" if signal == "globalPrivacyControl" else "'1'"
    ask = f"<script>Object.defineProperty(navigator, '{signal}', {{ get: () => {wish} }})</script>"
    site.head = ask + visitors.write_script("data-dnt", src=f"{PREFIX}/rta.js")
    page = visitors.arrive("/")
    page.wait_for_timeout(1_000)
    assert site.posts == []
    site.head = ask + visitors.write_script(src=f"{PREFIX}/rta.js")
    visitors.arrive("/")
    project.wait_for_records(1)


def test_a_second_script_of_the_same_page_does_nothing(visitors: Visitors, project: LiveProject, site: Site) -> None:
    site.head = visitors.write_script() * 2
    visitors.arrive("/")
    project.wait_for_records(1)
