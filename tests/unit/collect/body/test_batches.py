"""Batches: how defaults are merged, and what a bad event or a bad batch costs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rtaplatform.collect.body.batch_defaults import DEFAULTS_BYTES_MAX
from rtaplatform.collect.body.envelope import read_batch
from rtaplatform.core.errors import UnreadableBody
from rtaplatform.core.events import COLLECTED_BYTES_MAX, EVENT_BYTES_MAX, Reason
from tests.unit.collect.drafts import CRAWLER, NOW, TRACK, collect_batch, collect_batch_bytes


def test_batch_defaults_apply_unless_an_event_has_its_own_values() -> None:
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
    (first, second), refused = collect_batch(body)
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
    taken_events, refused = collect_batch({"batch": events})
    assert len(taken_events) == 1
    assert [(refusal.index, refusal.reason, refusal.message_id) for refusal in refused] == [
        (1, Reason.NOT_AN_OBJECT, None),
        (2, Reason.NOT_AN_OBJECT, None),
        (3, Reason.UNKNOWN_TYPE, "m-3"),
        (4, Reason.UNKNOWN_TYPE, None),
    ]


BROKEN = [
    b'{"a":NaN}', b'{"a":-Infinity}', b'{"a":"x\ty"}', b'{"a":"x\ny"}', b'{"a":1.}', b'{"a":01}', b'{"a":undefined}',
    b'{"a":1,}', b'{"a":[1,]}', b"{'a':1}", b'{"a":[1}', b'{"a":1]', b'{"a":1}}', b"{a:1}", b"NaN", b"}", b'"\t"',
    b'{"a" 1}', b'{"a":"\\x"}', b'{"a":.5}', b"// {[", b'{"a":"5" nail"}', b'{"a":{"b":1}', b'{"a":1', b'{"a":"b',
    b'{"a":[1,2', b"{", b'"', b'"a"b"', b'{"a":b"}', b'{"a":1e}', b'{"a":"\xff"}', b'{"a":"\xed\xa0\x80"}',
    b'{"\xff":1}', b"\xff", b"[" * 40 + b"]" * 40, b"[" * 5_000 + b"]" * 5_000,
]  # fmt: skip


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_unreadable_event_is_refused_alone(broken: bytes, place: int) -> None:
    good = [json.dumps({"type": "page", "userId": name, "p": '"}],{[\\"'}).encode() for name in ("a", "b")]
    events = [*good[:place], broken, *good[place:]]
    body = b'{"sentAt": "%s", "batch": [ %s ] , "context": {"locale":"de"}}' % (NOW.encode(), b", ".join(events))
    records, refused = collect_batch_bytes(body)
    assert [record["userId"] for record in records] == ["a", "b"]
    assert [record["context"] for record in records] == [{"locale": "de"}] * 2
    assert [refusal.index for refusal in refused] == [place]
    assert refused[0].reason in (Reason.NOT_JSON, Reason.NOT_UTF8, Reason.TOO_DEEP, Reason.NOT_AN_OBJECT)


def test_an_empty_element_counts_as_an_event_except_after_the_last_comma() -> None:
    page = b'{"type":"page","userId":"u"}'
    records, refused = collect_batch_bytes(b'{"batch":[%s,,%s,]}' % (page, page))
    assert (len(records), [(refusal.index, refusal.reason) for refusal in refused]) == (2, [(1, Reason.NOT_JSON)])


def test_unreadable_defaults_of_a_batch_cost_no_event() -> None:
    events = b'"batch":[{"type":"page","userId":"u"},]'
    for slip in (
        b'"context":{"a":"\xff"}', b'"context":NaN', b'"context":[1]', b'"context":"x"', b'"context":{"a":undefined}',
        b'"integrations":{"a":"\xff"}', b'"sentAt":undefined', b'"timestamp":"\xff"', b'"sequence":01', b'"a":"\t"',
    ):  # fmt: skip
        records, refused = collect_batch_bytes(b"{%s,%s,}" % (slip, events))
        assert (len(records), refused) == (1, [])
        assert "context" not in records[0]


def test_event_that_a_batch_makes_too_large_is_refused() -> None:
    body = {"context": {"x": "y" * COLLECTED_BYTES_MAX}, "batch": [{**TRACK, "type": "track"}]}
    _, refused = collect_batch(body)
    assert (refused[0].reason, refused[0].field, refused[0].message_id) == (Reason.TOO_LARGE, "context", "m-1")


def test_the_largest_event_has_room_for_the_largest_defaults() -> None:
    event = {**TRACK, "type": "track", "userId": "u" * 256, "timestamp": "2026-11-22T09:59:59Z", "p": ""}
    event["p"] = "y" * (EVENT_BYTES_MAX - len(json.dumps(event)))
    context = {"x": ""}
    context["x"] = "y" * (DEFAULTS_BYTES_MAX - len(json.dumps(context)) - len("null"))
    for sent in ({**event, "messageId": None}, event):
        records, refused = collect_batch(
            {"context": context, "batch": [sent]}, is_from_browser=True, user_agent=CRAWLER
        )
        assert (len(records), refused) == (1, [])


@pytest.mark.parametrize("name", ["context", "integrations"])
def test_defaults_over_a_limit_refuse_every_event_with_that_reason(name: str) -> None:
    deep: Any = 1
    for _ in range(32):
        deep = [deep]
    for value, reason in (
        ({"x": "y" * 7_168}, Reason.TOO_LARGE),
        ({"x": deep}, Reason.TOO_DEEP),
        ({"x": {f"{n}": 0 for n in range(500)}}, None),
    ):
        records, refused = collect_batch({name: value, "batch": [{**TRACK, "type": "track"}] * 2})
        assert [refusal.reason for refusal in refused] == ([reason] * 2 if reason else [])
        assert len(records) == (0 if reason else 2)
    many = b'{"%s":{%s"":0},"batch":[{"type":"page","userId":"u"}]}' % (name.encode(), b'"":0,' * 1_000)
    assert [refusal.reason for refusal in collect_batch_bytes(many)[1]] == [Reason.TOO_MANY_KEYS]


def test_keys_of_a_batch_and_of_an_event_are_counted_together() -> None:
    context = {f"b{n}": 0 for n in range(600)}
    own = {f"e{n}": 0 for n in range(401)}
    _, refused = collect_batch({"context": context, "batch": [{"type": "page", "userId": "u", "context": own}]})
    assert (refused[0].reason, refused[0].field) == (Reason.TOO_MANY_KEYS, "context")
    own.popitem()
    records, refused = collect_batch({"context": context, "batch": [{"type": "page", "userId": "u", "context": own}]})
    assert (len(records), refused) == (1, [])


def test_a_batch_has_at_most_5000_events() -> None:
    def body(element: bytes, count: int) -> bytes:
        return b'{"batch":[%s]}' % b",".join([element] * count)

    for element in (b"0", b'"a,b"', b"[1,2]", b'{"type":"page","userId":"u"}', b"NaN"):
        assert len(read_batch(body(element, 5_000))) == 5_000
        with pytest.raises(UnreadableBody, match="more than 5000 events"):
            read_batch(body(element, 5_001))
    assert len(read_batch(b'{"batch":[{"a":[%s0]}]}' % (b"0," * 100_000))) == 1
    with pytest.raises(UnreadableBody, match="more than 5000 events"):
        read_batch(body(b"0", 2_000_000))


def test_a_body_of_brackets_alone_is_given_up() -> None:
    with pytest.raises(UnreadableBody):
        read_batch(b'{"batch":[NaN,%s]}' % (b"[]" * 60_000))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"batch":{}}',
        b'{"batch":null}',
        b"\x00",
        b'{"batch":[{"a":1}',
        b'{"batch":[]}{"batch":[]}',
        b'{"batch":[NaN]} x',
        b'{"batch":["a',
        b"NaN",
    ],
)
def test_a_body_without_a_batch_is_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableBody):
        read_batch(body)
