"""What the steps add to an event's context, and what they leave as the client has sent it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rtaplatform.collect.body.draft import RequestClient
from rtaplatform.collect.enrich.locations import NOWHERE, VisitorLocation
from rtaplatform.collect.enrich.user_agents import read_hints
from tests.unit.collect.drafts import TRACK, collect_batch, collect_one, collect_or_refuse

IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)
BERLIN = VisitorLocation("DE", "DE-BE")


def collect_context(
    context: dict[str, Any], *, properties: dict[str, Any] | None = None, **request: Any
) -> dict[str, Any]:
    event = {**TRACK, "context": context, **({"properties": properties} if properties else {})}
    return collect_one(event, **request).get("context", {})  # type: ignore[no-any-return]


def test_a_browsers_request_tells_device_system_and_browser() -> None:
    context = collect_context({}, is_from_browser=True, user_agent=IPHONE)
    assert context["device"] == {"type": "phone"}
    assert context["os"] == {"name": "iOS"}
    assert context["browser"] == {"name": "Safari"}


def test_what_the_client_says_itself_stays_and_keeps_its_digits() -> None:
    body = b"""{"event": "x", "anonymousId": "a", "context": {"device": {"type": "kiosk", "n": 1.50},
        "os": {"name": "BeOS"},
        "browser": "Own", "locale": "fr", "location": {"country": "IT", "lat": 1e2}, "channel": "own"}}"""
    client = RequestClient("de", read_hints("?1", '"Android"'), BERLIN)
    record = collect_or_refuse(body, is_from_browser=True, user_agent=IPHONE, client=client)
    assert isinstance(record, dict)
    assert record["context"] == json.loads(body)["context"]


def test_members_beside_what_is_added_stay() -> None:
    context = collect_context({"device": {"id": "d-1", "type": ""}}, is_from_browser=True, user_agent=IPHONE)
    assert context["device"] == {"id": "d-1", "type": "phone"}


def test_the_request_of_a_server_tells_nothing_about_its_visitors() -> None:
    client = RequestClient("de", location=BERLIN)
    assert collect_context({}, user_agent=IPHONE, client=client) == {}
    assert collect_context({"userAgent": IPHONE}, client=client)["device"] == {"type": "phone"}


@pytest.mark.parametrize(("model", "device"), [("iPhone15,2", "phone"), ("iPad13,4", "tablet")])
def test_an_app_names_its_system_as_the_device_and_gets_the_kind(model: str, device: str) -> None:
    context = collect_context({"device": {"type": "ios", "model": model, "id": "d"}, "os": {"name": "iOS"}})
    assert context["device"] == {"type": device, "model": model, "id": "d"}


def test_the_location_of_the_request_is_that_of_browsers_and_apps() -> None:
    client = RequestClient(location=BERLIN)
    assert collect_context({}, is_from_browser=True, client=client)["location"] == {"country": "DE", "region": "DE-BE"}
    assert collect_context({"device": {"type": "android"}}, client=client)["location"]["country"] == "DE"


def test_an_address_in_the_event_is_looked_up_and_never_stored() -> None:
    addresses = {"203.0.113.9": BERLIN}
    client = RequestClient(
        location=VisitorLocation("US", ""), find_location=lambda address: addresses.get(address, NOWHERE)
    )
    record = collect_one({**TRACK, "context": {"ip": "203.0.113.9"}}, client=client)
    assert record["context"] == {"location": {"country": "DE", "region": "DE-BE"}}
    assert "203.0.113.9" not in json.dumps(record)


def test_the_preferred_language_becomes_the_locale() -> None:
    assert collect_context({}, is_from_browser=True, client=RequestClient("de-CH,de;q=0.9"))["locale"] == "de-CH"


def test_the_address_of_a_page_has_the_campaign() -> None:
    page = {"url": "https://shop.example/?utm_source=may&utm_medium=email", "referrer": "https://mail.google.com/"}
    context = collect_context({"page": page})
    assert context["campaign"] == {"source": "may", "medium": "email"}
    assert context["referrer"] == {"host": "mail.google.com"}
    assert context["channel"] == "email"


def test_an_id_of_a_click_names_the_source() -> None:
    context = collect_context({"page": {"url": "https://shop.example/?gclid=abc"}})
    assert (context["campaign"], context["channel"]) == ({"source": "google"}, "paid")


def test_a_campaign_that_the_client_names_stays() -> None:
    page = {"url": "https://shop.example/?utm_source=may"}
    context = collect_context({"page": page, "campaign": {"source": "own", "medium": "cpc"}})
    assert (context["campaign"], context["channel"]) == ({"source": "own", "medium": "cpc"}, "paid")


def test_a_link_within_the_site_is_no_origin() -> None:
    page = {"url": "https://www.shop.example/b", "referrer": "https://shop.example/a"}
    context = collect_context({"page": page})
    assert "channel" not in context
    assert "referrer" not in context


def test_a_page_without_a_referrer_is_a_direct_visit() -> None:
    assert collect_context({"page": {"url": "https://shop.example/"}})["channel"] == "direct"


def test_an_event_without_a_page_has_no_channel() -> None:
    assert "context" not in collect_one({**TRACK, "source": "web"})


def test_a_batch_of_one_page_is_enriched_event_by_event() -> None:
    records, _ = collect_batch(
        {
            "context": {"page": {"url": "https://shop.example/?utm_source=may"}},
            "batch": [{**TRACK, "type": "track"}, {**TRACK, "type": "track", "context": {"page": {"url": "https://shop.example/"}}}],
        },
        is_from_browser=True,
        user_agent=IPHONE,
    )  # fmt: skip
    assert [record["context"].get("campaign") for record in records] == [{"source": "may"}, None]
    assert [record["context"]["device"]["type"] for record in records] == ["phone", "phone"]


@pytest.mark.parametrize("context", [{"device": []}, {"device": "x"}, {"page": 3}, {"os": {"name": 4}}, {"ip": 4}])
def test_contexts_of_other_shapes_pass(context: dict[str, Any]) -> None:
    client = RequestClient("de", location=BERLIN, find_location=lambda _: BERLIN)
    assert isinstance(
        collect_or_refuse({**TRACK, "context": context}, is_from_browser=True, user_agent=IPHONE, client=client), dict
    )


def test_denied_properties_are_not_stored() -> None:
    event = {
        **TRACK,
        "properties": {"email": "a@b.example", "price": 1},
        "traits": {"email": "a@b.example"},
        "context": {"traits": {"email": "a@b.example", "plan": "pro"}},
    }
    record = collect_one(event, denied=frozenset(["email"]))
    assert record["properties"] == {"price": 1}
    assert record["traits"] == {}
    assert record["context"]["traits"] == {"plan": "pro"}
