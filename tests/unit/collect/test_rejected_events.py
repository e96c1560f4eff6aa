"""Refused events are kept with their reason, bounded, without addresses, and never at the cost of collecting."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError

from rtaplatform.collect.body.draft import EventRefused
from rtaplatform.collect.body.envelope import RequestArrival, read_batch
from rtaplatform.collect.collector import Collector
from rtaplatform.collect.rejected_events import (
    KEPT_BYTES,
    LETTERS_A_SECOND,
    LETTERS_A_SECOND_OF_PROJECT,
    LetterBudget,
    RejectedEvents,
    shorten_text,
)
from rtaplatform.core.errors import UnreadableBody
from rtaplatform.core.events import EVENT_BYTES_MAX
from rtaplatform.telemetry import REGISTRY
from tests.unit.collect.test_collector import Log

ARRIVAL = RequestArrival(received_ms=1_795_341_600_000, route="/v1/batch")
REFUSED = b'{"type": "page", "messageId": "m-1"}'


class Queue:
    """A producer whose queue takes `room` events; it reports all of them with `error` when it is polled."""

    def __init__(self, room: int = 1_000, error: KafkaError | None = None) -> None:
        self.room, self.error = room, error
        self.records: list[dict[str, Any]] = []
        self._reports: list[Any] = []

    def produce(self, topic: str, *, on_delivery: Any, **record: Any) -> None:
        if len(self._reports) >= self.room:
            raise BufferError
        self.records.append({"topic": topic, **record, "headers": dict(record["headers"])})
        self._reports.append(on_delivery)

    def poll(self, _seconds: float) -> None:
        if self.room:
            for report in self._reports:
                report(self.error, None)
            self._reports.clear()


def _make_collector(queue: Any, now: float = 0.0) -> Collector:
    return Collector(Log(), rejected_events=RejectedEvents(lambda _config: queue, {}, LetterBudget(lambda: now)))


def _read_letters(result: str) -> float:
    return REGISTRY.get_sample_value("rta_collect_rejected_letters_total", {"result": result}) or 0.0


async def test_a_refused_event_is_kept_with_its_reason() -> None:
    queue = Queue()
    with pytest.raises(EventRefused):
        await _make_collector(queue).collect_single(REFUSED, "page", "demo", ARRIVAL)
    (letter,) = queue.records
    assert (letter["topic"], letter["key"], letter["value"]) == ("rta.rejected", b"demo", REFUSED)
    assert letter["timestamp"] == ARRIVAL.received_ms
    headers = {name: text.decode() for name, text in letter["headers"].items()}
    assert headers.pop("rta-detail")
    assert headers == {
        "rta-project": "demo", "rta-reason": "missing_identity", "rta-field": "anonymousId",
        "rta-route": "/v1/batch", "rta-message-id": "m-1",
    }  # fmt: skip


async def test_of_a_batch_only_the_refused_events_are_kept() -> None:
    queue, batch = Queue(), b'{"batch":[{"type":"page","userId":"u"},3,{"type":"fax","userId":"u"}]}'
    await _make_collector(queue).collect_batch(read_batch(batch), "demo", ARRIVAL)
    reasons = [(letter["value"], letter["headers"]["rta-reason"]) for letter in queue.records]
    assert reasons == [(b"3", b"not_an_object"), (b'{"type":"fax","userId":"u"}', b"unknown_type")]


@pytest.mark.parametrize(
    ("body", "reason", "field"),
    [
        (b"{", b"not_json", None), (b"NaN", b"not_json", None), (b'{"batch":[]} x', b"not_json", None),
        (b"[]", b"not_an_object", None), (b'"batch"', b"not_an_object", None),
        (b"{}", b"invalid_field", b"batch"), (b'{"batch":{}}', b"invalid_field", b"batch"),
        (b'{"batch":[%s0]}' % (b"0," * 5_000), b"invalid_field", b"batch"),
    ],
)  # fmt: skip
async def test_a_body_without_events_is_kept_too_with_the_reason_that_is_true(
    body: bytes, reason: bytes, field: bytes | None
) -> None:
    queue = Queue()
    with pytest.raises(UnreadableBody) as raised:
        read_batch(body)
    _make_collector(queue).keep_unreadable(body[:20], "demo", ARRIVAL, raised.value)
    letters = [
        (item["value"], item["headers"]["rta-reason"], item["headers"].get("rta-field")) for item in queue.records
    ]
    assert letters == [(body[:20], reason, field)]


async def test_a_full_queue_drops_and_counts_and_refuses_nothing_more() -> None:
    queue, before = Queue(room=0), _read_letters("queue_full")
    with pytest.raises(EventRefused):
        await _make_collector(queue).collect_single(REFUSED, "page", "demo", ARRIVAL)
    assert (queue.records, _read_letters("queue_full") - before) == ([], 1)


async def test_what_kafka_does_not_take_in_time_is_counted() -> None:
    queue, before = Queue(error=KafkaError(KafkaError._MSG_TIMED_OUT)), _read_letters("undelivered")
    with pytest.raises(EventRefused):
        await _make_collector(queue).collect_single(REFUSED, "page", "demo", ARRIVAL)
    assert _read_letters("undelivered") - before == 1


async def test_a_flood_is_kept_up_to_the_budget_of_its_project() -> None:
    queue, before = Queue(10_000), _read_letters("over_budget")
    body = b'{"batch":[' + b",".join([b"3"] * 1_000) + b"]}"
    answer = await _make_collector(queue).collect_batch(read_batch(body), "demo", ARRIVAL)
    assert len(answer["rejected"]) == 1_000
    assert len(queue.records) == LETTERS_A_SECOND_OF_PROJECT
    assert _read_letters("over_budget") - before == 1_000 - LETTERS_A_SECOND_OF_PROJECT


def test_a_budget_is_shared_by_all_projects_and_new_in_each_second() -> None:
    now = [0.0]
    budget = LetterBudget(lambda: now[0])
    assert sum(budget.take(f"p-{n % 20}") for n in range(10_000)) == LETTERS_A_SECOND
    now[0] = 1.0
    assert budget.take("p-1")


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b'{"context":{"ip":"192.0.2.1","a":1}}', b'{"context":{"a":1}}'),
        (b'{"properties":{"email":"a@b","n":1}}', b'{"properties":{"n":1}}'),
        (b'{"context":{"ip" : "192.0.2.1", "a":', b'{"context":{"ip" : "(removed)", "a":'),
        (b'{"email":["a","b"],"n":', b'{"email":"(removed)","n":'),
        (b'{"ip":"192.0.2.', b'{"ip":"(removed)"'),
        (b'{"ip":NaN}', b'{"ip":"(removed)"}'),
        (b'{"user_data":{"address":["x"]},"events":{}}', b'{"events":{}}'),
        (b'{"a":1,"user_data":{"address":[{"city":"x"}],"phone":"y"},"n":', b'{"a":1,'),
        (b'{"a":NaN,"user_data":{"phone":"y"},"n":1}', b'{"a":NaN,"user_data":"(removed)","n":1}'),
        (b'{"ip\\u005foverride":"192.0.2.1","n":1}', b'{"n":1}'),
        (b'{"a":"\\u00e9", "n":1.50}', b'{"a":"\\u00e9", "n":1.50}'),
        (b'{"properties":{"$ip":"192.0.2.1"},"n":', b'{"properties":{"$ip":"(removed)"},"n":'),
        (b'{"\\u0069p":"192.0.2.1","n":', b'{"\\u0069p":"(removed)","n":'),
        (b'{"em\\u0061IL":"a","em\\u0061il":"a@b"', b'{"em\\u0061IL":"a","em\\u0061il":"(removed)"'),
        (b'{"user\\u005Fdata":{"address":[{"city":"x"}]},"n":', b"{"),
        (b"{'context': {'ip': '192.0.2.1', 'a': 1}}", b"{'context': {'ip': \"(removed)\", 'a': 1}}"),
        (b"{'ip': u'192.0.2.1', 'a': 1}", b"{'ip': \"(removed)\", 'a': 1}"),
        (b'{ip: "192.0.2.1", trip: "x"}', b'{ip: "(removed)", trip: "x"}'),
        (b"ip=192.0.2.1&a=1", b'ip="(removed)"&a=1'),
    ],
)
def test_addresses_and_denied_properties_are_not_kept(sent: bytes, expected: bytes) -> None:
    assert shorten_text(sent, frozenset(("email",))) == (expected, False)


def test_a_long_event_is_cut_between_characters() -> None:
    text, is_cut = shorten_text(b'{"a":"' + "é".encode() * 3_000, frozenset())
    assert (is_cut, KEPT_BYTES - 1 <= len(text) <= KEPT_BYTES) == (True, True)
    assert text.decode().endswith("é")


def test_of_a_text_larger_than_an_event_the_values_are_not_read() -> None:
    """A few kilobytes, decompressed, have two million values: to read them blocks the event loop for seconds."""
    sent = b'{"ip":"192.0.2.1","user_data":{"address":{"city":"x"}},"n":[' + b"0," * EVENT_BYTES_MAX + b"0]}"
    assert shorten_text(sent, frozenset()) == (b'{"ip":"(removed)",', True)
