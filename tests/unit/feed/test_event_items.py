"""What a feed shows of a record: the event as the workers understand it, or why it is none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rtaplatform.core.events import DEAD_LETTERS_TOPIC, REJECTED_TOPIC, Reason
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.time.timestamps import format_iso_utc
from rtaplatform.feed.event_items import EventReader, FeedItem
from rtaplatform.feed.remedies import REMEDIES
from rtaplatform.process.fold.decode_run import decode_run
from rtaplatform.stream.port import LogRecord, Partition, TailRecord, make_columns
from tests.unit.feed.memory_tail import NOW_MS, make_event, record


def _read(tail_record: TailRecord) -> FeedItem:
    reader = EventReader("demo")
    assert reader.may_be_ours(tail_record)
    item = reader.read(tail_record)
    assert item is not None
    return item


def test_an_order_is_shown_as_the_totals_have_it() -> None:
    order = make_event(
        "purchase", userId="u-4", source="server", timestamp="2026-11-18T11:06:35.000Z",
        properties={"transaction_id": "o-1", "value": "39.98", "currency": "eur", "items": [{"item_id": "p-1"}]},
        context={"location": {"country": "DE"}, "page": {"path": "/thanks"}},
    )  # fmt: skip
    item = _read(record(order, 41))
    assert (item.id, item.status, item.event, item.source) == (
        "rta.events.web:0:41",
        "counted",
        "Order Completed",
        "server",
    )
    assert item.time == "2026-11-18T11:06:35.000Z"
    assert item.persons == {"user_id": "u-4", "anonymous_id": "me"}
    expected_fields = {
        "country": "DE",
        "page": "/thanks",
        "order_id": "o-1",
        "product_ids": ["p-1"],
        "revenue": 39.98,
        "currency": "EUR",
        "units": 1.0,
    }
    assert {name: item.fields.get(name) for name in expected_fields} == expected_fields
    assert item.raw.startswith('{"projectId":"demo"')


def test_marks_are_words() -> None:
    marked = make_event(
        marks=["bot:user_agent", "made_id", "unreadable_time"],
        originalTimestamp="2026-11-18T11:06:35.000Z", timestamp="2026-11-18T11:07:35.000Z",
    )  # fmt: skip
    marks = _read(record(marked, rta_replay_of="rta.events.web:0:7")).marks
    assert len(marks) == 5
    assert "user_agent" in marks[0]
    assert "60 s" in marks[3]
    assert "rta.events.web:0:7" in marks[4]


def test_an_id_that_was_read_before_is_a_duplicate() -> None:
    reader = EventReader("demo")
    items = [reader.read(record(make_event(), offset)) for offset in (1, 2)]
    assert [item.status for item in items if item] == ["counted", "duplicate"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"projectId": "demo", "type": "track", "anonymousId": "me"}, "missing_event"),
        ({"projectId": "demo", "type": "page"}, "missing_identity"),
        (make_event(timestamp=format_iso_utc(NOW_MS + 3_600_000)), "time_in_future"),
        (make_event(anonymousId="a" * 300), "id_too_long"),
    ],
)
def test_what_cannot_be_counted_is_dead_with_its_reason_and_a_remedy(value: dict[str, Any], reason: str) -> None:
    item = _read(record(value))
    assert item.status == "dead"
    assert item.problem is not None
    assert (item.problem.reason, item.problem.hint) == (reason, REMEDIES[Reason(reason)])


def test_an_event_that_is_too_old_is_late() -> None:
    assert _read(record(make_event(timestamp="2020-01-01T00:00:00Z"))).status == "late"


def test_a_refused_event_is_shown_with_what_the_collector_said() -> None:
    item = _read(
        record(
            b'{"type":"track","anonymousId',
            topic=REJECTED_TOPIC,
            rta_project="demo",
            rta_reason="not_json",
            rta_detail="It ends too early.",
            rta_field="body",
            rta_source="web",
            rta_cut="9000",
        )
    )
    assert (item.status, item.source, item.event, item.is_raw_cut) == ("rejected", "web", None, True)
    assert item.problem is not None
    assert (item.problem.reason, item.problem.detail, item.problem.field) == ("not_json", "It ends too early.", "body")


def test_events_and_letters_of_other_projects_are_not_shown() -> None:
    reader = EventReader("demo")
    others = [
        record(make_event(projectId="other")),
        record(make_event(properties={"note": "demo"}, projectId="other")),
        record(b"{}", topic=REJECTED_TOPIC, rta_project="other", rta_reason="empty"),
        record(make_event(), topic=DEAD_LETTERS_TOPIC, rta_project="", rta_reason="unknown_project"),
    ]
    assert [reader.read(tail_record) for tail_record in others if reader.may_be_ours(tail_record)] == [None]


def test_of_dead_letters_only_those_are_new_that_the_event_itself_does_not_show() -> None:
    reader = EventReader("demo")
    letters = [
        record(
            make_event(),
            1,
            topic=DEAD_LETTERS_TOPIC,
            rta_project="demo",
            rta_reason=reason,
            rta_origin="rta.events.web:0:5",
        )
        for reason in ("invalid_field", "internal")
    ]
    items = [item for item in map(reader.read, letters) if item is not None]
    assert [(item.id, item.status) for item in items] == [("rta.events.web:0:5", "dead")]


def test_long_events_are_cut_and_say_so() -> None:
    item = _read(record(make_event(properties={"text": "x" * 20_000})))
    assert (len(item.raw), item.is_raw_cut) == (8_192, True)


def test_every_reason_has_a_remedy() -> None:
    assert REMEDIES.keys() == set(Reason)


@pytest.mark.parametrize(
    "excess",
    [{"padding": "x" * 33_000}, {"properties": json.loads("[" * 40 + "]" * 40)}, {str(n): n for n in range(1_001)}],
)
def test_a_record_whose_dead_letter_is_of_no_project_is_of_no_feed(excess: dict[str, Any]) -> None:
    """The workers judge size, nesting and keys before they look at the project, so the letter is for operators."""
    value = json.dumps(make_event() | excess).encode()
    assert EventReader("demo").read(record(value)) is None
    run = make_columns([LogRecord(Partition("rta.events.web", 0), 0, NOW_MS, b"k", value, 0, False)])
    (item,) = decode_run(run, 0, {"demo": ProjectSettings("demo")}, 1).items
    assert item.dead_letter is not None
    assert item.dead_letter.project == ""
