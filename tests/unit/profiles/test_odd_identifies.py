"""Whatever is in the log: an identify event that can be stored, or a reason why not, never an error of ours."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rtaplatform.catalog.tables import EMAIL_CHARS_MAX, NAME_CHARS_MAX
from rtaplatform.core.errors import Quarantined
from rtaplatform.core.values.ids import ID_BYTES_MAX
from rtaplatform.profiles.identify import read_identify
from rtaplatform.profiles.traits import UserProfile, fold, from_row, to_row
from rtaplatform.stream.port import LogRecord, Partition
from tests.unit.process.decode.odd_records import NOW, values

texts = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(["\x00", "a\x00", "x" * 600, "firstName"])
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
things = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))
traits = st.dictionaries(st.sampled_from(["email", "name", "firstName", "lastName"]) | texts, things, max_size=5)
RAW = ["1e400", "-0.0", "1" * 400, "1" * 5_000, '"\\ud800"', '{"a": 1, "a": "\\u0000"}', "1e-400"]
PLACES = ['"traits": %s', '"context": {"traits": %s}', '"context": 1, "context": {"traits": %s}', '"context": %s']


@st.composite
def draw_identify(draw: st.DrawFn) -> bytes:
    head = {"projectId": "demo", "type": "identify", "userId": draw(scalars), "anonymousId": draw(scalars)}
    text = draw(traits.map(json.dumps) | things.map(json.dumps) | st.sampled_from(RAW))
    if draw(st.booleans()):
        text = f'{{"raw": {draw(st.sampled_from(RAW))}, "of": {text}}}'
    return (json.dumps(head)[:-1] + ", " + draw(st.sampled_from(PLACES)) % text + "}").encode()


@given(value=values | draw_identify(), was_collected=st.booleans())
def test_every_record_is_an_event_nothing_or_a_reason(value: bytes | None, was_collected: bool) -> None:
    record = LogRecord(Partition("rta.events.web", 0), 1, NOW, b"", value, 0, was_collected)
    try:
        event = read_identify(record, NOW)
    except Quarantined:
        event = None
    if event is None:
        return
    row = to_row(fold(UserProfile(), [event]))
    stored = json.dumps(row, allow_nan=False)
    assert "\\u0000" not in stored
    assert from_row(json.loads(stored)) == fold(UserProfile(), [event])
    assert 0 < len(event.user_id.encode()) <= ID_BYTES_MAX
    assert len(row["name"] or "") <= NAME_CHARS_MAX
    assert len(row["email"] or "") <= EMAIL_CHARS_MAX


def test_the_strategy_makes_events_that_are_taken() -> None:
    """A fuzz test that never passes the door tests the door."""
    taken: list[Any] = []

    @given(value=draw_identify())
    @settings(max_examples=100)  # in the quick check too: of few, none may pass
    def gather(value: bytes) -> None:
        try:
            taken.append(read_identify(LogRecord(Partition("rta.events.web", 0), 1, NOW, b"", value, 0, False), NOW))
        except Quarantined:
            return

    gather()
    assert sum(event is not None for event in taken) > 3
