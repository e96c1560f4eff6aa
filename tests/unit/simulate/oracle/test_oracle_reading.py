"""The oracle's reading: every reason of rule 1, the times of rule 2, dimensions of rule 5, murmur2."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rtaplatform.simulate.oracle.oracle_calendar import find_bucket_starts, read_time
from rtaplatform.simulate.oracle.oracle_event import read_dimension
from rtaplatform.simulate.oracle.oracle_json import OracleNumber
from rtaplatform.simulate.oracle.oracle_murmur2 import hash_to_positive, murmur2
from rtaplatform.simulate.shop.malformed import BREAKAGES
from tests.unit.simulate.oracle.oracle_records import (
    MINUTE,
    NOW,
    count_project,
    find_reason,
    format_iso,
    make_consumed,
    make_message,
    make_raw,
    track,
)

LIMIT = 2**52


@pytest.mark.parametrize(("expected", "breakage"), BREAKAGES)
def test_each_breakage_is_named(expected: str, breakage: Any) -> None:
    value = breakage(make_message(context={"page": {"path": "/"}}))
    assert find_reason(make_consumed(value)) == expected


@pytest.mark.parametrize(
    ("text", "hash_"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_kafkas(text: bytes, hash_: int) -> None:
    assert murmur2(text) == hash_
    assert hash_to_positive(text) == hash_ & 0x7FFFFFFF


def test_size_limit_is_larger_where_the_collector_was() -> None:
    value = json.dumps(make_message(padding="x" * 40_000)).encode()
    assert find_reason(make_consumed(value)) == "too_large"
    assert find_reason(make_consumed(value, headers=(("rta-collected", b"1"),))) is None
    assert find_reason(make_consumed(b" " * 40_961, headers=(("rta-collected", b"1"),))) == "too_large"
    exact = json.dumps(make_message()).encode().ljust(32_768)
    assert find_reason(make_consumed(exact)) is None
    assert find_reason(make_consumed(exact + b" ")) == "too_large"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"[" * 16_000 + b"]" * 16_000, "too_deep"),
        (b'{"a":' * 3_000 + b"1" + b"}" * 3_000, "too_deep"),
        (b'{"a":' * 3_000 + b"1", "too_deep"),
        (b'{"a":1}{"b":2}', "not_json"),
        (b'{"a":-Infinity}', "not_json"),
        (b'{"a":"\\ud800"}', "not_json"),
        (b"null", "not_an_object"),
    ],
)
def test_hard_json_gets_the_first_reason(value: bytes, expected: str) -> None:
    assert find_reason(make_consumed(value)) == expected


def test_nesting_of_32_and_1000_keys_are_allowed() -> None:
    deep: Any = 1
    for _ in range(31):
        deep = [deep]
    assert find_reason(make_raw(extra=deep)) is None
    assert find_reason(make_raw(extra=[deep])) == "too_deep"
    assert find_reason(make_raw(properties={str(n): 0 for n in range(1_000)})) is None


def test_integers_are_read_as_text() -> None:
    project = count_project(
        make_raw(anonymousId=None, userId=4, messageId=7), make_raw(anonymousId=None, userId="4", messageId="7")
    )
    assert project.totals["duplicate"] == 1
    assert project.persons["minute", NOW // MINUTE, "", ""] == {("u", "4")}
    assert find_reason(make_raw(userId=4.0)) == "invalid_field"
    assert find_reason(make_raw(userId=True)) == "invalid_field"


@pytest.mark.parametrize(
    ("properties", "revenue", "unreadable"),
    [
        ({"revenue": "12.50"}, 125_000, False),
        ({"revenue": " 12.50\t"}, 125_000, False),
        ({"revenue": 1e2}, 1_000_000, False),
        ({"revenue": "1e2", "total": 3}, 30_000, True),
        ({"revenue": "", "total": "3"}, 30_000, True),
        ({"revenue": None, "total": "3"}, 30_000, False),
        ({"revenue": LIMIT // 10_000}, LIMIT // 10_000 * 10_000, False),
        ({"revenue": "450359962737.04964"}, LIMIT, False),
        ({"revenue": "450359962737.0497"}, 0, True),
        ({"price": 1_000_000, "quantity": 1_000_000}, 0, True),
        ({"products": [{"price": 4e11}, {"price": 4e11}]}, 0, True),
        ({"products": [{"price": 4e11}, {"price": -4e11}]}, 0, False),
        ({"products": [{"quantity": False, "price": 2}]}, 20_000, True),
        ({"products": {"0": {"price": 2}, "2": {"price": 3}}}, 50_000, False),
        ({"products": [None, [], "", False], "price": 5}, 0, False),
        ({"products": [None], "price": 5}, 50_000, False),
        ({"products": ["p-1"], "price": 5}, 50_000, True),
        ({"products": "p-1", "price": 5}, 50_000, True),
    ],
)
def test_what_is_no_amount_is_left_out_and_counted(properties: dict[str, Any], revenue: int, unreadable: bool) -> None:
    project = count_project(track("Order Completed", properties))
    cell = project.events["minute", NOW // MINUTE, "Order Completed", "web", "(none)", "(none)"]
    assert (cell["count"], cell["revenue"], project.totals["unreadable_amount"]) == (1, revenue, int(unreadable))
    assert count_project(track("Some Other Event", properties)).totals["unreadable_amount"] == 0


def test_future_is_five_minutes_ahead_of_stream_time() -> None:
    assert find_reason(make_raw(timestamp=format_iso(NOW + 300_000))) is None
    assert find_reason(make_raw(timestamp=format_iso(NOW + 300_001))) == "time_in_future"


def test_missing_identity_comes_before_long_ids_and_after_event() -> None:
    assert find_reason(make_raw(anonymousId="", type="track", event="")) == "missing_event"
    assert find_reason(track("Order Completed", {"order_id": "x" * 257}, anonymousId=None)) == "missing_identity"
    assert find_reason(track("Order Completed", {"order_id": "x" * 257})) == "id_too_long"
    assert find_reason(track("Song Played", {"order_id": "x" * 257})) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-02", 86_400_000),
        ("1970-01-01T00:00:01Z", 1_000),
        ("1970-01-01 00:01", 60_000),
        ("1970-01-01T00:00:00.1239", 123),
        ("1970-01-01T00:00:00.9999999999Z", 999),
        ("1970-01-01T05:30:00+05:30", 0),
        ("1970-01-01T00:00:00-0100", 3_600_000),
        ("1969-12-31T23:59:59Z", None),
        ("1970-02-30", None),
        ("1970-01-01T25:00", None),
        ("19700102", 86_400_000),
        ("1970-W01-5", 86_400_000),
        ("1970-002T00", 86_400_000),
        ("1970-01-01T24:00", 86_400_000),
        ("1970-01-01T23:59:60Z", 86_400_000),
        ("1970-01-01T00.5", 1_800_000),
        ("now", None),
        ("", None),
        (OracleNumber("5"), 5_000),
        (OracleNumber("99999999999.5"), 99_999_999_999_500),
        (OracleNumber("100000000000"), 100_000_000_000),
        ("1795251600", 1_795_251_600_000),
        (OracleNumber("-5"), None),
        (5, None),
    ],
)
def test_times_are_read(text: Any, expected: int | None) -> None:
    assert read_time(text) == expected


def test_unreadable_time_becomes_the_records() -> None:
    project = count_project(
        make_raw(timestamp="yesterday"), make_raw(timestamp=None, originalTimestamp=format_iso(NOW), messageId="m-2")
    )
    assert project.totals["unreadable_time"] == 1
    assert project.events["minute", NOW // MINUTE, "$page", "web", "(none)", "(none)"]["count"] == 2


def test_dimensions_are_cleaned_and_cut() -> None:
    assert read_dimension("a\tb\x7f") == "a b "
    assert read_dimension("ä" * 200) == "ä" * 128
    assert read_dimension("x" + "ä" * 200) == "x" + "ä" * 127
    assert (read_dimension(OracleNumber("1.50")), read_dimension(True), read_dimension(None), read_dimension([1])) == (
        "1.50",
        "true",
        "",
        "",
    )


@pytest.mark.parametrize(
    ("zone", "text", "hour", "day"),
    [
        ("UTC", "2026-11-22T10:34:56Z", "2026-11-22T10:00:00Z", "2026-11-22T00:00:00Z"),
        ("Asia/Kolkata", "2026-11-22T10:34:56Z", "2026-11-22T10:30:00Z", "2026-11-21T18:30:00Z"),
        ("Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T00:00:00Z", "2026-10-24T22:00:00Z"),
        ("Europe/Berlin", "2026-10-25T01:30:00Z", "2026-10-25T01:00:00Z", "2026-10-24T22:00:00Z"),
        ("Europe/Berlin", "2026-10-25T23:30:00Z", "2026-10-25T23:00:00Z", "2026-10-25T23:00:00Z"),
        ("Australia/Lord_Howe", "2026-10-03T15:40:00Z", "2026-10-03T15:30:00Z", "2026-10-03T13:30:00Z"),
    ],
)
def test_buckets_are_local(zone: str, text: str, hour: str, day: str) -> None:
    time, hour_ms, day_ms = read_time(text), read_time(hour), read_time(day)
    assert time is not None
    assert hour_ms is not None
    assert day_ms is not None
    assert find_bucket_starts(time, zone) == {
        "minute": time // MINUTE,
        "hour": hour_ms // MINUTE,
        "day": day_ms // MINUTE,
    }
