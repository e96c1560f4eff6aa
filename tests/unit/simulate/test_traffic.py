"""The simulated traffic: reproducible, of the shares asked for, and of the shape of a shop."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any

import pytest

from rtaplatform.simulate.oracle.oracle import recount
from rtaplatform.simulate.oracle.oracle_truth import Truth
from rtaplatform.simulate.sent_truth import SentLog
from rtaplatform.simulate.shop.demo_catalog import draw_products, draw_users
from rtaplatform.simulate.shop.pace import plan_slots
from rtaplatform.simulate.shop.plan import SimulationPlan
from rtaplatform.simulate.shop.records import SimulatedRecord
from rtaplatform.simulate.traffic import draw_events

START = 1_790_000_000_000
PLAN = SimulationPlan(START, rate=200, events_max=20_000)
REASONS = {
    "too_large", "empty", "not_utf8", "not_json", "not_an_object", "too_deep", "too_many_keys", "missing_project",
    "unknown_project", "invalid_field", "unknown_type", "missing_event", "missing_identity", "id_too_long",
    "time_in_future",
}  # fmt: skip


@pytest.fixture(scope="module")
def records() -> list[SimulatedRecord]:
    return list(draw_events(PLAN))


@pytest.fixture(scope="module")
def messages() -> list[dict[str, Any]]:
    return [json.loads(record.value or b"") for record in draw_events(replace(PLAN, malformed=0, duplicates=0))]


@pytest.fixture(scope="module")
def truth(records: list[SimulatedRecord]) -> Truth:
    log = SentLog(dict.fromkeys(("rta.events.web", "rta.events.mobile", "rta.events.server"), 4))
    return recount(map(log.assign_offset, records), projects={"demo": {"zone": "Europe/Berlin", "currency": "EUR"}})


def test_same_seed_sends_the_same_bytes(records: list[SimulatedRecord]) -> None:
    assert list(draw_events(PLAN)) == records


def test_another_seed_sends_others(records: list[SimulatedRecord]) -> None:
    assert next(draw_events(replace(PLAN, seed=2))) != records[0]


def test_another_start_only_shifts_the_times(records: list[SimulatedRecord]) -> None:
    later = list(islice(draw_events(replace(PLAN, start_ms=START + 60_000)), 2_000))
    assert [record.key for record in later] == [record.key for record in records[:2_000]]
    assert all(after.timestamp - before.timestamp == 60_000 for before, after in zip(records, later, strict=False))


def test_events_max_is_exact(records: list[SimulatedRecord]) -> None:
    assert len(records) == 20_000


def test_malformed_and_duplicates_are_what_the_oracle_finds(truth: Truth) -> None:
    totals = truth.projects["demo"].totals
    dead = totals["dead"] + truth.projects[""].totals["dead"]
    assert 0.016 < totals["duplicate"] / 20_000 < 0.024
    assert 0.007 < dead / 20_000 < 0.013
    assert totals["applied"] == 20_000 - totals["duplicate"] - dead


def test_every_reason_occurs(truth: Truth) -> None:
    assert set(truth.dead.values()) == REASONS


def test_late_share_holds(messages: list[dict[str, Any]]) -> None:
    delays = [_parse_ms(message["receivedAt"]) - _parse_ms(message["timestamp"]) for message in messages]
    late = [delay for delay in delays if delay > 60_000]
    assert 0.025 < len(late) / len(messages) < 0.035
    assert max(late) > 3_600_000


def test_no_shares_means_none() -> None:
    clean = replace(PLAN, late=0, duplicates=0, malformed=0, events_max=3_000)
    log = SentLog(dict.fromkeys(("rta.events.web", "rta.events.mobile", "rta.events.server"), 4))
    truth = recount(map(log.assign_offset, draw_events(clean)), projects={"demo": {"zone": "UTC", "currency": "EUR"}})
    assert truth.projects["demo"].totals["applied"] == 3_000


def test_funnel_narrows(messages: list[dict[str, Any]]) -> None:
    names = Counter(message.get("event") for message in messages)
    stages = ["Product Viewed", "Product Added", "Checkout Started", "Order Completed"]
    numbers = [names[stage] for stage in stages]
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[-1] > 50


def test_people_are_anonymous_until_they_log_in(messages: list[dict[str, Any]]) -> None:
    identifies = [message for message in messages if message["type"] == "identify"]
    assert identifies
    assert all(message["userId"] and message["anonymousId"] and message["traits"]["email"] for message in identifies)
    assert any("userId" not in message for message in messages)


def test_server_events_know_only_the_user(messages: list[dict[str, Any]]) -> None:
    server = [message for message in messages if message["source"] == "server"]
    assert server
    assert all("anonymousId" not in message and message["userId"].startswith("u-") for message in server)


def test_keys_and_topics_follow_the_contract(records: list[SimulatedRecord]) -> None:
    for record, message in _select_good(records):
        person = message.get("anonymousId") or message["userId"]
        assert record.key == f"demo:{person}".encode()
        topics = {"web": "web", "ios": "mobile", "android": "mobile", "server": "server"}
        assert record.topic == f"rta.events.{topics[message['source']]}"


def test_only_wanted_sources_come() -> None:
    sources = {
        message["source"] for _, message in _select_good(islice(draw_events(replace(PLAN, sources=("ios",))), 500))
    }
    assert sources == {"ios"}


def test_server_alone_works() -> None:
    assert len(list(draw_events(replace(PLAN, sources=("server",), events_max=300)))) == 300


def test_events_carry_the_catalog(messages: list[dict[str, Any]]) -> None:
    products = {product["id"]: product for product in draw_products(PLAN.products, PLAN.seed)}
    for message in messages:
        if message.get("event") == "Product Viewed":
            properties = message["properties"]
            listed = products[properties["product_id"]]
            assert (properties["price"], properties["category"]) == (listed["price"], listed["category"])


def test_popularity_is_uneven_and_drifts() -> None:
    long = replace(PLAN, rate=2, malformed=0, duplicates=0)
    viewed = [
        m["properties"]["product_id"] for _, m in _select_good(draw_events(long)) if m.get("event") == "Product Viewed"
    ]
    half = len(viewed) // 2
    first, second = Counter(viewed[:half]).most_common(20), Counter(viewed[half:]).most_common(20)
    assert first[0][1] > 3 * half / PLAN.products
    assert {name for name, _ in first} != {name for name, _ in second}


def test_live_slots_are_even_and_as_many_as_asked() -> None:
    times = list(plan_slots(SimulationPlan(START, rate=100, duration_ms=2_000)))
    assert times == [number * 10 for number in range(200)]


def test_backfill_keeps_the_rate_and_the_day() -> None:
    day = 86_400_000
    times = list(plan_slots(SimulationPlan(START, rate=1, backfill_ms=7 * day)))
    assert abs(len(times) - 7 * 86_400) <= 1
    assert times == sorted(times)
    assert times[-1] < 7 * day
    hours = Counter(datetime.fromtimestamp((START - 7 * day + time) / 1000).astimezone().hour for time in times)
    assert max(hours.values()) > 5 * min(hours.values())


def test_backfill_carries_the_events_own_time() -> None:
    plan = SimulationPlan(START, rate=1, backfill_ms=7_200_000, malformed=0)
    records = list(draw_events(plan))
    for record, message in _select_good(records):
        assert abs(record.timestamp - _parse_ms(message["timestamp"])) < 2_000
    assert _parse_ms(json.loads(records[0].value or b"")["receivedAt"]) >= START - 7_200_000


def test_catalog_entries_do_not_depend_on_the_count() -> None:
    assert draw_products(10, 1) == draw_products(20, 1)[:10]
    assert draw_users(10, 1) == draw_users(20, 1)[:10]
    assert draw_users(1, 1)[0]["email"].endswith("@example.com")


def _select_good(records: Any) -> Any:
    for record in records:
        try:
            message = json.loads(record.value or b"")
        except ValueError:
            continue
        if isinstance(message, dict) and "source" in message and (message.get("anonymousId") or message.get("userId")):
            yield record, message


def _parse_ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)
