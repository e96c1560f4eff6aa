"""Which records say something of a user, and what of it a profile can hold."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rtaplatform.core.errors import Quarantined
from rtaplatform.core.time.timestamps import read_time_ms
from rtaplatform.profiles.identify import read_identify
from rtaplatform.profiles.traits import IdentifyTraits
from rtaplatform.stream.port import LogRecord, Partition

AT = "2026-11-22T10:00:00.120Z"
AT_MS = read_time_ms(AT) or 0
WEB = Partition("rta.events.web", 2)


def read(value: bytes | None, timestamp_ms: int = AT_MS) -> IdentifyTraits | None:
    return read_identify(LogRecord(WEB, 41, timestamp_ms, b"demo:a", value, 0, True), timestamp_ms)


def make_event(**fields: Any) -> bytes:
    whole = {"projectId": "demo", "type": "identify", "userId": "u-1", "anonymousId": "a-1", "timestamp": AT}
    return json.dumps(whole | fields).encode()


def read_fields(**fields: Any) -> dict[str, Any]:
    traits = read(make_event(**fields))
    assert traits is not None
    return traits.fields


def test_identify_event_names_user_fields_and_place() -> None:
    traits = read(make_event(traits={"email": "a@b.example", "name": "Ada", "plan": "pro", "age": None}))
    assert traits is not None
    assert (traits.project, traits.user_id) == ("demo", "u-1")
    assert traits.stamp == (AT_MS, "rta.events.web:0002:0000000000000000041")
    assert traits.fields == {
        "email": "a@b.example", "name": "Ada", "traits.plan": "pro", "traits.age": None, "anonymous_ids.a-1": True,
    }  # fmt: skip


def test_traits_are_at_the_root_or_in_the_context_or_both() -> None:
    in_context = {"traits": {"plan": "old", "city": "Ulm"}}
    assert read_fields(context=in_context)["traits.plan"] == "old"
    fields = read_fields(traits={"plan": "new"}, context=in_context)
    assert (fields["traits.plan"], fields["traits.city"]) == ("new", "Ulm")


def test_first_and_last_name_make_a_name_where_there_is_none() -> None:
    fields = read_fields(traits={"firstName": "Ada", "lastName": "King"})
    assert (fields["name"], fields["traits.firstName"]) == ("Ada King", "Ada")
    assert "name" not in read_fields(traits={"firstName": "Ada"})
    assert read_fields(traits={"firstName": "Ada", "lastName": "King", "name": "A. K."})["name"] == "A. K."


@pytest.mark.parametrize(
    "value",
    [
        None,
        make_event(type="track", event="identify"),
        make_event(type="track", event="$identify", properties={"a": "\\u0041"}),
        make_event(type="page", name="identify"),
        b'{"projectId": "demo", "type": "track", "event": "x", "userId": "u-1"}',
    ],
)
def test_other_records_are_nothing(value: bytes | None) -> None:
    assert read(value) is None


def test_escapes_do_not_hide_an_identify_event() -> None:
    assert read(make_event().replace(b'"identify"', b'"\\u0069dentify"')) is not None


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (make_event(projectId=""), "missing_project"),
        (make_event(userId=True), "invalid_field"),
        (b'{"projectId": "demo", "type": "identify", "userId": ', "not_json"),
        (make_event(userId=None), "anonymous"),
        (make_event(userId="u\x00"), "unstorable_id"),
        (make_event(userId="u" * 257), "id_too_long"),
        (make_event(marks=["bot:agent"]), "bot"),
        (make_event(timestamp="2026-11-22T10:05:01Z"), "dead"),
        (make_event(traits={str(n): "x" * 7_000 for n in range(5)}), "too_large"),
    ],
)
def test_what_changes_no_profile_says_why(value: bytes, reason: str) -> None:
    with pytest.raises(Quarantined) as caught:
        read(value)
    assert str(caught.value.reason) == reason


def test_what_cannot_be_stored_is_left_out_and_counted() -> None:
    traits = (
        b'{"a": 1e400, "f": [1e308], "g": 1e-300, "b": "x\\u0000y", "email": 5, "c\\u0000": [{"\\u0000d": "\\u0000"}],'
        b' "e": 12345678901234567890123}'
    )
    identify = read(make_event(traits="T", anonymousId="a\x00").replace(b'"T"', traits))
    assert identify is not None
    assert identify.fields == {"traits.b": "xy", "traits.c": [{"d": ""}], "traits.e": 12345678901234567890123}
    assert identify.left_out == {"unstorable_number": 3, "wrong_type": 1}
    assert read_fields(traits=[1], userId=7) == {"anonymous_ids.a-1": True}
    assert read_fields(traits={"big": "x" * 9_000, "n" * 300: 1, "ok": 1}).keys() == {"traits.ok", "anonymous_ids.a-1"}


def test_event_without_a_readable_time_has_the_records() -> None:
    traits = read(make_event(timestamp="yesterday"), AT_MS + 5)
    assert traits is not None
    assert traits.stamp.time_ms == AT_MS + 5
