"""The truth file's people, sessions, cohorts, buyers, orders and refunds against a recount of a few lines each.

It reads the sent messages with `json`, and knows the simulated shop: one user for each device, nothing too late.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from rtaplatform.core.projects import ProjectSettings
from rtaplatform.simulate.sent_truth import SentLog, SentTruth
from rtaplatform.simulate.shop.people.sdk_habits import PLACEHOLDERS
from rtaplatform.simulate.shop.plan import SimulationPlan
from rtaplatform.simulate.traffic import draw_events

DAY = 86_400_000
PROJECT = ProjectSettings("demo", "Asia/Kathmandu", "EUR", "sunday")
ZONE = ZoneInfo(PROJECT.zone)
PLAN = SimulationPlan(
    1_790_000_000_000, rate=0.01, users=30, backfill_ms=12 * DAY, late=0.03, duplicates=0.02, malformed=0.0
)
Message = dict[str, Any]


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the file says of the project."""
    path = tmp_path_factory.mktemp("truth") / "truth.json"
    counter = SentTruth(
        PROJECT, SentLog(dict.fromkeys(("rta.events.web", "rta.events.mobile", "rta.events.server"), 4))
    )
    for record in draw_events(PLAN):
        counter.add(record)
    counter.write(path, {"seed": PLAN.seed})
    of: dict[str, Any] = json.loads(path.read_text())["projects"]["demo"]
    return of


@pytest.fixture(scope="module")
def people() -> dict[str, list[Message]]:
    """Person → messages in order of time, repeats left out, bots too."""
    messages = {m["messageId"]: m for m in (json.loads(record.value or b"") for record in draw_events(PLAN))}
    counted = [message for message in messages.values() if "marks" not in message]
    users = {m["anonymousId"]: m["userId"] for m in counted if m.get("anonymousId") and _is_user(m)}
    messages_of_persons: dict[str, list[Message]] = defaultdict(list)
    for message in sorted(counted, key=_read_ms):
        messages_of_persons[_name_person(message, users)].append(message)
    return messages_of_persons


def _is_user(message: Message) -> bool:
    return str(message.get("userId")).startswith("u-")


def _name_person(message: Message, users: dict[str, str]) -> str:
    if _is_user(message):
        return f"u:{message['userId']}"
    device = message["anonymousId"]
    if device in PLACEHOLDERS:
        return f"u:{message['userId']}" if "userId" in message else f"a:{device}"
    return f"u:{users[device]}" if device in users else f"a:{device}"


def _read_ms(message: Message) -> int:
    return round(datetime.fromisoformat(message["timestamp"]).timestamp() * 1000)


def _find_day(message: Message) -> date:
    return datetime.fromtimestamp(_read_ms(message) / 1000, ZONE).date()


def _start(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=ZONE).timestamp()) // 60


def _split_sessions(messages: list[Message]) -> Iterator[list[Message]]:
    """What a device did alone, and ended over 36 hours before its login, stays apart. The rest is one history."""
    pages = [message for message in messages if message["source"] != "server"]
    logins: dict[str, int] = {}
    for message in messages:
        if _is_user(message) and "anonymousId" in message:
            logins.setdefault(message["anonymousId"], _read_ms(message))
    old = []
    for device, login in logins.items():
        before = [m for m in pages if m.get("anonymousId") == device and not _is_user(m) and _read_ms(m) < login]
        old += [s for s in _split(before) if _read_ms(s[-1]) < login - 36 * 3_600_000]
    yield from old
    apart = {message["messageId"] for session in old for message in session}
    yield from _split([message for message in pages if message["messageId"] not in apart])


def _split(pages: list[Message]) -> Iterator[list[Message]]:
    while pages:
        size = next(
            (n for n in range(1, len(pages)) if _read_ms(pages[n]) - _read_ms(pages[n - 1]) > 1_800_000), len(pages)
        )
        yield pages[:size]
        pages = pages[size:]


def test_people_are_who_they_are(truth: dict[str, Any], people: dict[str, list[Message]]) -> None:
    rows = {row["id"]: row for row in truth["people"]}
    assert {name: (row["events"], row["days"], row["first_seen_ms"]) for name, row in rows.items()} == {
        name: (len(ms), len({_find_day(m) for m in ms}), _read_ms(ms[0])) for name, ms in people.items()
    }
    assert {name: row["sessions"] for name, row in rows.items()} == {
        name: len(list(_split_sessions(ms))) for name, ms in people.items()
    }
    assert sum(len(row["devices"]) >= 3 for row in rows.values()) > 3


def test_active_users_of_each_day(truth: dict[str, Any], people: dict[str, list[Message]]) -> None:
    days = {name: {_find_day(m) for m in ms} for name, ms in people.items()}
    first, last = min(map(min, days.values())), max(map(max, days.values()))
    rows = {row["start"]: row for row in truth["active_users"]}
    for age in range((last - first).days + 1):
        day = first + timedelta(days=age)
        row = rows[_start(day)]
        assert row.get("daily", 0) == sum(day in of for of in days.values())
        assert row.get("weekly", 0) == sum(
            any(timedelta(0) <= day - d < timedelta(days=7) for d in of) for of in days.values()
        )
        assert row.get("new", 0) == sum(min(of) == day for of in days.values())


def test_cohorts_by_day_and_by_week(truth: dict[str, Any], people: dict[str, list[Message]]) -> None:
    expected: dict[tuple[str, int], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for messages in people.values():
        days = {_find_day(message) for message in messages}
        first = min(days)
        for day in days:
            expected["day", _start(first)][str((day - first).days)] += 1
        for age in {(_find_sunday(day) - _find_sunday(first)).days // 7 for day in days}:
            expected["week", _start(_find_sunday(first))][str(age)] += 1
    assert {(row["cohort"], row["start"]): row["retained"] for row in truth["cohorts"]} == expected
    assert all(row["size"] == row["retained"]["0"] for row in truth["cohorts"])
    assert any("3" in row["retained"] for row in truth["cohorts"] if row["cohort"] == "day")


def _find_sunday(day: date) -> date:
    return day - timedelta(days=(day.weekday() + 1) % 7)


def test_sessions_bounces_and_durations(truth: dict[str, Any], people: dict[str, list[Message]]) -> None:
    sessions = [session for messages in people.values() for session in _split_sessions(messages)]
    rows = [row for row in truth["sessions"] if row["kind"] == "day"]
    assert sum(row["sessions"] for row in rows) == len(sessions)
    assert sum(row.get("bounces", 0) for row in rows) == sum(len(session) == 1 for session in sessions)
    assert sum(row.get("duration_ms", 0) for row in rows) == sum(_read_ms(s[-1]) - _read_ms(s[0]) for s in sessions)
    ordered = sum(any(m.get("event") == "Order Completed" for m in session) for session in sessions)
    assert sum(row.get("with_order", 0) for row in rows) == ordered > 0


def test_orders_count_once_and_refunds_are_beside_them(truth: dict[str, Any], people: dict[str, list[Message]]) -> None:
    tracks = [message for messages in people.values() for message in messages if message["type"] == "track"]
    orders = {m["properties"]["order_id"] for m in tracks if m["event"] == "Order Completed"}
    rows = [row for row in truth["events"] if row["kind"] == "day"]
    assert sum(row["orders"] for row in rows) == len(orders)
    reports = sum(row["count"] for row in rows if row["name"] == "Order Completed")
    bots = [row for row in truth["bot_events"] if row["kind"] == "day" and row["name"] == "Order Completed"]
    of_bots = sum(row["count"] - row["orders"] for row in bots)
    assert reports - len(orders) == truth["totals"]["repeated_order"] - of_bots > 0
    back = [m["properties"] for m in tracks if m["event"] in ("Order Refunded", "Order Cancelled")]
    assert (
        sum(row["refunds"] for row in rows)
        == sum(round(refund["total"] * 10_000) for refund in back if refund["currency"] == "EUR")
        > 0
    )


def test_visitors_and_buyers_are_persons(truth: dict[str, Any], people: dict[str, list[Message]]) -> None:
    expected: dict[int, set[str]] = defaultdict(set)
    for name, messages in people.items():
        for message in messages:
            expected[_start(_find_day(message))].add(name)
    whole = [
        row
        for row in truth["persons"]
        if row["kind"] == "day" and all(row[name] is None for name in row.keys() - {"kind", "start", "count", "ids"})
    ]
    assert {row["start"]: set(row["ids"]) for row in whole} == expected
    buyers = {name for row in truth["buyers"] if row["kind"] == "day" for name in row["ids"]}
    assert buyers == {
        name for name, messages in people.items() if any(m.get("event") == "Order Completed" for m in messages)
    }
