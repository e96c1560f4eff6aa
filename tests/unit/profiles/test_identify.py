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


def event(**fields: Any) -> bytes:
    whole = {"projectId": "demo", "type": "identify", "userId": "u-1", "anonymousId": "a-1", "timestamp": AT}
    return json.dumps(whole | fields).encode()


def fields_of(**fields: Any) -> dict[str, Any]:
    found = read(event(**fields))
    assert found is not None
    return found.fields


def test_identify_event_names_user_fields_and_place() -> None:
    found = read(event(traits={"email": "a@b.example", "name": "Ada", "plan": "pro", "age": None}))
    assert found is not None
    assert (found.project, found.user_id) == ("demo", "u-1")
    assert found.stamp == (AT_MS, "rta.events.web:0002:0000000000000000041")
    assert found.fields == {
        "email": "a@b.example", "name": "Ada", "traits.plan": "pro", "traits.age": None, "anonymous_ids.a-1": True,
    }  # fmt: skip


def test_traits_are_at_the_root_or_in_the_context_or_both() -> None:
    in_context = {"traits": {"plan": "old", "city": "Ulm"}}
    assert fields_of(context=in_context)["traits.plan"] == "old"
    both = fields_of(traits={"plan": "new"}, context=in_context)
    assert (both["traits.plan"], both["traits.city"]) == ("new", "Ulm")


def test_first_and_last_name_make_a_name_where_there_is_none() -> None:
    found = fields_of(traits={"firstName": "Ada", "lastName": "King"})
    assert (found["name"], found["traits.firstName"]) == ("Ada King", "Ada")
    assert "name" not in fields_of(traits={"firstName": "Ada"})
    assert fields_of(traits={"firstName": "Ada", "lastName": "King", "name": "A. K."})["name"] == "A. K."


@pytest.mark.parametrize(
    "value",
    [
        None,
        event(type="track", event="identify"),
        event(type="track", event="$identify", properties={"a": "\\u0041"}),
        event(type="page", name="identify"),
        b'{"projectId": "demo", "type": "track", "event": "x", "userId": "u-1"}',
    ],
)
def test_other_records_are_nothing(value: bytes | None) -> None:
    assert read(value) is None


def test_escapes_do_not_hide_an_identify_event() -> None:
    assert read(event().replace(b'"identify"', b'"\\u0069dentify"')) is not None


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (event(projectId=""), "missing_project"),
        (event(userId=True), "invalid_field"),
        (b'{"projectId": "demo", "type": "identify", "userId": ', "not_json"),
        (event(userId=None), "anonymous"),
        (event(userId="u\x00"), "unstorable_id"),
        (event(userId="u" * 257), "id_too_long"),
        (event(marks=["bot:agent"]), "bot"),
        (event(timestamp="2026-11-22T10:05:01Z"), "dead"),
        (event(traits={str(n): "x" * 7_000 for n in range(5)}), "too_large"),
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
    found = read(event(traits="T", anonymousId="a\x00").replace(b'"T"', traits))
    assert found is not None
    assert found.fields == {"traits.b": "xy", "traits.c": [{"d": ""}], "traits.e": 12345678901234567890123}
    assert found.left_out == {"unstorable_number": 3, "wrong_type": 1}
    assert fields_of(traits=[1], userId=7) == {"anonymous_ids.a-1": True}
    assert fields_of(traits={"big": "x" * 9_000, "n" * 300: 1, "ok": 1}).keys() == {"traits.ok", "anonymous_ids.a-1"}


def test_event_without_a_readable_time_has_the_records() -> None:
    found = read(event(timestamp="yesterday"), AT_MS + 5)
    assert found is not None
    assert found.stamp.time_ms == AT_MS + 5
