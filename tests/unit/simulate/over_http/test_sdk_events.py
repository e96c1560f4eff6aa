"""What SDKs send becomes, in the real collector, the records that the truth was counted from; broken events do not."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import pytest

from rtaplatform.collect.body.draft import CollectedRecord
from rtaplatform.collect.collector import Collector
from rtaplatform.simulate.oracle.oracle import recount
from rtaplatform.simulate.over_http.http_lane import CollectorAnswer, check_answer
from rtaplatform.simulate.over_http.http_run import draw_sdk_events
from rtaplatform.simulate.over_http.refused_events import REFUSALS
from rtaplatform.simulate.over_http.sdk_events import SdkEvent
from rtaplatform.simulate.over_http.sdk_outbox import SdkOutbox
from rtaplatform.simulate.over_http.sdk_requests import SdkRequest
from rtaplatform.simulate.sent_truth import SentLog
from rtaplatform.simulate.shop.plan import SimulationPlan
from rtaplatform.simulate.shop.records import TOPICS, SimulatedRecord
from tests.unit.serve.parts_of_tests import Site

DAY_MS = 86_400_000
NOW_MS = time.time_ns() // 1_000_000 // DAY_MS * DAY_MS - DAY_MS // 2  # yesterday at noon: at night few people come
PLAN = SimulationPlan(NOW_MS, rate=0, events_max=4_000, malformed=0.05, users=300)
KEY = "writer"


class Log:
    def __init__(self) -> None:
        self.records: list[CollectedRecord] = []

    async def append(self, records: Sequence[CollectedRecord]) -> None:
        self.records += records


@pytest.fixture(scope="module")
def requests() -> list[SdkRequest]:
    """All events, as if they happened within one and a half minutes, so that SDKs hold some."""
    outbox, sdk_requests = SdkOutbox(KEY), list[SdkRequest]()
    for number, event in enumerate(draw_sdk_events(PLAN)):
        sdk_requests += outbox.add(event, number * 20)
        sdk_requests += outbox.take_due(number * 20)
    return sdk_requests + outbox.take_all()


def recount_truth(records: Iterable[SimulatedRecord]) -> dict[str, Any]:
    log = SentLog(dict.fromkeys(TOPICS, 4))
    at_once = (log.assign_offset(record._replace(timestamp=NOW_MS)) for record in records)
    return recount(at_once, projects={"demo": {"zone": "Europe/Berlin", "currency": "EUR"}}).as_dict()


async def test_the_collector_makes_of_all_requests_the_records_of_the_truth(requests: list[SdkRequest]) -> None:
    log = Log()
    site = Site(collector=Collector(log))
    for request in requests:
        path, _, query = request.path.partition("?")
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = request.make_body(time.time_ns() // 1_000_000)
        reply = await site.ask_raw("POST", path, query.encode(), key=None, body=body, headers=headers)
        check_answer(request, CollectorAnswer(reply.status, body=reply.body))
    events = [event for request in requests for event in request.events if not event.refusal]
    collected = [SimulatedRecord(record.topic, record.key, record.value, record.timestamp_ms) for record in log.records]
    assert [(record.topic, record.key) for record in collected] == [
        (event.collected.topic, event.collected.key) for event in events
    ]
    expected = recount_truth(event.collected for event in events)
    assert recount_truth(collected) == expected
    assert all(expected["projects"]["demo"][name] for name in ("bot_events", "sessions", "buyers"))


def test_requests_have_all_forms(requests: list[SdkRequest]) -> None:
    paths = Counter(request.path.partition("?")[0] for request in requests)
    assert paths.keys() >= {"/v1/batch", "/v1/b", "/beacon/v1/batch", "/v1/p", "/v1/t", "/v1/i"}
    sizes = {source: [len(r.events) for r in requests if r.events[0].source == source] for source in ("web", "ios")}
    assert all(max(of) > 1 for of in sizes.values())
    assert sum(len(request.events) for request in requests) == PLAN.events_max


def test_every_refusal_occurs_beside_good_events(requests: list[SdkRequest]) -> None:
    refused = {event.refusal for request in requests for event in request.events} - {""}
    assert refused == {reason for reason, _ in REFUSALS}
    assert any({bool(event.refusal) for event in request.events} == {True, False} for request in requests)


def test_a_repeated_body_differs_in_its_time_of_sending_alone(requests: list[SdkRequest]) -> None:
    request = next(request for request in requests if request.path == "/v1/t")
    first, again = (msgspec.json.decode(request.make_body(now)) for now in (NOW_MS, NOW_MS + 90_000))
    assert first.pop("sentAt") != again.pop("sentAt")
    assert first == again


def test_events_do_not_say_what_the_collector_finds_out() -> None:
    pages = [event for event in draw_sdk_events(PLAN) if event.source == "web" and not event.refusal]
    for sent in map(_decode, pages):
        assert sent.keys().isdisjoint({"projectId", "source", "receivedAt", "marks"})
        assert sent["context"].keys().isdisjoint({"device", "os", "browser", "campaign", "channel", "locale"})
    assert any("utm_source=" in _decode(event)["context"]["page"]["url"] for event in pages)


def test_bots_of_all_kinds_come() -> None:
    """At noon of one certain day: few visitors are bots, and which of them come depends on the hour."""
    plan = SimulationPlan(1_796_040_000_000, rate=0, events_max=20_000, users=300)
    agents = {event.agent for event in draw_sdk_events(plan)}
    for name in ("Googlebot", "HeadlessChrome", "AhrefsBot"):
        assert any(name in agent for agent in agents), name


def test_the_same_seed_makes_the_same_events() -> None:
    assert list(draw_sdk_events(PLAN)) == list(draw_sdk_events(PLAN))


def _decode(event: SdkEvent) -> dict[str, Any]:
    sent: dict[str, Any] = msgspec.json.decode(event.body)
    return sent
