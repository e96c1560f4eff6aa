"""Collector and workers read the same: what the collector takes, no worker sets aside."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtaplatform.collect.draft import Draft, Refused
from rtaplatform.collect.envelope import Arrival, draft_single
from rtaplatform.collect.steps import run_steps
from rtaplatform.core.errors import Quarantined
from rtaplatform.core.events import COMMERCE_EVENTS, Reason
from rtaplatform.process.commerce import read_commerce
from rtaplatform.process.decode import read_event

NOW_MS = 1_795_341_600_000
NUMBERS = st.one_of(
    st.integers(-(10**13), 10**13),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["1", "12.50", "+1", ".5", "5.", "1e3", "-0", " 1", "1e999999", "4e11", "9" * 101, "0x1", "", "٣"]),
)
LOOSE = st.one_of(
    st.none(),
    st.booleans(),
    NUMBERS,
    st.text(max_size=8),
    st.just([]),
    st.just({}),
    st.lists(st.integers(), max_size=2),
)
LINES = st.one_of(
    LOOSE,
    st.lists(st.one_of(LOOSE, st.fixed_dictionaries({}, optional={"price": NUMBERS, "quantity": LOOSE})), max_size=3),
)
PROPERTIES = st.one_of(
    LOOSE,
    st.fixed_dictionaries(
        {}, optional={"price": LOOSE, "quantity": NUMBERS, "revenue": LOOSE, "total": LOOSE, "products": LINES}
    ),
)
TIMES = st.one_of(
    LOOSE,
    st.sampled_from(
        ["2026-11-22", "2026-11-22T10:00:00+25:00", "1969-12-31", "9999-12-31T23:59:59Z", "2026-11-22 10:00Z"]
    ),
)
EVENTS = st.fixed_dictionaries(
    {"event": st.one_of(LOOSE, st.sampled_from(["Order Completed", "Product Viewed", "x"]))},
    optional={
        "anonymousId": LOOSE, "userId": LOOSE, "messageId": LOOSE, "properties": PROPERTIES, "context": LOOSE,
        "timestamp": TIMES, "originalTimestamp": TIMES, "sentAt": TIMES, "marks": LOOSE, "source": LOOSE, "type": LOOSE,
        "projectId": LOOSE, "traits": LOOSE,
    },
)  # fmt: skip


def collect(body: bytes) -> Draft | Refused:
    ready, refused = run_steps([draft_single(body, "track", "demo", Arrival(NOW_MS))], {})
    return ready[0] if ready else refused[0]


def reason_of_worker(value: bytes) -> Reason | None:
    try:
        event = read_event(value, topic_source="web", record_ms=NOW_MS, was_collected=True)
        if event.name in COMMERCE_EVENTS:
            read_commerce(event.name, event.properties, "EUR")
    except Quarantined as error:
        return Reason(error.reason)
    return Reason.TIME_IN_FUTURE if event.time_ms > NOW_MS + 300_000 else None


@settings(max_examples=1_500, deadline=None)
@given(EVENTS)
def test_what_the_collector_takes_no_worker_sets_aside(event: dict[str, Any]) -> None:
    taken = collect(json.dumps(event).encode())
    if isinstance(taken, Draft):
        assert reason_of_worker(taken.value) is None, (event, taken.value)


@settings(max_examples=1_500, deadline=None)
@given(EVENTS)
def test_what_a_worker_would_take_the_collector_does_not_refuse(event: dict[str, Any]) -> None:
    taken = collect(json.dumps(event).encode())
    if isinstance(taken, Refused):
        ours = {**event, "type": "track", "projectId": "demo", "marks": None}
        assert reason_of_worker(json.dumps(ours).encode()) is not None, (event, taken)


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
    ],
)
def test_both_judge_the_same_of_hard_cases(body: bytes) -> None:
    taken = collect(body)
    worker = reason_of_worker(
        taken.value if isinstance(taken, Draft) else b'{"projectId":"demo","type":"track",' + body[1:]
    )
    assert (taken.reason if isinstance(taken, Refused) else None) == worker
