"""The dashboard over midnight and over a change of the clocks: words such as "today" move to the new day by themselves.

The pain: a board on the wall that shows yesterday as today until somebody reloads it, or a day of 24 hours that had 25.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser

from tests.browser.dashboard_window import ApiCaller, DashboardWindow
from tests.browser.live_platform import LivePlatform, LiveProject, wait_for
from tests.browser.server_clock import ServerClock

BERLIN = ZoneInfo("Europe/Berlin")
FAR_ZONE = "Pacific/Auckland"  # of the browser: its days are others
BEFORE_MIDNIGHT, AFTER_MIDNIGHT = time(23, 59, 30), time(0, 0, 30)


def convert_to_utc(day: date, clock: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, clock, zone).astimezone(UTC)


def find_zone_of_noon(now: datetime) -> ZoneInfo:
    """A zone in which the day has some hours before and after now, whenever the test runs."""
    ahead = 12 - now.hour
    return ZoneInfo(f"Etc/GMT{-ahead:+d}")


def find_newest_day(zone: ZoneInfo, hours: int, today: date) -> date:
    """The last day, a week ago or earlier, that had so many hours."""
    day = today - timedelta(days=7)
    while convert_to_utc(day + timedelta(days=1), time(), zone) - convert_to_utc(day, time(), zone) != timedelta(
        hours=hours
    ):
        day -= timedelta(days=1)
    return day


def send_at(project: LiveProject, *moments: datetime) -> None:
    send = ApiCaller(project.platform, project.write_key)
    for number, moment in enumerate(moments):
        event = {"anonymousId": f"a-{number}", "event": "Signed Up", "timestamp": moment.isoformat()}
        send.call("POST", "/v1/track", event)
    reader = ApiCaller(project.platform, project.read_key)
    wait_for(lambda: reader.read_total("events", **{"from": "-399d"}) == len(moments), "all are counted")


def test_today_becomes_the_new_day_in_an_open_page(
    platform: LivePlatform, browser: Browser, request: pytest.FixtureRequest
) -> None:
    zone = find_zone_of_noon(datetime.now(UTC))
    project = platform.create_project(f"midnight-{abs(hash(request.node.name)) % 10_000}", zone=zone.key)
    today = datetime.now(zone).date()
    yesterday = today - timedelta(days=1)
    send_at(
        project,
        convert_to_utc(yesterday, time(23, 30), zone),
        convert_to_utc(today, time(0, 30), zone),
        datetime.now(UTC),
    )
    window = DashboardWindow(browser, platform, project.read_key, zone=FAR_ZONE)
    clock = ServerClock(window.page)
    clock.set(convert_to_utc(yesterday, BEFORE_MIDNIGHT, zone))
    page = window.open("/explore?metric=events&from=today&interval=hour")
    total = page.locator("table .strong [data-value]").first
    wait_for(lambda: total.get_attribute("data-value") == "3", "since yesterday's midnight")
    clock.set(convert_to_utc(today, AFTER_MIDNIGHT, zone))
    wait_for(lambda: total.get_attribute("data-value") == "2", "since today's midnight, without a reload", 60)
    assert "from=today" in page.url, "the address keeps its word"
    clock.stop()
    window.close()


@pytest.mark.parametrize("hours", [23, 25])
def test_yesterday_has_all_hours_of_the_day_on_which_the_clocks_changed(
    platform: LivePlatform, browser: Browser, request: pytest.FixtureRequest, hours: int
) -> None:
    slug = f"clocks-{abs(hash(request.node.name)) % 10_000}"
    project = platform.create_project(slug, zone=BERLIN.key)
    changed = find_newest_day(BERLIN, hours, datetime.now(BERLIN).date())
    before, after = changed - timedelta(days=1), changed + timedelta(days=1)
    send_at(
        project,
        convert_to_utc(before, time(23, 30), BERLIN),
        *(convert_to_utc(changed, clock_time, BERLIN) for clock_time in (time(0, 30), time(12), time(23, 30))),
        convert_to_utc(after, time(0, 30), BERLIN),
    )
    window = DashboardWindow(browser, platform, project.read_key, zone=FAR_ZONE)
    clock = ServerClock(window.page)
    clock.set(convert_to_utc(changed, BEFORE_MIDNIGHT, BERLIN))
    page = window.open("/explore?metric=events&from=yesterday&to=today&interval=day")
    total = page.locator("table .strong [data-value]").first
    wait_for(lambda: total.get_attribute("data-value") == "1", "the day before the change")
    clock.set(convert_to_utc(after, AFTER_MIDNIGHT, BERLIN))
    wait_for(lambda: total.get_attribute("data-value") == "3", "the day of the change, from midnight to midnight", 60)
    clock.stop()
    window.close()
