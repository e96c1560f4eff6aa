"""What PostHog's SDKs send becomes our events, for the person that they mean."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest

from rtaplatform.collect.adapters.posthog import adapt_posthog
from rtaplatform.collect.adapters.posthog_bodies import (
    adapt_batch,
    adapt_single,
    find_posthog_keys,
    frame_batch,
    open_body,
)
from rtaplatform.collect.body.envelope import read_batch
from rtaplatform.core.errors import UnreadableBody, UnsupportedEncoding
from tests.unit.collect.drafts import collect_one

BROWSER = {"token": "k", "$device_id": "d-1", "$is_identified": False, "$lib": "web", "$device_type": "Desktop"}
EVENT = {"event": "Signed Up", "distinct_id": "d-1", "uuid": "m-1", "timestamp": "2026-11-22T09:00:00Z"}


def adapt_event(event: dict[str, Any]) -> dict[str, Any] | None:
    raw = adapt_posthog(json.dumps(event).encode())
    return None if raw is None else json.loads(raw)


def adapt_kept_event(event: dict[str, Any]) -> dict[str, Any]:
    answer = adapt_event(event)
    assert answer is not None
    return answer


def test_an_event_of_a_server_is_a_track_call_of_its_user() -> None:
    properties = {"plan": "pro", "$lib": "posthog-python", "$lib_version": "7", "$is_server": True, "$os": "Linux"}
    assert adapt_kept_event({**EVENT, "distinct_id": "u-1", "properties": properties}) == {
        "type": "track",
        "event": "Signed Up",
        "userId": "u-1",
        "messageId": "m-1",
        "timestamp": "2026-11-22T09:00:00Z",
        "properties": {"plan": "pro"},
        "context": {"library": {"name": "posthog-python", "version": "7"}},
    }


@pytest.mark.parametrize(
    ("distinct_id", "properties", "person"),
    [
        ("u", {}, ("u", None)),
        ("r", {"$process_person_profile": False}, (None, "r")),
        ("d-1", BROWSER, (None, "d-1")),
        ("u", {**BROWSER, "$is_identified": True}, ("u", "d-1")),
        ("u", {"$device_id": "d-1", "$user_id": "u"}, ("u", "d-1")),
        ("d-1", {"$device_id": "d-1"}, (None, "d-1")),
        ("u", {"$device_id": "d-1"}, ("u", "d-1")),
    ],
)
def test_who_it_is(distinct_id: str, properties: dict[str, Any], person: tuple[str | None, str | None]) -> None:
    event = adapt_kept_event({**EVENT, "distinct_id": distinct_id, "properties": properties})
    assert (event.get("userId"), event.get("anonymousId")) == person


def test_a_page_view_is_a_page_call_with_its_page() -> None:
    properties = {
        **BROWSER, "$current_url": "https://shop.example/a?utm_source=x", "$referrer": "https://t.example/",
        "title": "A", "$screen_width": 1280, "color": "red",
    }  # fmt: skip
    event = adapt_kept_event({**EVENT, "event": "$pageview", "properties": properties})
    assert (event["type"], event["name"], event["properties"]) == ("page", "A", {"title": "A", "color": "red"})
    assert event["context"]["page"] == {
        "url": "https://shop.example/a?utm_source=x", "referrer": "https://t.example/", "title": "A", "path": "/a",
        "search": "?utm_source=x",
    }  # fmt: skip
    direct = adapt_kept_event({**EVENT, "event": "$pageview", "properties": {**BROWSER, "$referrer": "$direct"}})
    assert "page" not in direct["context"]


def test_identify_alias_group_and_screen() -> None:
    sent = {"$anon_distinct_id": "d-1", "$set": {"plan": "pro"}, "$set_once": {"plan": "free", "first": 1}}
    identify = adapt_kept_event({**EVENT, "event": "$identify", "distinct_id": "u", "properties": sent})
    assert (identify["type"], identify["userId"], identify["anonymousId"]) == ("identify", "u", "d-1")
    assert identify["traits"] == {"plan": "pro", "first": 1}
    of_server = adapt_kept_event({**EVENT, "event": "$set", "distinct_id": "u", "$set": {"plan": "pro"}})
    assert (of_server["type"], of_server["traits"]) == ("identify", {"plan": "pro"})
    alias = adapt_kept_event({**EVENT, "event": "$create_alias", "distinct_id": "old", "properties": {"alias": "new"}})
    assert (alias["type"], alias["previousId"], alias["userId"]) == ("alias", "old", "new")
    assert "anonymousId" not in alias
    group = {**BROWSER, "$group_key": "acme", "$group_set": {"n": 1}}
    assert adapt_kept_event({**EVENT, "event": "$groupidentify", "properties": group})["groupId"] == "acme"
    assert adapt_kept_event({**EVENT, "event": "$screen", "properties": {"$screen_name": "Home"}})["name"] == "Home"


@pytest.mark.parametrize(
    ("event", "properties"),
    [
        ("$snapshot", {}), ("$web_vitals", BROWSER), ("$groupidentify", {"$group_key": "acme"}),
        ("$pageleave", {"$prev_pageview_duration": 9.9}), ("$pageleave", {}),
    ],
)  # fmt: skip
def test_what_is_no_act_of_a_visitor_is_not_stored(event: str, properties: dict[str, Any]) -> None:
    assert adapt_event({**EVENT, "event": event, "properties": properties}) is None


def test_leaving_a_page_that_was_read_is_reading_time() -> None:
    event = adapt_kept_event({**EVENT, "event": "$pageleave", "properties": {"$prev_pageview_duration": 31.7}})
    assert (event["event"], event["properties"]) == ("Page Engaged", {"seconds": 31})


def test_numbers_keep_their_digits() -> None:
    raw = b'{"event": "Order Completed", "distinct_id": "u", "properties": {"revenue": 10.100000000000000001}}'
    assert b"10.100000000000000001" in (adapt_posthog(raw) or b"")


def _as_form(event: dict[str, Any]) -> bytes:
    return b"data=" + quote(base64.b64encode(json.dumps(event).encode()).decode()).encode()


@pytest.mark.parametrize(
    ("body", "keys", "count"),
    [
        (json.dumps({**EVENT, "api_key": "k"}).encode(), ["k"], None),
        (json.dumps({**EVENT, "properties": {"token": "k"}}).encode(), ["k"], None),
        (_as_form({**EVENT, "properties": {"token": "k"}}), ["k"], None),
        (base64.b64encode(json.dumps([{**EVENT, "properties": {"token": "k"}}] * 2).encode()), ["k"], 2),
        (json.dumps([{**EVENT, "properties": {"token": "k"}}] * 3).encode(), ["k"], 3),
        (json.dumps({"api_key": "k", "batch": [EVENT] * 2}).encode(), ["k"], 2),
        (b'{"api_key": "k", "batch": [{"event": NaN}, {"event": "x", "distinct_id": "u"}]}', ["k"], 2),
        (b"{}", [], None),
        (b"[]", [], 0),
    ],
)
def test_bodies_their_keys_and_their_events(body: bytes, keys: list[str], count: int | None) -> None:
    text = open_body(body, None)
    assert find_posthog_keys(text) == keys
    framed = frame_batch(text)
    assert (None if framed is None else len(adapt_batch(read_batch(framed), text))) == count


def test_a_time_at_which_it_was_sent_is_that_of_the_batch() -> None:
    sent = json.dumps({"sent_at": "2026-11-22T09:00:01Z", "batch": [EVENT]}).encode()
    assert adapt_batch(read_batch(sent), sent).sent_at == "2026-11-22T09:00:01Z"
    assert adapt_single(sent).sent_at == "2026-11-22T09:00:01Z"


def test_bodies_that_cannot_be_opened_are_refused() -> None:
    with pytest.raises(UnreadableBody):
        open_body(b"data=%%%", None)
    with pytest.raises(UnreadableBody):
        open_body(b"data=a" + b"&b=c" * 30, None)
    with pytest.raises(UnsupportedEncoding):
        open_body(b"x", "lz64")


def test_the_steps_take_it() -> None:
    raw = adapt_posthog(json.dumps({**EVENT, "properties": BROWSER}).encode()) or b""
    record = collect_one(raw, is_from_browser=True)
    assert (record["source"], record["anonymousId"]) == ("web", "d-1")
