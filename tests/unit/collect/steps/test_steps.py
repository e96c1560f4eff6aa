"""The steps of the collector, as tables of one event and its result; without Kafka and HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rtaplatform.collect.body.draft import DraftRefused
from rtaplatform.collect.body.envelope import draft_single
from rtaplatform.collect.body.write_keys import find_write_keys
from rtaplatform.collect.steps.steps import run_steps, to_record
from rtaplatform.core.events import EVENT_BYTES_MAX, Reason
from rtaplatform.core.time.timestamps import format_iso_utc
from tests.unit.collect.drafts import (
    CRAWLER,
    NOW,
    NOW_MS,
    TRACK,
    collect_batch,
    collect_batch_bytes,
    collect_one,
    collect_or_refuse,
    make_arrival,
)


def test_record_is_what_the_contract_says() -> None:
    record = collect_one(
        {**TRACK, "userId": "u-4", "timestamp": "2026-11-22T10:00:00.120Z", "properties": {"price": 12.5}}
    )
    assert record == {
        **TRACK,
        "projectId": "demo",
        "type": "track",
        "userId": "u-4",
        "source": "server",
        "originalTimestamp": "2026-11-22T10:00:00.120Z",
        "timestamp": "2026-11-22T10:00:00.120Z",
        "receivedAt": NOW,
        "properties": {"price": 12.5},
    }


@pytest.mark.parametrize(
    ("event", "reason", "field"),
    [
        (b"{", Reason.NOT_JSON, None),
        (b'{"event": NaN}', Reason.NOT_JSON, None),
        (b'{"event": 1e400, "userId": "u"}', Reason.INVALID_FIELD, "event"),
        (b'{"event": "\xff"}', Reason.NOT_UTF8, None),
        (b'{"event": 1e400, "x": "\xff"}', Reason.NOT_UTF8, None),
        (b'{"event": "x", "userId": "u", "p": "a\tb"}', Reason.NOT_JSON, None),
        (b"[]", Reason.NOT_AN_OBJECT, None),
        (b'"text"', Reason.NOT_AN_OBJECT, None),
        (b"null", Reason.NOT_AN_OBJECT, None),
        (b'{"a":' * 200_000, Reason.TOO_LARGE, None),
        (b'{"a":' + b"[" * 5_000 + b"]" * 5_000 + b"}", Reason.TOO_DEEP, None),
        ({**TRACK, "event": None}, Reason.MISSING_EVENT, "event"),
        ({**TRACK, "event": ""}, Reason.MISSING_EVENT, "event"),
        ({**TRACK, "event": ["x"]}, Reason.INVALID_FIELD, "event"),
        ({**TRACK, "anonymousId": None}, Reason.MISSING_IDENTITY, "anonymousId"),
        ({**TRACK, "anonymousId": ""}, Reason.MISSING_IDENTITY, "anonymousId"),
        ({**TRACK, "anonymousId": 1.5}, Reason.INVALID_FIELD, "anonymousId"),
        ({**TRACK, "anonymousId": True}, Reason.INVALID_FIELD, "anonymousId"),
        ({**TRACK, "userId": "é" * 129}, Reason.ID_TOO_LONG, "userId"),
        ({**TRACK, "anonymousId": "x" * 257}, Reason.ID_TOO_LONG, "anonymousId"),
        ({**TRACK, "messageId": "x" * 257}, Reason.ID_TOO_LONG, "messageId"),
        ({**TRACK, "userId": int("7" * 257)}, Reason.ID_TOO_LONG, "userId"),
        ({**TRACK, "userId": int("7" * 4_000)}, Reason.ID_TOO_LONG, "userId"),
        ({**TRACK, "properties": {"product_id": "x" * 257}}, Reason.ID_TOO_LONG, "properties.product_id"),
        ({**TRACK, "properties": {"order_id": "x" * 257}}, Reason.ID_TOO_LONG, "properties.order_id"),
        (
            {**TRACK, "event": "Product\tViewed", "properties": {"order_id": "x" * 257}},
            Reason.ID_TOO_LONG,
            "properties.order_id",
        ),
        (
            {**TRACK, "properties": {"products": [{}, {"product_id": "x" * 257}]}},
            Reason.ID_TOO_LONG,
            "properties.products.1.product_id",
        ),
        ({**TRACK, "properties": [1]}, Reason.INVALID_FIELD, "properties"),
        ({**TRACK, "properties": "x"}, Reason.INVALID_FIELD, "properties"),
        ({**TRACK, "properties": True}, Reason.INVALID_FIELD, "properties"),
        ({**TRACK, "properties": 0}, Reason.INVALID_FIELD, "properties"),
        ({**TRACK, "context": "x"}, Reason.INVALID_FIELD, "context"),
        ({**TRACK, "timestamp": format_iso_utc(NOW_MS + 300_001)}, Reason.TIME_IN_FUTURE, "timestamp"),
    ],
)
def test_bad_event_is_refused_with_its_reason(event: Any, reason: Reason, field: str | None) -> None:
    refused = collect_or_refuse(event)
    assert isinstance(refused, DraftRefused), refused
    assert (refused.reason, refused.field) == (reason, field)


@pytest.mark.parametrize(
    "event",
    [
        {**TRACK, "properties": None, "context": None, "userId": None},
        {**TRACK, "properties": {"price": "12.50", "quantity": 2, "revenue": -1}},
        {**TRACK, "properties": {"price": 450_359_962_737.0496}},
        {**TRACK, "event": "Song Played", "properties": {"price": "cheap", "product_id": "x" * 300}},
        {**TRACK, "userId": "é" * 128, "properties": {"product_id": "x" * 256, "order_id": 7}},
        {**TRACK, "properties": {"price": "cheap"}},
        {**TRACK, "properties": {"price": True, "quantity": [], "revenue": "", "total": {}}},
        {**TRACK, "properties": {"price": 450_359_962_737.05}},
        {**TRACK, "properties": {"products": {"0": {"product_id": "p"}, "2": {}}}},
        {**TRACK, "properties": {"products": [None, [], 1]}},
        {**TRACK, "properties": {"products": [{"price": "4e6", "quantity": 1e6}]}},
        {**TRACK, "timestamp": format_iso_utc(NOW_MS + 300_000)},
        {**TRACK, "unknown": {"a": [1]}, "channel": "server", "_metadata": {}},
    ],
)
def test_a_good_event_is_accepted(event: dict[str, Any]) -> None:
    collect_one(event)


@pytest.mark.parametrize("empty", [[], "", False, None])
def test_an_empty_list_where_an_object_belongs_is_an_empty_object(empty: Any) -> None:
    record = collect_one({**TRACK, "properties": empty, "context": empty, "traits": empty, "integrations": empty})
    expected: dict[str, Any] | None = None if empty is None else {}
    assert (record["properties"], record["context"]) == (expected, expected)
    assert record["traits"] == empty
    events, refused = collect_batch({"context": empty, "integrations": empty, "batch": [{**TRACK, "type": "track"}]})
    assert (len(events), refused) == (1, [])


def test_a_byte_order_mark_and_trailing_blanks_and_nuls_are_ignored() -> None:
    around = b"\xef\xbb\xbf%s \r\n\x00\x00"
    assert collect_one(around % json.dumps(TRACK).encode())["event"] == "Product Viewed"
    events, refused = collect_batch_bytes(around % json.dumps({"batch": [{**TRACK, "type": "track"}]}).encode())
    assert (len(events), refused) == (1, [])


def test_limits_hold_to_the_byte_and_the_level() -> None:
    def sized(size: int) -> bytes:
        head = b'{"event":"x","userId":"u","p":"'
        return head + b"x" * (size - len(head) - 2) + b'"}'

    def nested(levels: int) -> bytes:
        return b'{"event":"x","userId":"u","p":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"

    def wide(keys: int) -> dict[str, Any]:
        return {**TRACK, "properties": {f"k{n}": 1 for n in range(keys)}}

    collect_one(sized(EVENT_BYTES_MAX))
    assert isinstance(collect_or_refuse(sized(EVENT_BYTES_MAX + 1)), DraftRefused)
    collect_one(nested(32))
    assert isinstance(collect_or_refuse(nested(33)), DraftRefused)
    collect_one(wide(1_000))
    assert isinstance(collect_or_refuse(wide(1_001)), DraftRefused)


def test_numbers_pass_as_they_were_written() -> None:
    body = b'{"event":"x","userId":"u","properties":{"a":12.10,"b":123456789012345678901234567890,"c":1E+2,"d":-0.0}}'
    drafts, _ = run_steps([draft_single(body, "track", "demo", make_arrival())], {})
    assert b'{"a":12.10,"b":123456789012345678901234567890,"c":1E+2,"d":-0.0}' in drafts[0].value


def test_half_of_a_surrogate_pair_becomes_the_replacement_character() -> None:
    record = collect_one(rb'{"event":"x\ud83d","userId":"u","properties":{"ok":"\ud83d\ude00","no":"\\ud83d"}}')
    assert record["event"] == "x\ufffd"
    assert record["properties"] == {"ok": "😀", "no": "\\ud83d"}


def test_half_a_surrogate_pair_and_an_infinite_number_still_make_a_key() -> None:
    drafts, _ = run_steps(
        [draft_single(rb'{"event":"x","p":1e400,"userId":"\ud800"}', "track", "demo", make_arrival())], {}
    )
    assert to_record(drafts[0]).key == "demo:\ufffd".encode()
    assert b'"p":1e400' in drafts[0].value


def test_integers_are_ids_in_decimal() -> None:
    record = collect_one({**TRACK, "userId": 5, "messageId": 7})
    assert (record["userId"], record["messageId"]) == ("5", "7")


def test_clients_cannot_set_reserved_fields() -> None:
    reserved_fields = {
        "projectId": "other", "receivedAt": "1999-01-01", "marks": ["made_id", "unreadable_time", 5],
        "writeKey": "secret", "api_key": "secret",
    }  # fmt: skip
    record = collect_one({**TRACK, **reserved_fields, "context": {"ip": "192.0.2.1", "locale": "de"}})
    assert record["projectId"] == "demo"
    assert record["receivedAt"] == NOW
    assert "marks" not in record
    assert "writeKey" not in record
    assert "api_key" not in record
    assert record["context"] == {"locale": "de"}


def test_a_client_may_mark_itself_as_a_bot() -> None:
    marks = ["made_id", "bot:me", {"bot:": 1}, "bot:" + "x" * 100]
    assert collect_one({**TRACK, "marks": marks})["marks"] == ["bot:me", "bot:" + "x" * 60]
    assert len(collect_one({**TRACK, "marks": ["bot:x"] * 1_000})["marks"]) == 4
    odds: list[Any] = ["bot:me", {"bot:me": 1}, 5, None, [], False]
    for odd in odds:
        assert "marks" not in collect_one({**TRACK, "marks": odd})


CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"


@pytest.mark.parametrize(
    ("own", "of_request", "is_from_browser", "is_bot"),
    [
        (CHROME, CHROME, True, False),
        (CRAWLER, None, False, True),
        (CRAWLER.replace("Googlebot", "SomeNewBot"), None, False, True),
        (CHROME.replace("Chrome", "HeadlessChrome"), CHROME, True, True),
        ("python-requests/2.32", None, False, True),
        (None, CRAWLER, False, True),
        (None, CHROME.replace("Chrome", "HeadlessChrome"), True, True),
        (None, "python-requests/2.32", True, True),
        # A server's library sends what its visitors did.
        (None, "python-requests/2.32", False, False),
        (CHROME, "Go-http-client/1.1", False, False),
        (CHROME, "okhttp/4.12.0", False, False),
        ("Mozilla/5.0 (Linux; Android 13; CUBOT P80) AppleWebKit/537.36 Chrome/120.0 Mobile", None, False, False),
        (5, None, False, False),
        ("", None, False, False),
    ],
)
def test_bots_are_marked_by_the_visitors_user_agent(
    own: Any, of_request: Any, is_from_browser: bool, is_bot: bool
) -> None:
    record = collect_one(
        {**TRACK, "context": {"userAgent": own}}, user_agent=of_request, is_from_browser=is_from_browser
    )
    assert record.get("marks") == (["bot:user_agent"] if is_bot else None)


def test_an_app_with_a_library_as_user_agent_is_no_bot() -> None:
    assert "marks" not in collect_one({**TRACK, "source": "android", "context": {"userAgent": "okhttp/4.12.0"}})
    assert collect_one({**TRACK, "source": "android", "context": {"userAgent": CRAWLER}})["marks"] == ["bot:user_agent"]


def test_type_comes_from_the_path_of_a_single_call() -> None:
    assert collect_one({"userId": "u"}, "identify")["type"] == "identify"
    assert collect_one({"userId": "u", "type": "track"}, "page")["type"] == "page"


def test_made_message_id_is_marked() -> None:
    record = collect_one({"event": "x", "userId": "u"})
    assert record["marks"] == ["made_id"]
    assert len(record["messageId"]) == 36


@pytest.mark.parametrize(
    ("times", "timestamp", "original", "marks"),
    [
        ({}, NOW, None, None),
        ({"timestamp": None}, NOW, None, None),
        ({"timestamp": "2026-11-22T09:59:59Z"}, "2026-11-22T09:59:59.000Z", "2026-11-22T09:59:59Z", None),
        ({"originalTimestamp": "2026-11-22T09:59:59Z"}, "2026-11-22T09:59:59.000Z", "2026-11-22T09:59:59Z", None),
        # The caller's own time wins over the moment of the call (Rudder).
        (
            {"timestamp": "2020-01-01T00:00:00Z", "originalTimestamp": "2026-11-22T10:00:00Z"},
            "2020-01-01T00:00:00.000Z", "2020-01-01T00:00:00Z", None,
        ),
        ({"timestamp": "2015-2-02T00:30:12.984Z"}, NOW, "2015-2-02T00:30:12.984Z", ["unreadable_time"]),
        ({"timestamp": 1_700_000_000}, "2023-11-14T22:13:20.000Z", 1_700_000_000, None),
        ({"timestamp": 1_700_000_000_120}, "2023-11-14T22:13:20.120Z", 1_700_000_000_120, None),
        ({"timestamp": "1700000000"}, "2023-11-14T22:13:20.000Z", "1700000000", None),
        ({"timestamp": 1_700_000_000.12}, "2023-11-14T22:13:20.120Z", 1_700_000_000.12, None),
        ({"timestamp": True}, NOW, True, ["unreadable_time"]),
        ({"timestamp": []}, NOW, [], ["unreadable_time"]),
        ({"timestamp": "20261122T095959Z"}, "2026-11-22T09:59:59.000Z", "20261122T095959Z", None),
        # Clocks agree within 30 s: the network's latency moves nothing.
        (
            {"timestamp": "2026-11-22T09:59:40.000Z", "sentAt": "2026-11-22T09:59:41.000Z"},
            "2026-11-22T09:59:40.000Z", "2026-11-22T09:59:40.000Z", None,
        ),
        # The client's clock is an hour behind.
        (
            {"timestamp": "2026-11-22T09:00:00.000Z", "sentAt": "2026-11-22T09:00:00.541Z"},
            "2026-11-22T10:00:00.000Z", "2026-11-22T09:00:00.000Z", None,
        ),
        # The client's clock is an hour ahead: corrected, so not in the future.
        (
            {"timestamp": "2026-11-22T11:00:00.000Z", "sentAt": "2026-11-22T11:00:00.541Z"},
            "2026-11-22T10:00:00.000Z", "2026-11-22T11:00:00.000Z", None,
        ),
        # The same, said in numbers.
        (
            {"timestamp": NOW_MS + 3_600_000, "sentAt": NOW_MS / 1000 + 3_600},
            NOW, NOW_MS + 3_600_000, None,
        ),
        # Later than its own sending: impossible.
        (
            {"timestamp": "2026-11-22T09:00:00.000Z", "sentAt": "2026-11-08T10:00:00.000Z"},
            NOW, "2026-11-22T09:00:00.000Z", ["unreadable_time"],
        ),
        (
            {"timestamp": "2026-11-22T09:59:59.000Z", "sentAt": "2026-11-22T09:50:00.000Z"},
            NOW, "2026-11-22T09:59:59.000Z", ["unreadable_time"],
        ),
        (
            {"timestamp": "2026-11-22T09:55:00.000Z", "sentAt": "2026-11-22T09:50:00.000Z"},
            "2026-11-22T10:05:00.541Z", "2026-11-22T09:55:00.000Z", None,
        ),
        # An old export, sent again: a day away, and nothing is corrected.
        (
            {"timestamp": "2026-10-13T09:00:00.000Z", "sentAt": "2026-10-13T10:00:00.000Z"},
            "2026-10-13T09:00:00.000Z", "2026-10-13T09:00:00.000Z", None,
        ),
        (
            {"timestamp": "2026-11-21T09:00:00.000Z", "sentAt": "2026-11-21T10:00:00.541Z"},
            "2026-11-21T09:00:00.000Z", "2026-11-21T09:00:00.000Z", None,
        ),
        (
            {"timestamp": "2026-11-21T09:00:00.000Z", "sentAt": "2026-11-21T10:00:00.542Z"},
            "2026-11-22T08:59:59.999Z", "2026-11-21T09:00:00.000Z", None,
        ),
        # History survives.
        (
            {"timestamp": "2019-05-01T00:00:00.000Z", "sentAt": "2026-11-22T10:00:00.541Z"},
            "2019-05-01T00:00:00.000Z", "2019-05-01T00:00:00.000Z", None,
        ),
        ({"timestamp": "2026-11-22T09:00:00Z", "sentAt": "nonsense"}, "2026-11-22T09:00:00.000Z",
         "2026-11-22T09:00:00Z", None),
    ],
)  # fmt: skip
def test_time_of_an_event(times: dict[str, Any], timestamp: str, original: Any, marks: list[str] | None) -> None:
    record = collect_one({**TRACK, **times})
    assert record["timestamp"] == timestamp
    assert record["originalTimestamp"] == original
    assert record.get("marks") == marks


def test_a_retry_corrects_only_a_clock_that_is_ahead() -> None:
    behind = {"timestamp": "2026-11-22T09:00:00.000Z", "sentAt": "2026-11-22T09:00:00.541Z"}
    assert collect_one({**TRACK, **behind}, is_retry=True)["timestamp"] == "2026-11-22T09:00:00.000Z"
    ahead = {"timestamp": "2026-11-22T11:00:00.000Z", "sentAt": "2026-11-22T11:00:00.541Z"}
    assert collect_one({**TRACK, **ahead}, is_retry=True)["timestamp"] == "2026-11-22T10:00:00.000Z"


def test_a_future_time_without_a_correction_is_refused() -> None:
    ahead = {**TRACK, "timestamp": "2026-11-24T10:00:00.000Z"}
    for sent_at in (None, "nonsense", "2026-11-24T10:00:00.000Z"):
        refused = collect_or_refuse({**ahead, "sentAt": sent_at})
        assert isinstance(refused, DraftRefused)
        assert (refused.reason, refused.field) == (Reason.TIME_IN_FUTURE, "timestamp")


def test_an_event_too_old_to_count_is_reported_as_late() -> None:
    def is_late(days: int) -> bool:
        event = {**TRACK, "timestamp": format_iso_utc(NOW_MS - days * 86_400_000)}
        ready, _ = run_steps([draft_single(json.dumps(event).encode(), "track", "demo", make_arrival())], {})
        return ready[0].is_late

    assert [is_late(days) for days in (0, 398, 399, 400, 4_000)] == [False, False, False, True, True]


def test_sent_at_falls_back_to_the_header() -> None:
    record = collect_one({**TRACK, "originalTimestamp": "2026-11-22T09:00:00.000Z"}, sent_at="2026-11-22T09:00:00.541Z")
    assert record["timestamp"] == "2026-11-22T10:00:00.000Z"


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (b'{"writeKey":"w","batch":[]}', "w"), (b'{"api_key":"p","batch":[]}', "p"),
        (b'{"api_key":"p","batch":[],"writeKey":"w"}', "w"), (b'{"writeKey":"w","batch":[NaN]}', "w"),
        (b'{"api_key":"p","batch":[NaN]}', "p"), (b'{"writeKey":5,"batch":[]}', None), (b'{"batch":[]}', None),
        (b'{"writeKey":"","batch":[]}', None), (b'{"writeKey":"%s","batch":[]}' % (b"\\n" * 600), None),
    ],
)  # fmt: skip
def test_a_write_key_is_found_in_the_body(body: bytes, key: str | None) -> None:
    assert find_write_keys(body) == ([key] if key else [])


@pytest.mark.parametrize(
    ("event", "key", "topic"),
    [
        ({**TRACK, "userId": "u-4", "source": "web"}, b"demo:a-17", "rta.events.web"),
        ({"event": "x", "userId": "u-4", "source": "ios"}, b"demo:u-4", "rta.events.mobile"),
        ({"event": "x", "userId": "u-4", "anonymousId": "", "source": "android"}, b"demo:u-4", "rta.events.mobile"),
        ({"event": "x", "userId": "ü"}, "demo:ü".encode(), "rta.events.server"),
    ],
)
def test_key_and_topic(event: dict[str, Any], key: bytes, topic: str) -> None:
    body = json.dumps(event).encode()
    drafts, _ = run_steps([draft_single(body, "track", "demo", make_arrival())], {})
    record = to_record(drafts[0])
    assert (record.key, record.topic) == (key, topic)
    assert (record.timestamp_ms, record.bytes_as_sent) == (NOW_MS, len(body))
