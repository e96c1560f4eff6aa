"""CloudEvents become our events, in each of their three forms."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rtaplatform.collect.adapters.cloudevents import adapt_cloudevent, write_structured
from tests.unit.collect.drafts import collect_one

EVENT = {"specversion": "1.0", "id": "7", "source": "/shop", "type": "Order Completed", "time": "2026-11-22T09:00:00Z"}


def adapt_event(event: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(adapt_cloudevent(json.dumps(event).encode()))
    return answer


def test_the_type_names_the_event_and_the_data_are_its_properties() -> None:
    event = adapt_event({**EVENT, "userid": "u-1", "data": {"order_id": "o-1", "revenue": 19.99}})
    assert event == {
        "type": "track",
        "event": "Order Completed",
        "messageId": "/shop#7",
        "timestamp": "2026-11-22T09:00:00Z",
        "userId": "u-1",
        "properties": {"order_id": "o-1", "revenue": 19.99},
        "context": {"cloudevent": {"source": "/shop"}},
    }


def test_a_type_that_is_one_of_our_calls_has_the_call_as_its_data() -> None:
    data = {"userId": "u-1", "event": "Signed Up", "properties": {"plan": "pro"}, "messageId": "m-1"}
    event = adapt_event({**EVENT, "type": "track", "data": data})
    assert (event["type"], event["event"], event["messageId"]) == ("track", "Signed Up", "m-1")
    assert adapt_event({**EVENT, "type": "identify", "data": {"userId": "u", "traits": {"a": 1}}})["traits"] == {"a": 1}


@pytest.mark.parametrize(
    ("members", "person"),
    [
        ({"userid": "u", "anonymousid": "a", "subject": "s", "data": {"userId": "x"}}, ("u", "a")),
        ({"subject": "s", "data": {"userId": "x", "anonymousId": "y"}}, ("x", "y")),
        ({"subject": "s", "data": {"userId": None}}, ("s", None)),
        ({"data": {}}, (None, None)),
    ],
)
def test_who_it_is(members: dict[str, Any], person: tuple[str | None, str | None]) -> None:
    event = adapt_event({**EVENT, **members})
    assert (event.get("userId"), event.get("anonymousId")) == person


def test_events_of_two_sources_may_have_the_same_id() -> None:
    first, second = adapt_event({**EVENT, "source": "/one"}), adapt_event({**EVENT, "source": "/two"})
    assert first["messageId"] != second["messageId"]
    long = adapt_event({**EVENT, "source": "/" + "x" * 300})["messageId"]
    assert long.startswith("ce-")
    assert len(long) < 100


def test_binary_and_structured_forms_are_the_same_event() -> None:
    headers = {f"ce-{name}": value for name, value in EVENT.items()} | {"ce-userid": "u%201"}
    body = write_structured(headers.items(), "application/json", b'{"revenue": 10.10}')
    structured = {**EVENT, "userid": "u 1", "data": {"revenue": 10.10}}
    assert json.loads(adapt_cloudevent(body)) == adapt_event(structured)
    assert b"10.10" in adapt_cloudevent(body)


def test_data_that_are_no_object_are_kept() -> None:
    assert adapt_event({**EVENT, "data": [1, 2]})["properties"] == {"data": [1, 2]}
    assert adapt_event({**EVENT, "data_base64": "eyJhIjogMX0="})["properties"] == {"a": 1}
    assert adapt_event({**EVENT, "data_base64": "/w=="})["properties"] == {"data": "/w=="}
    text = write_structured([("ce-id", "1"), ("ce-type", "x")], "text/plain", b"hello")
    assert json.loads(adapt_cloudevent(text))["properties"] == {"data": "hello"}


@pytest.mark.parametrize("raw", [b"[]", b"1", b'{"a": ', b"\xff", b"{" + b" " * 40_000 + b"}"])
def test_what_cannot_be_read_is_passed_on_as_sent(raw: bytes) -> None:
    assert adapt_cloudevent(raw) == raw


def test_the_steps_take_it() -> None:
    record = collect_one(adapt_cloudevent(json.dumps({**EVENT, "userid": "u"}).encode()))
    assert (record["source"], record["messageId"]) == ("server", "/shop#7")
