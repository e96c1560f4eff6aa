"""Collector and workers agree: what the collector accepts every worker counts, and the other way round."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtaplatform.collect.body.draft import Draft, DraftRefused
from rtaplatform.collect.body.envelope import RequestArrival, draft_batch, draft_single, read_batch
from rtaplatform.collect.steps.steps import run_steps
from rtaplatform.core.errors import Quarantined
from rtaplatform.core.events import COMMERCE_EVENTS, Reason
from rtaplatform.core.values.commerce_names import FOREIGN_EVENTS
from rtaplatform.process.decode.commerce import read_commerce
from rtaplatform.process.decode.fast import read_event
from tests.examples import count_examples
from tests.unit.process.decode.odd_records import Json, write_text

NOW_MS = 1_795_341_600_000
NUMBERS = st.one_of(
    st.integers(-(10**13), 10**13),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["1", "12.50", "+1", ".5", "5.", "1e3", "-0", " 1", "1e999999", "4e11", "9" * 101, "0x1", "", "٣"]),
    st.sampled_from(
        [Json("1." + "0" * 120), Json("1." + "0" * 1_200), Json("9" * 121), Json("1e400"), Json("7" * 5_000)]
    ),
)
LOOSE = st.one_of(
    st.none(),
    st.booleans(),
    NUMBERS,
    st.text(max_size=8),
    st.just([]),
    st.just({}),
    st.sampled_from([False, "", Json("[ ]"), Json('"\\\\ud83d"'), Json('"a\\\\tb"')]),
    st.lists(st.integers(), max_size=2),
)
LINES = st.one_of(
    LOOSE,
    st.lists(st.one_of(LOOSE, st.fixed_dictionaries({}, optional={"price": NUMBERS, "quantity": LOOSE})), max_size=3),
)
IDS = st.one_of(
    LOOSE,
    st.sampled_from(["x" * 256, "x" * 257, "ä" * 128, "ä" * 129, "😀" * 64, "a\tb" * 64, "a\tb" * 86, "\u0000" * 257]),
    st.sampled_from([Json("7" * 256), Json("7" * 257), Json('"' + "\\\\u0041" * 256 + '"'), Json("-0"), Json("1e5")]),
)
PROPERTIES = st.one_of(
    LOOSE,
    st.fixed_dictionaries(
        {},
        optional={
            "price": LOOSE, "quantity": NUMBERS, "revenue": LOOSE, "total": LOOSE, "products": LINES, "product_id": IDS,
            "order_id": IDS, "currency": LOOSE, "transaction_id": IDS, "id": IDS, "items": LINES, "value": LOOSE,
        },
    ),
)  # fmt: skip


def nest(levels: int) -> Json:
    return Json('{"a":' * levels + "1" + "}" * levels)


def widen(keys: int) -> Json:
    return Json("{" + ",".join(f'"k{n}":0' for n in range(keys)) + "}")


SHAPES: st.SearchStrategy[Any] = st.sampled_from(
    [*map(nest, (29, 30, 31, 32, 40)), *map(widen, (400, 600, 999, 1_000, 1_001)), {"x": "y" * 8_000},
     {"x": "y" * 3_000}, {"ip": "192.0.2.1"}, {"userAgent": "Googlebot/2.1"}, [], "", False, 5, "x", None,
     Json('"\\xff"'), Json("[" * 33 + "]" * 33)]
)  # fmt: skip
TIMES = st.one_of(
    LOOSE,
    st.sampled_from(
        ["2026-11-22", "2026-11-22T10:00:00+25:00", "1969-12-31", "9999-12-31T23:59:59Z", "2026-11-22 10:00Z"]
    ),
)
EVENTS = st.fixed_dictionaries(
    {
        "event": st.one_of(
            LOOSE,
            st.sampled_from([*FOREIGN_EVENTS]),
            st.sampled_from(["Order Completed", "Product Viewed", "Order\tCompleted", "Order\x01Completed", "x"]),
        )
    },
    optional={
        "anonymousId": IDS, "userId": IDS, "messageId": IDS, "properties": PROPERTIES, "extra": SHAPES,
        "context": st.one_of(LOOSE, SHAPES), "integrations": st.one_of(LOOSE, SHAPES),
        "timestamp": TIMES, "originalTimestamp": TIMES, "sentAt": TIMES, "marks": LOOSE, "source": LOOSE, "type": LOOSE,
        "projectId": LOOSE, "traits": LOOSE,
    },
)  # fmt: skip


def collect(body: bytes) -> Draft | DraftRefused:
    ready, refused = run_steps([draft_single(body, "track", "demo", RequestArrival(NOW_MS))], {})
    return ready[0] if ready else refused[0]


def find_reason_of_worker(value: bytes, *, was_collected: bool = False) -> Reason | None:
    try:
        event = read_event(value, topic_source="web", record_timestamp_ms=NOW_MS, was_collected=was_collected)
        if event.name in COMMERCE_EVENTS:
            read_commerce(event.dimensions.sent_name, event.properties, "EUR")
    except Quarantined as error:
        return Reason(error.reason)
    return Reason.TIME_IN_FUTURE if event.time_ms > NOW_MS + 300_000 else None


def encode_value(value: Any) -> bytes:
    """As JSON, with a byte that is no UTF-8 where there is U+00FF in `Json`."""
    return write_text(value).encode(errors="surrogatepass").replace(b"\\xff", b"\xff")


@settings(max_examples=count_examples(1_500), deadline=None)
@given(EVENTS)
def test_no_worker_quarantines_what_the_collector_accepts(event: dict[str, Any]) -> None:
    taken = collect(encode_value(event))
    if isinstance(taken, Draft):
        assert find_reason_of_worker(taken.value, was_collected=True) is None, (event, taken.value)


@settings(max_examples=count_examples(1_500), deadline=None)
@given(EVENTS)
def test_the_collector_refuses_nothing_that_a_worker_accepts(event: dict[str, Any]) -> None:
    taken = collect(encode_value(event))
    if isinstance(taken, DraftRefused):
        ours = {**event, "type": "track", "projectId": "demo", "marks": None}
        assert find_reason_of_worker(encode_value(ours)) is not None, (event, taken)


@settings(max_examples=count_examples(1_000), deadline=None)
@given(
    st.lists(st.one_of(EVENTS, LOOSE, st.sampled_from([Json("NaN"), Json('{"a":1,}'), Json('"\\xff"')])), max_size=4),
    st.fixed_dictionaries(
        {}, optional={"context": SHAPES, "integrations": SHAPES, "sentAt": TIMES, "timestamp": TIMES, "writeKey": LOOSE}
    ),
)
def test_no_worker_quarantines_an_accepted_event_of_a_batch(events: list[Any], batch_fields: dict[str, Any]) -> None:
    events = [{"type": "track", **event} if isinstance(event, dict) else event for event in events]
    drafts = list(
        draft_batch(read_batch(encode_value({**batch_fields, "batch": events})), "demo", RequestArrival(NOW_MS))
    )
    taken, refused = run_steps(drafts, {})
    assert len(drafts) == len(events) == len(taken) + len(refused)
    for draft in taken:
        assert find_reason_of_worker(draft.value, was_collected=True) is None, (batch_fields, draft.value)


@pytest.mark.parametrize(
    "body",
    [
        b'{"event":"x","userId":"u","p":{"a":1,' + b",".join(b'"a":1' for _ in range(1_000)) + b"}}",
        b'{"event":"x","userId":"u","p":"' + b"{[:" * 2_000 + b'"}',
        b'{"event":"x","userId":"u","p":"\\"' + b"[" * 100 + b'"}',
        b'{"event":"x","userId":"u","p":' + b"[" * 40 + b"]" * 40 + b"}",
        b'{"event":"Order Completed","userId":"u","properties":{"price":4e6,"quantity":1000000}}',
        b'{"event":"Order Completed","userId":"u","properties":{"price":4e5,"quantity":1000000,"products":[]}}',
        b'{"event":"x","userId":"u","p":1e400,"context":{"ip":1,"a":-1e400}}',
        b'{"event":"x","userId":"u","p":1e400,"q":NaN}',
        b'{"event":"x","userId":"u","p":1e400,"q":"\\ud800"}',
        b'{"event":"Order Completed","userId":"u","properties":{"price":1e400}}',
        b'{"event":"x","p":1e400,"userId":"\\ud800"}',
        b'{"event":"x","userId":"u","p":' + b"9" * 5_000 + b"}",
        b'{"event":"x","userId":"u","p":1e400,"q":"\xff"}',
        b'{"event":"x","userId":"u","p":"\xed\xa0\x80"}',
        b'{"event":"x","userId":"' + b"u" * 257 + b'"}',
        b'{"event":"x","userId":' + b"7" * 5_000 + b"}",
        b'{"event":"Order\\u0001Completed","userId":"u","properties":{"revenue":"abc"}}',
        b'{"event":"Order\\tCompleted","userId":"u","properties":{"order_id":"' + b"o" * 257 + b'"}}',
        b'{"event":"x","userId":"u",' + b",".join(b'"k%d":1' % n for n in range(998)) + b"}",
        b'{"event":"x","userId":"u",' + b",".join(b'"k%d":1' % n for n in range(999)) + b"}",
        b'{"event":"purchase","userId":"u","properties":{"transaction_id":"' + b"o" * 257 + b'"}}',
        b'{"event":"view_item","userId":"u","properties":{"items":[{"item_id":"' + b"p" * 257 + b'"}]}}',
        b'{"event":"Viewed\tProduct","userId":"u","properties":{"id":"' + b"p" * 257 + b'"}}',
        b'{"event":"Completed Order","userId":"u","properties":{"id":"' + b"p" * 257 + b'"}}',
        b'{"event":"x","userId":"u","properties":[ ],"context":""}',
        b'{"event":"x","userId":"u","properties":true}',
    ],
)
def test_collector_and_worker_agree_on_hard_cases(body: bytes) -> None:
    taken = collect(body)
    if isinstance(taken, Draft):
        assert find_reason_of_worker(taken.value, was_collected=True) is None
    else:
        assert find_reason_of_worker(b'{"projectId":"demo","type":"track",' + body[1:]) == taken.reason
