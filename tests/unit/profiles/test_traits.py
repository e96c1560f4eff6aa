"""The fold of identify events: one row, whatever the order, the repeats and the batches."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rtaplatform.profiles.traits import (
    ANONYMOUS_IDS_MAX,
    TRAITS_MAX,
    FieldStamp,
    IdentifyTraits,
    UserProfile,
    fold,
    from_row,
    to_row,
)

NAMES = ("email", "name", "traits.plan", "traits.age", "anonymous_ids.a", "anonymous_ids.b")
VALUES = st.one_of(st.none(), st.integers(0, 3), st.sampled_from(["x", "y"]))


def identify(time_ms: int, place: int, fields: dict[str, Any]) -> IdentifyTraits:
    return IdentifyTraits("demo", "u", FieldStamp(time_ms, f"rta.events.web:0001:{place:019}"), time_ms, fields)


def store_and_load(profile: UserProfile) -> UserProfile:
    """As it comes back from the table."""
    return from_row(json.loads(json.dumps(to_row(profile))))


@st.composite
def draw_history(draw: st.DrawFn) -> list[IdentifyTraits]:
    contents = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4)
    events = draw(st.lists(st.tuples(st.integers(1, 4), contents), min_size=1, max_size=8))
    return [identify(at, place, fields) for place, (at, fields) in enumerate(events)]


@st.composite
def draw_reading(draw: st.DrawFn, events: Sequence[IdentifyTraits]) -> list[list[IdentifyTraits]]:
    """Every event at least once, some twice, in any order, in any batches."""
    again = draw(st.lists(st.sampled_from(events), max_size=4))
    unread_events = list(draw(st.permutations([*events, *again])))
    batches = []
    while unread_events:
        size = draw(st.integers(1, len(unread_events)))
        batches.append(unread_events[:size])
        unread_events = unread_events[size:]
    return batches


@given(data=st.data(), events=draw_history())
def test_any_order_repeats_and_batches_end_in_the_same_row(data: st.DataObject, events: list[IdentifyTraits]) -> None:
    profile = UserProfile()
    for batch in data.draw(draw_reading(events)):
        profile = store_and_load(fold(profile, batch))
    assert to_row(profile) == to_row(fold(UserProfile(), events))


@given(events=draw_history())
def test_last_writer_of_each_field_wins(events: list[IdentifyTraits]) -> None:
    expected: dict[str, Any] = {}
    for event in sorted(events, key=lambda event: event.stamp):
        expected |= event.fields
    assert fold(UserProfile(), events).fields == {name: value for name, value in expected.items() if value is not None}


@given(events=draw_history())
def test_replayed_events_change_nothing(events: list[IdentifyTraits]) -> None:
    once = store_and_load(fold(UserProfile(), events))
    assert to_row(fold(once, events)) == to_row(once)


@given(seed=st.randoms(use_true_random=False))
def test_beyond_its_limits_a_profile_keeps_the_newest_in_any_order(seed: Any) -> None:
    events = [
        identify(place // 3, place, {f"traits.t{place % 300}": place, f"anonymous_ids.a{place % 130}": True})
        for place in range(600)
    ]
    expected = to_row(fold(UserProfile(), events))
    seed.shuffle(events)
    profile = UserProfile()
    for start in range(0, len(events), 47):
        profile = store_and_load(fold(profile, events[start : start + 47]))
    assert to_row(profile) == expected
    assert len(expected["traits"]) == TRAITS_MAX
    assert len(expected["anonymous_ids"]) == ANONYMOUS_IDS_MAX
    assert expected["anonymous_ids"][0] == "a79"


def test_edit_of_the_api_stands_against_events_of_its_time_and_before() -> None:
    edited = from_row(
        to_row(fold(UserProfile(), [identify(5, 1, {"email": "a", "traits.plan": "x"})]))
        | {"email": "edited", "traits": {}, "field_times": {"email": [10, "~"], "traits.plan": [10, "~"]}}
    )
    after = fold(edited, [identify(10, 9, {"email": "late", "traits.plan": "late"})])
    assert (after.fields, after.last_seen_ms) == ({"email": "edited"}, 10)
    newer = fold(edited, [identify(11, 2, {"email": "new"})])
    assert newer.fields == {"email": "new"}


def test_only_the_fields_of_the_event_change() -> None:
    before = from_row(
        {"email": "e", "name": "n", "traits": {"a": 1, "b": [2]}, "anonymous_ids": ["x"], "field_times": {},
         "first_seen": 7, "last_seen": None}
    )  # fmt: skip
    after = to_row(fold(before, [identify(9, 1, {"traits.a": None, "anonymous_ids.y": True})]))
    assert after["email"] == "e"
    assert after["traits"] == {"b": [2]}
    assert after["anonymous_ids"] == ["y", "x"]
    assert (after["first_seen"], after["last_seen"]) == (7, 9)
