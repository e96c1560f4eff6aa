"""What GA4's Measurement Protocol sends becomes our events, with ids that a repeated request has again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtaplatform.collect.adapters.ga4 import adapt_ga4
from rtaplatform.collect.adapters.ga4_bodies import cut_ga4_body, read_ga4_body
from rtaplatform.collect.adapters.ga4_validation import VALIDATION_CODES, describe_refusals
from rtaplatform.collect.body.draft import DraftRefused
from rtaplatform.collect.body.envelope import EventBatch, draft_batch, read_batch
from rtaplatform.collect.steps.steps import run_steps
from rtaplatform.core.errors import UnreadableBody
from rtaplatform.core.events import Reason
from rtaplatform.core.time.timestamps import read_number_ms
from tests.unit.collect.drafts import make_arrival

MICROS = 1_795_341_600_123_456  # 2026-11-22T10:00:00.123456Z
REQUEST: dict[str, Any] = {"client_id": "1.2", "user_id": "u", "timestamp_micros": MICROS}
PURCHASE = {"name": "purchase", "params": {"transaction_id": "o-1", "value": 12.5, "currency": "EUR"}}
PAGE = {"name": "page_view", "params": {"page_location": "https://s.example/a?utm_source=x", "page_title": "A"}}
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.floats(), st.text(max_size=6)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=8,
)
MEMBERS = st.sampled_from(
    ["client_id", "app_instance_id", "user_id", "timestamp_micros", "user_properties", "device", "ip_override"]
)
EVENTS = st.one_of(
    VALUES,
    st.fixed_dictionaries({"name": st.sampled_from(["page_view", "purchase", "user_engagement", "x"])})
    | st.dictionaries(st.sampled_from(["name", "params", "timestamp_micros"]), VALUES),
)


def adapt(body: bytes) -> EventBatch:
    read = read_ga4_body(body)
    if read is None:
        return adapt_ga4(*cut_ga4_body(body))
    return adapt_ga4(read, read_batch(b'{"batch":%b}' % bytes(read.events)).events)


def adapt_events(*events: Any, **changes: Any) -> list[dict[str, Any]]:
    return [json.loads(raw) for raw in adapt(json.dumps({**REQUEST, **changes, "events": events}).encode()).events]


def collect_events(*events: Any, **changes: Any) -> list[dict[str, Any]]:
    """The records that the steps make of a request."""
    batch = adapt(json.dumps({**REQUEST, **changes, "events": events}).encode())
    ready, refused = run_steps(draft_batch(batch, "demo", make_arrival()), {})
    assert refused == []
    return [json.loads(draft.value) for draft in ready]


def test_an_event_is_a_track_call_of_its_person_and_keeps_its_parameters() -> None:
    parameters = {"method": "x", "session_id": "9", "engagement_time_msec": 100, "debug_mode": 1}
    [record] = collect_events({"name": "login", "params": parameters})
    assert (record["type"], record["event"], record["source"]) == ("track", "login", "server")
    assert (record["anonymousId"], record["userId"]) == ("1.2", "u")
    assert record["timestamp"] == "2026-11-22T10:00:00.123Z"
    assert record["properties"] == {"method": "x", "session_id": "9", "engagement_time_msec": 100, "debug_mode": 1}


def test_a_page_view_is_a_page_call_of_a_visitor_with_its_page() -> None:
    [record] = collect_events(PAGE)
    assert (record["type"], record["name"], record["source"]) == ("page", "A", "web")
    assert record["context"]["page"] == {
        "url": "https://s.example/a?utm_source=x", "title": "A", "path": "/a", "search": "?utm_source=x",
    }  # fmt: skip
    assert record["context"]["campaign"] == {"source": "x"}


def test_an_app_sends_screens_of_its_system() -> None:
    changes = {"client_id": None, "app_instance_id": "i-1", "device": {"operating_system": "Android"}}
    [record] = collect_events({"name": "screen_view", "params": {"screen_name": "Home"}}, **changes)
    assert (record["type"], record["name"], record["source"]) == ("screen", "Home", "android")
    assert record["anonymousId"] == "i-1"


def test_the_visitor_of_a_page_on_a_phone_is_no_app() -> None:
    [record] = collect_events(
        PURCHASE, device={"operating_system": "Android", "browser": "Chrome", "category": "mobile"}
    )
    assert record["source"] == "web"
    assert record["context"]["device"] == {"type": "phone"}


def test_what_the_request_tells_of_its_visitor_is_the_context_of_each_event() -> None:
    device = {
        "category": "smart TV", "language": "de-DE", "screen_resolution": "1280x720", "operating_system": "Tizen",
        "operating_system_version": "7", "model": "Q80", "brand": "Samsung", "browser": "Chrome",
    }  # fmt: skip
    location = {"country_id": "us", "region_id": "US-CA", "city": "Mountain View", "continent_id": "019"}
    changes = {"device": device, "user_location": location, "ip_override": "203.0.113.9", "user_agent": "TV",
               "consent": {"ad_user_data": "DENIED"}}  # fmt: skip
    first, second = collect_events(PURCHASE, PURCHASE, **changes)
    assert first["context"] == second["context"]
    assert first["context"] == {
        "userAgent": "TV", "locale": "de-DE", "screen": {"width": 1280, "height": 720},
        "os": {"name": "Tizen", "version": "7"}, "browser": {"name": "Chrome"},
        "device": {"type": "tv", "manufacturer": "Samsung", "model": "Q80"},
        "location": {"country": "US", "region": "US-CA", "city": "Mountain View"},
        "consent": {"ad_user_data": "DENIED"},
    }  # fmt: skip


def test_user_properties_are_one_identify_call_before_the_events() -> None:
    identify, purchase = adapt_events(PURCHASE, user_properties={"plan": {"value": "pro"}, "seats": {"value": 3}})
    assert (identify["type"], identify["userId"]) == ("identify", "u")
    assert identify["traits"] == {"plan": "pro", "seats": 3}
    assert purchase["event"] == "purchase"
    assert identify["messageId"] != purchase["messageId"]


@pytest.mark.parametrize("nothing", [{}, None, [], "x"])
def test_without_user_properties_there_is_no_identify_call(nothing: Any) -> None:
    assert [event["type"] for event in adapt_events(PURCHASE, user_properties=nothing)] == ["track"]


@pytest.mark.parametrize(
    "event",
    [{"name": "session_start"}, {"name": "first_visit"}, {"name": "first_open"}, {"name": "user_engagement"},
     {"name": "user_engagement", "params": {"engagement_time_msec": 9_999}}],
)  # fmt: skip
def test_what_the_tag_sends_by_itself_is_not_stored(event: dict[str, Any]) -> None:
    assert adapt_events(event) == []


@pytest.mark.parametrize("msec", [31_700, "31700", 31_700.5])
def test_ten_seconds_of_engagement_are_reading_time(msec: Any) -> None:
    [event] = adapt_events({"name": "user_engagement", "params": {"engagement_time_msec": msec}})
    assert (event["event"], event["properties"]) == ("Page Engaged", {"seconds": 31})


@pytest.mark.parametrize(
    ("sent", "time"),
    [
        (MICROS, MICROS // 1_000), (str(MICROS), MICROS // 1_000), (float(MICROS), MICROS // 1_000),
        (MICROS // 1_000, MICROS // 1_000), (MICROS // 10**6, MICROS // 10**6 * 1_000), (MICROS * 1_000, None),
    ],
)  # fmt: skip
def test_times_are_microseconds_and_smaller_numbers_are_what_they_can_be(sent: Any, time: int | None) -> None:
    [event] = adapt_events(PURCHASE, timestamp_micros=sent)
    assert read_number_ms(str(event["timestamp"])) == time


def test_the_time_of_an_event_goes_before_that_of_its_request() -> None:
    later = MICROS + 5_000_000
    of_event, of_parameters = adapt_events(
        {**PURCHASE, "timestamp_micros": later}, {"name": "x", "params": {"timestamp_micros": later}}
    )
    assert (of_event["timestamp"], of_parameters["timestamp"]) == (later // 1_000, later // 1_000)


def test_a_request_that_is_sent_again_has_the_same_ids_and_any_other_has_others() -> None:
    twice = adapt_events(PURCHASE, PURCHASE), adapt_events(PURCHASE, PURCHASE)
    assert twice[0] == twice[1]
    others = [
        *twice[0],
        *adapt_events({**PURCHASE, "name": "refund"}),
        *adapt_events({**PURCHASE, "params": {}}),
        *adapt_events(PURCHASE, timestamp_micros=MICROS + 1_000),
        *adapt_events(PURCHASE, client_id="1.3"),
        *adapt_events(PURCHASE, user_id=None),
    ]
    ids = [event["messageId"] for event in others]
    assert len(set(ids)) == len(ids) == 7
    assert all(len(id) < 64 for id in ids)


def test_without_a_time_the_steps_make_the_id() -> None:
    [event] = adapt_events(PURCHASE, timestamp_micros=None)
    assert event.keys().isdisjoint({"messageId", "timestamp"})
    [record] = collect_events(PURCHASE, timestamp_micros=None)
    assert record["marks"] == ["made_id"]


def test_numbers_keep_their_digits() -> None:
    body = b'{"client_id": "1.2", "events": [{"name": "purchase", "params": {"value": 10.100000000000000001}}]}'
    assert b"10.100000000000000001" in next(iter(adapt(body).events))


def test_half_a_surrogate_pair_costs_no_request() -> None:
    [event] = adapt(b'{"client_id": "1.2", "events": [{"name": "a\\ud83d"}]}').events
    assert json.loads(event)["event"] == "a\ufffd"


@pytest.mark.parametrize("body", [b"", b"[]", b"3", b'{"events": ', b"{}", b'{"events": {}}', b'{"events": null}'])
def test_a_body_without_a_list_of_events_is_refused(body: bytes) -> None:
    with pytest.raises(UnreadableBody):
        adapt(body)


@pytest.mark.parametrize(
    "bad",
    [
        b'{"name": "b", "params": {"n": NaN}}', b'{"name": "b\x01"}', b'{"name": "b\xff"}', b'{"name": "b",}',
        b'{"name": "b"', b'{"name": "b}', b'{"params": {"a": [1}, "name": "b"}',
    ],
)  # fmt: skip
def test_an_event_that_cannot_be_read_costs_no_other(bad: bytes) -> None:
    listed = b'[{"name": "a"}, %b, {"name": "c", "params": {}}]' % bad
    body = b'{"client_id": "1.2", "device": {"category": "mobile"}, "events": %b, "user_id": "u"}' % listed
    ready, refused = run_steps(draft_batch(adapt(body), "demo", make_arrival()), {})
    assert [(draft.values["event"], draft.values["userId"]) for draft in ready] == [("a", "u"), ("c", "u")]
    assert [refusal.index for refusal in refused] == [1]


def test_another_member_that_cannot_be_read_is_left_out() -> None:
    body = b'{"client_id": "1.2", "consent": {"a": NaN}, "events": [{"name": "a"}], "user_id": "u"}'
    ready, refused = run_steps(draft_batch(adapt(body), "demo", make_arrival()), {})
    assert ([draft.values["userId"] for draft in ready], refused) == (["u"], [])


@given(st.dictionaries(MEMBERS, VALUES), st.lists(EVENTS, max_size=4))
def test_whatever_is_sent_each_event_is_left_out_taken_or_refused_and_repeats_itself(
    shared: dict[str, Any], events: list[Any]
) -> None:
    body = json.dumps({**shared, "events": events}).replace("NaN", "0").replace("Infinity", "0").encode()
    batch, again = adapt(body), adapt(body)
    ready, refused = run_steps(draft_batch(batch, "demo", make_arrival()), {})
    left_out = batch.events.left_out  # type: ignore[attr-defined]  # they are adapted events
    assert len(ready) + len(refused) + left_out == len(batch)
    assert len(batch) - len(events) in (0, 1)
    ids = [draft.values.get("messageId") for draft in ready if "made_id" not in draft.marks]
    repeated, _ = run_steps(draft_batch(again, "demo", make_arrival()), {})
    assert ids == [draft.values.get("messageId") for draft in repeated if "made_id" not in draft.marks]
    assert len(set(ids)) == len(ids)


def test_refusals_are_told_with_the_paths_of_the_request_and_each_once() -> None:
    def refuse(reason: Reason, field: str | None) -> DraftRefused:
        return DraftRefused(0, reason, field, "Why.")

    refusals = [
        (-1, refuse(Reason.TOO_LARGE, None)), (0, refuse(Reason.MISSING_EVENT, "event")),
        (1, refuse(Reason.MISSING_IDENTITY, "anonymousId")), (2, refuse(Reason.MISSING_IDENTITY, "anonymousId")),
        (3, refuse(Reason.ID_TOO_LONG, "properties.order_id")), (4, refuse(Reason.NOT_AN_OBJECT, None)),
    ]  # fmt: skip
    messages = describe_refusals(refusals)
    assert [(message["fieldPath"], message["validationCode"]) for message in messages] == [
        ("user_properties", "EXCEEDED_MAX_ENTITIES"), ("events[0].name", "VALUE_REQUIRED"),
        ("client_id", "VALUE_REQUIRED"), ("events[3].params", "VALUE_OUT_OF_BOUNDS"), ("events[4]", "VALUE_INVALID"),
    ]  # fmt: skip
    assert messages[1]["description"] == "Why. (missing_event)"
    assert VALIDATION_CODES.keys() <= set(Reason)


@pytest.mark.parametrize("name", ["client_id", "app_instance_id", "user_id", "timestamp_micros"])
def test_what_each_event_repeats_is_bounded(name: str) -> None:
    """Else a body of megabytes becomes gigabytes: 5,000 events with an id of 4 MB."""
    body = json.dumps({name: "x" * 3_000, "events": [{}]}).encode()
    for sent in (body, body.replace(b"{}", b"{NaN}")):
        with pytest.raises(UnreadableBody) as refused:
            adapt(sent)
        assert refused.value.field == name
