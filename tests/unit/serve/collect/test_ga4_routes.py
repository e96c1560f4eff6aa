"""The routes of GA4's Measurement Protocol: their key, their answers, what reaches Kafka, what is kept."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from rtaplatform.collect.body.draft import CollectedRecord, Draft, DraftRefused
from rtaplatform.collect.collector import Collector
from rtaplatform.collect.rejected_events import RejectedEvents, shorten_text
from rtaplatform.telemetry import REGISTRY
from tests.unit.serve.parts_of_tests import Reply, Site

QUERY = b"measurement_id=G-1&api_secret=writer"
PURCHASE = {"name": "purchase", "params": {"transaction_id": "o-1", "value": 12.5, "currency": "EUR"}}
REQUEST: dict[str, Any] = {"client_id": "1.2", "events": [PURCHASE]}


class Log:
    def __init__(self) -> None:
        self.values: list[dict[str, Any]] = []

    async def append(self, records: Sequence[CollectedRecord]) -> None:
        self.values += [json.loads(record.value) for record in records]


class Letters(RejectedEvents):
    """The refused events that would be kept."""

    def __init__(self) -> None:
        self.letters: list[tuple[Draft, DraftRefused]] = []

    def keep(self, refusals: Iterable[tuple[Draft, DraftRefused]]) -> None:
        self.letters += refusals


class Collecting(Site):
    def __init__(self) -> None:
        self.log, self.letters = Log(), Letters()
        super().__init__(collector=Collector(self.log, rejected_events=self.letters))

    async def post(self, body: Any, path: str = "/mp/collect", query: bytes = QUERY, **headers: str) -> Reply:
        return await self.ask_raw("POST", path, query, key=None, body=body, headers=headers)


@pytest.fixture(scope="module")
def module_site() -> Collecting:
    return Collecting()


@pytest.fixture
def site(module_site: Collecting) -> Collecting:
    module_site.log.values.clear()
    module_site.letters.letters.clear()
    return module_site


def count_signal(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"rta_collect_{name}_total", labels) or 0.0


@pytest.mark.parametrize("query", [QUERY, b"firebase_app_id=1:2&api_secret=writer", b"writeKey=writer"])
async def test_the_secret_is_the_key_and_the_answer_is_as_google_gives_it(site: Collecting, query: bytes) -> None:
    reply = await site.post(REQUEST, query=query)
    assert (reply.status, reply.body) == (204, b"")
    [record] = site.log.values
    assert (record["projectId"], record["event"], record["anonymousId"]) == ("demo", "purchase", "1.2")


@pytest.mark.parametrize("path", ["/mp/collect", "/debug/mp/collect"])
@pytest.mark.parametrize("query", [b"", b"api_secret=wrong", b"api_secret=", b"measurement_id=writer"])
async def test_no_key_no_event(site: Collecting, path: str, query: bytes) -> None:
    reply = await site.post(REQUEST, path, query)
    assert (reply.status, site.log.values, site.letters.letters) == (401, [], [])
    assert "`api_secret`" in reply.json["hint"]
    assert reply.headers["access-control-allow-origin"] == "*"


async def test_what_is_refused_is_kept_and_the_rest_is_stored(site: Collecting) -> None:
    reply = await site.post({**REQUEST, "events": [PURCHASE, {"params": {}}, 3]})
    assert (reply.status, reply.body) == (204, b"")
    assert [record["event"] for record in site.log.values] == ["purchase"]
    assert [refused.reason.value for _, refused in site.letters.letters] == ["missing_event", "not_an_object"]
    assert {draft.request.route for draft, _ in site.letters.letters} == {"/mp/collect"}


async def test_a_body_that_cannot_be_read_is_refused_and_kept(site: Collecting) -> None:
    reply = await site.post(b'{"client_id": "1.2", "ip_override": "203.0.113.9", "events": [')
    assert (reply.status, reply.json["code"]) == (400, "unreadable-body")
    [(draft, refused)] = site.letters.letters
    assert refused.reason.value == "not_json"
    assert b"203.0.113.9" not in shorten_text(draft.raw, frozenset())[0]
    assert (await site.post({"client_id": "1.2"})).json["field"] == "events"
    assert site.letters.letters[-1][1].reason.value == "invalid_field"


async def test_an_event_that_cannot_be_read_is_refused_alone(site: Collecting) -> None:
    body = b'{"client_id": "1.2", "events": [{"name": "a"}, {"name": "b", "params": {"n": NaN}}, {"name": "c"}]}'
    assert (await site.post(body)).status == 204
    assert [record["event"] for record in site.log.values] == ["a", "c"]
    assert [refused.reason.value for _, refused in site.letters.letters] == ["not_json"]
    [message] = (await site.post(body, "/debug/mp/collect")).json["validationMessages"]
    assert message["fieldPath"] == "events[1]"


async def test_too_many_events_are_told_by_the_name_of_their_list(site: Collecting) -> None:
    reply = await site.post({"client_id": "1.2", "events": [{"name": "a"}] * 5_001})
    assert (reply.status, reply.json["field"], reply.json["allowed"]) == (400, "events", {"maxItems": 5_000})


async def test_what_is_left_out_is_counted(site: Collecting) -> None:
    before = count_signal("left_out", protocol="ga4")
    await site.post({**REQUEST, "events": [{"name": "session_start"}, {"name": "first_visit"}, PURCHASE]})
    assert count_signal("left_out", protocol="ga4") - before == 2
    assert len(site.log.values) == 1


async def test_a_browser_is_answered_so_that_its_page_may_read_it(site: Collecting) -> None:
    reply = await site.post(REQUEST, origin="https://shop.example")
    assert reply.headers["access-control-allow-origin"] == "https://shop.example"
    assert site.log.values[0]["source"] == "web"


async def test_the_validation_tells_what_would_be_refused_and_stores_nothing(site: Collecting) -> None:
    before = count_signal("received")
    sent = {"user_properties": {"plan": {"value": "pro"}}, "events": [{"name": "session_start"}, PURCHASE, {}]}
    reply = await site.post(sent, "/debug/mp/collect")
    assert reply.status == 200
    messages = [(message["fieldPath"], message["validationCode"]) for message in reply.json["validationMessages"]]
    assert messages == [("client_id", "VALUE_REQUIRED"), ("events[2].name", "VALUE_REQUIRED")]
    assert (site.log.values, site.letters.letters, count_signal("received") - before) == ([], [], 0)


async def test_the_validation_of_a_good_request_says_nothing(site: Collecting) -> None:
    assert (await site.post(REQUEST, "/debug/mp/collect")).json == {"validationMessages": []}
    assert (await site.post(b"[]", "/debug/mp/collect")).status == 400
