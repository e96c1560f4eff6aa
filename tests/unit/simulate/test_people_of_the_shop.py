"""The simulated people: devices, returns, gaps, refunds, orders that are reported twice, broken ids, local hours."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest

from rtaplatform.simulate.shop.people.countries import measure_busyness
from rtaplatform.simulate.shop.people.sdk_habits import PLACEHOLDERS
from rtaplatform.simulate.shop.plan import SimulationPlan
from rtaplatform.simulate.traffic import draw_events

START = 1_790_000_000_000
MINUTE, DAY = 60_000, 86_400_000
HISTORY = SimulationPlan(START, rate=0.008, users=40, backfill_ms=45 * DAY, late=0.0, duplicates=0.0, malformed=0.0)
SHOP = SimulationPlan(START, rate=200, events_max=30_000, late=0.0, duplicates=0.0, malformed=0.0)
Message = dict[str, Any]


@pytest.fixture(scope="module")
def history() -> list[Message]:
    """45 days of a small shop."""
    return _read_messages(HISTORY)


@pytest.fixture(scope="module")
def shop() -> list[Message]:
    """Five minutes of a busy one."""
    return _read_messages(SHOP)


def _read_messages(plan: SimulationPlan) -> list[Message]:
    return [json.loads(record.value or b"") for record in draw_events(plan)]


def test_same_plan_tells_the_same_history() -> None:
    short = replace(HISTORY, backfill_ms=4 * DAY)
    assert list(draw_events(short)) == list(draw_events(short))


def test_people_log_in_on_several_devices(history: list[Message]) -> None:
    devices: dict[str, set[str]] = defaultdict(set)
    topics: dict[str, set[str]] = defaultdict(set)
    for message in history:
        if message.get("anonymousId") and message.get("userId", "").startswith("u-"):
            devices[message["userId"]].add(message["anonymousId"])
            topics[message["userId"]].add(message["source"])
    assert sum(len(ids) >= 3 for ids in devices.values()) > 10
    assert sum({"web", "ios"} <= sources for sources in topics.values()) > 10


def test_a_device_has_one_user(history: list[Message]) -> None:
    users: dict[str, set[str]] = defaultdict(set)
    for message in history:
        if message.get("anonymousId") and message.get("userId", "").startswith("u-"):
            users[message["anonymousId"]].add(message["userId"])
    assert all(len(ids) == 1 for device, ids in users.items() if device not in PLACEHOLDERS)


def test_after_a_login_some_send_the_user_alone(history: list[Message]) -> None:
    pages = [message for message in history if message["source"] != "server" and "userId" in message]
    alone = sum("anonymousId" not in message for message in pages)
    assert 0.02 < alone / len(pages) < 0.25
    logins = [message for message in history if message["type"] in ("identify", "alias")]
    assert {"identify", "alias"} == {message["type"] for message in logins}
    assert all("anonymousId" in message for message in logins)
    assert all(m["previousId"] == m["anonymousId"] for m in logins if m["type"] == "alias")


def test_strangers_come_back_on_later_days_and_after_weeks(history: list[Message]) -> None:
    days: dict[str, set[int]] = defaultdict(set)
    for message in history:
        if "userId" not in message:
            days[message["anonymousId"]].add(_parse_ms(message["timestamp"]) // DAY)
    ages = Counter(day - min(days_of_visitor) for days_of_visitor in days.values() for day in days_of_visitor)
    newcomers, days_later = ages[0], sum(ages[age] for age in range(1, 7))
    assert 0.05 < days_later / newcomers < 0.4
    assert 0.02 < (ages.total() - newcomers - days_later) / newcomers < 0.4


def test_sessions_have_gaps() -> None:
    plan = replace(SHOP, rate=1, users=50, events_max=15_000)
    times: dict[str, list[int]] = defaultdict(list)
    for message in _read_messages(plan):
        if message.get("anonymousId") and message["source"] != "server":
            times[message["anonymousId"]].append(_parse_ms(message["timestamp"]))
    gaps = [later - earlier for times_of_visitor in times.values() for earlier, later in pairwise(times_of_visitor)]
    assert sum(30 * MINUTE < gap < 3 * 60 * MINUTE for gap in gaps) > 40
    assert sum(gap <= 30 * MINUTE for gap in gaps) > 0.8 * len(gaps)


def test_orders_are_refunded_whole_and_by_lines_and_cancelled() -> None:
    messages = _read_messages(replace(SHOP, rate=2, events_max=30_000))
    totals = {m["properties"]["order_id"]: m["properties"] for m in messages if m.get("event") == "Order Completed"}
    back = [m["properties"] for m in messages if m.get("event") == "Order Refunded"]
    whole = [
        refund["total"] == totals[refund["order_id"]]["revenue"] for refund in back if refund["order_id"] in totals
    ]
    assert any(whole)
    assert not all(whole)
    assert all(refund["products"] for refund in back)
    assert any(m.get("event") == "Order Cancelled" for m in messages)


def test_thank_you_pages_are_loaded_again(shop: list[Message]) -> None:
    reports = _group_reports(shop)
    again = [ms for ms in reports.values() if sum(m["source"] != "server" for m in ms) > 1]
    assert 0.02 < len(again) / len(reports) < 0.09
    for messages in again:
        assert len({m["messageId"] for m in messages}) == len(messages)


def test_page_and_server_both_report_some_orders(shop: list[Message]) -> None:
    reports = _group_reports(shop)
    reports_of_both = [ms for ms in reports.values() if {m["source"] == "server" for m in ms} == {True, False}]
    assert reports_of_both
    assert len(reports_of_both) < 0.2 * len(reports)
    assert all(len({m["properties"]["revenue"] for m in messages}) == 1 for messages in reports.values())


def _group_reports(messages: list[Message]) -> dict[str, list[Message]]:
    reports: dict[str, list[Message]] = defaultdict(list)
    for message in messages:
        if message.get("event") == "Order Completed":
            reports[message["properties"]["order_id"]].append(message)
    return reports


def test_a_few_clients_send_placeholders(shop: list[Message]) -> None:
    lost_users = sum(message.get("userId") in PLACEHOLDERS for message in shop) / len(shop)
    lost_devices = sum(message.get("anonymousId") in PLACEHOLDERS for message in shop) / len(shop)
    assert 0.001 < lost_users < 0.02
    assert 0.0002 < lost_devices < 0.01


def test_people_are_up_by_day_where_they_live(history: list[Message]) -> None:
    """At night in Europe those who come are mostly of other continents."""
    by_hour: dict[int, Counter[str]] = defaultdict(Counter)
    for message in history:
        hour = datetime.fromisoformat(message["timestamp"]).hour
        by_hour[hour][message["context"]["location"]["country"]] += 1
    night, evening = by_hour[2], by_hour[18]
    assert night["DE"] / night.total() < 0.9 * evening["DE"] / evening.total()
    assert night["JP"] / night.total() > evening["JP"] / evening.total()
    assert {"NP", "AU", "US", "IN", "BR"} <= set(evening + night)


def test_busyness_follows_the_local_hour() -> None:
    three_in_berlin = 1_768_442_400_000  # 2026-01-15T02:00:00Z
    assert measure_busyness("DE", three_in_berlin) < 3 < 10 < measure_busyness("JP", three_in_berlin)
    assert measure_busyness("NP", three_in_berlin) != measure_busyness("IN", three_in_berlin)  # 15 minutes apart


def _parse_ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)
