"""What becomes of one event: table by table, no Kafka and no HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rtaplatform.collect.draft import Refused
from rtaplatform.collect.envelope import Arrival, draft_batch, draft_single, read_batch
from rtaplatform.collect.steps import run_steps, to_record
from rtaplatform.core.errors import UnreadableBody
from rtaplatform.core.events import COLLECTED_BYTES_MAX, EVENT_BYTES_MAX, Reason
from rtaplatform.core.times import iso_utc, read_time_ms

NOW = "2026-11-22T10:00:00.541Z"
NOW_MS = read_time_ms(NOW) or 0
TRACK = {"event": "Product Viewed", "anonymousId": "a-17", "messageId": "m-1"}


def arrival(**changes: Any) -> Arrival:
    return Arrival(received_ms=NOW_MS, **changes)


def single(event: Any, kind: str = "track", **changes: Any) -> dict[str, Any] | Refused:
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    taken, refused = run_steps([draft_single(body, kind, "demo", arrival(**changes))], {})
    return json.loads(taken[0].value) if taken else refused[0]


def taken(event: Any, kind: str = "track", **changes: Any) -> dict[str, Any]:
    record = single(event, kind, **changes)
    assert isinstance(record, dict), record
    return record


def batch(body: dict[str, Any], **changes: Any) -> tuple[list[dict[str, Any]], list[Refused]]:
    drafts = draft_batch(read_batch(json.dumps(body).encode()), "demo", arrival(**changes))
    ready, refused = run_steps(drafts, {})
    return [json.loads(draft.value) for draft in ready], refused


def test_record_is_what_the_contract_says() -> None:
    record = taken({**TRACK, "userId": "u-4", "timestamp": "2026-11-22T10:00:00.120Z", "properties": {"price": 12.5}})
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
        (b"\xef\xbb\xbf{}", Reason.NOT_JSON, None),
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
        ({**TRACK, "userId": "é" * 257}, Reason.INVALID_FIELD, "userId"),
        ({**TRACK, "properties": []}, Reason.INVALID_FIELD, "properties"),
        ({**TRACK, "properties": "x"}, Reason.INVALID_FIELD, "properties"),
        ({**TRACK, "context": "x"}, Reason.INVALID_FIELD, "context"),
        ({**TRACK, "properties": {"price": "cheap"}}, Reason.INVALID_AMOUNT, "properties.price"),
        ({**TRACK, "properties": {"price": True}}, Reason.INVALID_AMOUNT, "properties.price"),
        ({**TRACK, "properties": {"price": 450_359_962_737.05}}, Reason.INVALID_AMOUNT, "properties.price"),
        ({**TRACK, "properties": {"products": {}}}, Reason.INVALID_AMOUNT, "properties.products"),
        ({**TRACK, "properties": {"products": [1]}}, Reason.INVALID_AMOUNT, "properties.products.0"),
        (
            {**TRACK, "properties": {"products": [{"price": "4e6", "quantity": 1e6}]}},
            Reason.INVALID_AMOUNT,
            "properties.products.0.price",
        ),
        ({**TRACK, "timestamp": iso_utc(NOW_MS + 300_001)}, Reason.TIME_IN_FUTURE, "timestamp"),
    ],
)
def test_bad_event_is_refused_with_its_reason(event: Any, reason: Reason, field: str | None) -> None:
    refused = single(event)
    assert isinstance(refused, Refused), refused
    assert (refused.reason, refused.field) == (reason, field)


@pytest.mark.parametrize(
    "event",
    [
        {**TRACK, "properties": None, "context": None, "userId": None},
        {**TRACK, "properties": {"price": "12.50", "quantity": 2, "revenue": -1}},
        {**TRACK, "properties": {"price": 450_359_962_737.0496}},
        {**TRACK, "event": "Song Played", "properties": {"price": "cheap"}},
        {**TRACK, "userId": "é" * 256},
        {**TRACK, "timestamp": iso_utc(NOW_MS + 300_000)},
        {**TRACK, "unknown": {"a": [1]}, "channel": "server", "_metadata": {}},
    ],
)
def test_good_event_is_taken(event: dict[str, Any]) -> None:
    taken(event)


def test_limits_hold_to_the_byte_and_the_level() -> None:
    def sized(size: int) -> bytes:
        head = b'{"event":"x","userId":"u","p":"'
        return head + b"x" * (size - len(head) - 2) + b'"}'

    def nested(levels: int) -> bytes:
        return b'{"event":"x","userId":"u","p":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"

    def wide(keys: int) -> dict[str, Any]:
        return {**TRACK, "properties": {f"k{n}": 1 for n in range(keys)}}

    taken(sized(EVENT_BYTES_MAX))
    assert isinstance(single(sized(EVENT_BYTES_MAX + 1)), Refused)
    taken(nested(32))
    assert isinstance(single(nested(33)), Refused)
    taken(wide(1_000))
    assert isinstance(single(wide(1_001)), Refused)


def test_numbers_pass_as_they_were_written() -> None:
    body = b'{"event":"x","userId":"u","properties":{"a":12.10,"b":123456789012345678901234567890,"c":1E+2,"d":-0.0}}'
    drafts, _ = run_steps([draft_single(body, "track", "demo", arrival())], {})
    assert b'{"a":12.10,"b":123456789012345678901234567890,"c":1E+2,"d":-0.0}' in drafts[0].value


def test_half_of_a_surrogate_pair_becomes_the_replacement_character() -> None:
    record = taken(rb'{"event":"x\ud83d","userId":"u","properties":{"ok":"\ud83d\ude00","no":"\\ud83d"}}')
    assert record["event"] == "x\ufffd"
    assert record["properties"] == {"ok": "😀", "no": "\\ud83d"}


def test_half_of_a_pair_beside_an_endless_number_makes_a_key_all_the_same() -> None:
    drafts, _ = run_steps([draft_single(rb'{"event":"x","p":1e400,"userId":"\ud800"}', "track", "demo", arrival())], {})
    assert to_record(drafts[0]).key == "demo:\ufffd".encode()
    assert b'"p":1e400' in drafts[0].value


def test_integers_are_ids_in_decimal() -> None:
    record = taken({**TRACK, "userId": 5, "messageId": 7})
    assert (record["userId"], record["messageId"]) == ("5", "7")


def test_clients_cannot_say_what_only_we_may() -> None:
    said = {"projectId": "other", "receivedAt": "1999-01-01", "marks": ["bot:me"], "writeKey": "secret"}
    record = taken({**TRACK, **said, "context": {"ip": "192.0.2.1", "locale": "de"}})
    assert record["projectId"] == "demo"
    assert record["receivedAt"] == NOW
    assert "marks" not in record
    assert "writeKey" not in record
    assert record["context"] == {"locale": "de"}


def test_type_comes_from_the_path_of_a_single_call() -> None:
    assert taken({"userId": "u"}, "identify")["type"] == "identify"
    assert taken({"userId": "u", "type": "track"}, "page")["type"] == "page"


def test_made_message_id_is_marked() -> None:
    record = taken({"event": "x", "userId": "u"})
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
        ({"timestamp": 1_700_000_000}, NOW, 1_700_000_000, ["unreadable_time"]),
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
    record = taken({**TRACK, **times})
    assert record["timestamp"] == timestamp
    assert record["originalTimestamp"] == original
    assert record.get("marks") == marks


def test_clock_is_not_corrected_on_a_retry() -> None:
    times = {"timestamp": "2026-11-22T09:00:00.000Z", "sentAt": "2026-11-22T09:00:00.541Z"}
    assert taken({**TRACK, **times}, is_retry=True)["timestamp"] == "2026-11-22T09:00:00.000Z"


def test_sent_at_comes_from_the_header_where_nothing_else_says_it() -> None:
    record = taken({**TRACK, "originalTimestamp": "2026-11-22T09:00:00.000Z"}, sent_at="2026-11-22T09:00:00.541Z")
    assert record["timestamp"] == "2026-11-22T10:00:00.000Z"


def test_batch_defaults_hold_for_events_that_do_not_say_otherwise() -> None:
    body = {
        "context": {"library": {"name": "analytics-go"}, "locale": "de"},
        "integrations": {"All": True},
        "messageId": "batch",
        "timestamp": "2026-11-22T09:00:00Z",
        "batch": [
            {**TRACK, "type": "track", "context": {"locale": "fr"}},
            {"type": "page", "userId": "u", "integrations": {}, "timestamp": "2026-11-22T08:00:00Z"},
        ],
    }
    (first, second), refused = batch(body)
    assert not refused
    assert first["context"] == {"library": {"name": "analytics-go"}, "locale": "fr"}
    assert first["integrations"] == {"All": True}
    assert first["source"] == "server"
    assert (first["timestamp"], first["originalTimestamp"]) == ("2026-11-22T09:00:00.000Z", None)
    assert second["integrations"] == {}
    assert second["messageId"] != "batch"
    assert second["timestamp"] == "2026-11-22T08:00:00.000Z"


def test_bad_events_do_not_spoil_their_batch() -> None:
    events = [{**TRACK, "type": "track"}, 5, None, {"type": "dance", "userId": "u", "messageId": "m-3"}, {}]
    taken_events, refused = batch({"batch": events})
    assert len(taken_events) == 1
    assert [(one.index, one.reason, one.message_id) for one in refused] == [
        (1, Reason.NOT_AN_OBJECT, None),
        (2, Reason.NOT_AN_OBJECT, None),
        (3, Reason.UNKNOWN_TYPE, "m-3"),
        (4, Reason.UNKNOWN_TYPE, None),
    ]


def test_event_that_a_batch_makes_too_large_is_refused() -> None:
    body = {"context": {"x": "y" * COLLECTED_BYTES_MAX}, "batch": [{**TRACK, "type": "track"}]}
    _, refused = batch(body)
    assert refused[0].reason is Reason.TOO_LARGE


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"batch":{}}', b'{"batch":null}', b"\x00", b'{"batch":[}'])
def test_body_that_is_no_batch_is_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableBody):
        read_batch(body)


def test_batch_context_that_is_no_object_is_unreadable() -> None:
    with pytest.raises(UnreadableBody):
        draft_batch(read_batch(b'{"batch":[],"context":[]}'), "demo", arrival())


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
    drafts, _ = run_steps([draft_single(body, "track", "demo", arrival())], {})
    record = to_record(drafts[0])
    assert (record.key, record.topic) == (key, topic)
    assert (record.timestamp_ms, record.bytes_as_sent) == (NOW_MS, len(body))
