"""What the scripts of Plausible and Umami send becomes our events, of a visitor who has an id for a day."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rtaplatform.collect.adapters.plausible import adapt_plausible
from rtaplatform.collect.adapters.umami import adapt_umami, find_umami_client, find_umami_keys
from rtaplatform.collect.adapters.visitor_ids import name_visitor

PAYLOAD = {"website": "k", "hostname": "shop.example", "url": "/a?x=1", "title": "A", "screen": "1280x720"}


def adapt_plausible_event(body: dict[str, Any]) -> dict[str, Any] | None:
    raw = adapt_plausible(json.dumps(body).encode(), "v-1")
    return None if raw is None else json.loads(raw)


def adapt_umami_event(body: dict[str, Any]) -> dict[str, Any] | None:
    raw = adapt_umami(json.dumps(body).encode(), "v-1")
    return None if raw is None else json.loads(raw)


def test_plausible_s_page_view_is_a_page_call() -> None:
    sent = {"n": "pageview", "u": "https://shop.example/a?utm_source=x", "d": "shop.example", "r": None, "w": 1280}
    assert adapt_plausible_event(sent) == {
        "type": "page",
        "anonymousId": "v-1",
        "context": {
            "page": {"url": "https://shop.example/a?utm_source=x", "path": "/a", "search": "?utm_source=x"},
            "screen": {"width": 1280},
        },
    }


def test_plausible_s_other_events_are_track_calls_with_properties_and_revenue() -> None:
    short = {"n": "Buy", "u": "https://s.example/", "p": {"plan": "pro"}, "$": {"amount": "10.29", "currency": "EUR"}}
    long = {"name": "Buy", "url": "https://s.example/", "props": '{"plan": "pro"}',
            "revenue": {"amount": "10.29", "currency": "EUR"}}  # fmt: skip
    for sent in (short, long):
        event = adapt_plausible_event(sent)
        assert event is not None
        assert (event["type"], event["event"]) == ("track", "Buy")
        assert event["properties"] == {"plan": "pro", "revenue": "10.29", "currency": "EUR"}


def test_a_page_told_by_what_is_after_the_hash_has_it_in_its_path() -> None:
    event = adapt_plausible_event({"n": "pageview", "u": "https://s.example/app#/cart", "h": 1})
    assert event is not None
    assert event["context"]["page"]["path"] == "/app#/cart"


@pytest.mark.parametrize(("engaged_ms", "seconds"), [(9_999, None), (10_000, 10), (61_500, 61)])
def test_plausible_s_engagement_is_reading_time_from_ten_seconds_on(engaged_ms: int, seconds: int | None) -> None:
    event = adapt_plausible_event({"n": "engagement", "u": "https://s.example/", "e": engaged_ms, "sd": 50})
    assert (event and event["properties"]["seconds"]) == seconds


def test_umami_s_page_view_has_its_full_address() -> None:
    event = adapt_umami_event({"type": "event", "payload": {**PAYLOAD, "referrer": "/before", "language": "de-DE"}})
    assert event == {
        "type": "page",
        "anonymousId": "v-1",
        "context": {
            "page": {"url": "https://shop.example/a?x=1", "title": "A", "path": "/a", "search": "?x=1"},
            "screen": {"width": 1280, "height": 720},
            "locale": "de-DE",
        },
    }


def test_umami_s_events_and_people() -> None:
    event = adapt_umami_event(
        {"type": "event", "payload": {**PAYLOAD, "name": "Buy", "data": {"plan": "pro"}, "tag": "b"}}
    )
    assert event is not None
    assert (event["type"], event["event"], event["properties"]) == ("track", "Buy", {"plan": "pro", "tag": "b"})
    person = adapt_umami_event({"type": "identify", "payload": {**PAYLOAD, "id": "u-1", "data": {"plan": "pro"}}})
    assert person is not None
    assert (person["type"], person["userId"], person["traits"]) == ("identify", "u-1", {"plan": "pro"})
    assert adapt_umami_event({"type": "performance", "payload": PAYLOAD}) is None


def test_umami_s_website_is_the_key_and_a_server_names_its_visitor() -> None:
    body = json.dumps({"type": "event", "payload": {**PAYLOAD, "ip": "203.0.113.9", "userAgent": "x"}}).encode()
    assert find_umami_keys(body) == ["k"]
    assert find_umami_client(body) == ("203.0.113.9", "x")
    assert find_umami_keys(b"[]") == []


@pytest.mark.parametrize("raw", [b"[]", b"1", b'{"n": ', b"\xff", b"{" + b" " * 40_000 + b"}"])
def test_what_cannot_be_read_is_passed_on_as_sent(raw: bytes) -> None:
    assert adapt_plausible(raw, "v") == raw
    assert adapt_umami(raw, "v") == raw


def test_a_visitor_has_one_id_a_day_and_another_for_anybody_else() -> None:
    name = name_visitor(b"salt", "demo", "203.0.113.9", "Firefox")
    assert name == name_visitor(b"salt", "demo", "203.0.113.9", "Firefox")
    others = {
        name_visitor(b"other", "demo", "203.0.113.9", "Firefox"),
        name_visitor(b"salt", "shop", "203.0.113.9", "Firefox"),
        name_visitor(b"salt", "demo", "203.0.113.8", "Firefox"),
        name_visitor(b"salt", "demo", "203.0.113.9", "Chrome"),
        name_visitor(b"salt", "demo", "203.0.113.9Firefox", ""),
    }
    assert len(others | {name}) == 6
    assert "203" not in name
