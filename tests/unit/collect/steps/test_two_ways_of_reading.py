"""An event is read in a fast way, and in a careful one where that fails. Both give the same."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import assume, example, given
from hypothesis import strategies as st

from rtaplatform.collect.body.draft import Draft, DraftRefused
from rtaplatform.collect.body.envelope import RequestArrival, draft_single
from rtaplatform.collect.steps.steps import (
    ENRICHING,
    READING,
    WRITING,
    _read_event_carefully,
    read_event,
    run_steps,
    run_steps_on_one,
)
from rtaplatform.collect.steps.twins import copy_enrichment, find_twins
from rtaplatform.core.values.json_shape import AS_SENT, find_flaw
from tests.unit.collect.drafts import NOW_MS

VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.floats(), st.text(max_size=6)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=8,
)
NAMES = st.sampled_from(["type", "event", "userId", "anonymousId", "messageId", "context", "properties", "timestamp"])
EVENTS = st.dictionaries(st.one_of(NAMES, st.text(max_size=3)), VALUES, max_size=8)
PIECES = st.lists(
    st.sampled_from(
        [b"{", b"}", b"[", b"]", b'"', b":", b",", b'"event"', b"1", b"-", b"0", b".5", b"e9999", b"\\", b"\\ud83d",
         b"\\u00e4", b"\xff", b"\xc3\xa4", b"\x01", b" ", b"null", b"NaN", b"true", b'{"a":1}', b'"x":"y"']
    ),
    max_size=12,
)  # fmt: skip
BODIES = st.one_of(
    EVENTS.map(lambda event: json.dumps(event).encode()),
    st.tuples(EVENTS, PIECES, st.integers(0, 200)).map(lambda part: _insert(*part)),
    PIECES.map(b"".join),
    st.binary(max_size=20),
)


def _insert(event: dict[str, Any], pieces: list[bytes], position: int) -> bytes:
    body = json.dumps(event).encode()
    return body[:position] + b"".join(pieces) + body[position:]


def _draft(body: bytes) -> Draft:
    return draft_single(body, "track", "demo", RequestArrival(received_ms=NOW_MS))


def _read_contents(result: Draft | DraftRefused) -> Any:
    if isinstance(result, DraftRefused):
        return result
    return repr(result.values), {name: bytes(raw) for name, raw in result.fields.items()}


@given(BODIES)
@example(b'{"event":"\\ud83d"}')
@example(b'{"a":1e999,"a":2}')
@example(b'{"a":' + b"9" * 400 + b"}")
@example(b"[]")
def test_both_ways_of_reading_give_the_same(body: bytes) -> None:
    assume(find_flaw(body, AS_SENT) is None)  # else it is refused before it is read
    assert _read_contents(read_event(_draft(body))) == _read_contents(_read_event_carefully(_draft(body)))


@given(BODIES)
@example(b'{"event":"Product Viewed","anonymousId":"a","messageId":"m"}')
def test_one_event_gets_what_it_gets_in_a_batch(body: bytes) -> None:
    alone = _draft(body)
    refused_alone = run_steps_on_one(alone)
    seconds = dict[str, float]()
    accepted, refused = run_steps([_draft(body)], seconds)
    assert refused == ([] if refused_alone is None else [refused_alone])
    names = [step.__name__ for step in (*READING, find_twins, *ENRICHING, copy_enrichment, *WRITING)]
    assert names == list(seconds)
    if accepted and alone.marks != ["made_id"]:  # else each gets an id of its own
        assert alone.value == accepted[0].value
