"""Decoding a record: an event, or the first reason for a dead letter."""

from __future__ import annotations

import json
from typing import Any

import pytest
import xxhash

from rtaplatform.core.errors import Quarantined
from rtaplatform.core.events import Reason
from rtaplatform.core.time.timestamps import read_time_ms
from rtaplatform.core.values.dimensions import as_dimension
from rtaplatform.core.values.ids import hash_persons
from rtaplatform.process.decode.fast import DecodedEvent, _decode, _make_event, read_event
from rtaplatform.process.decode.lenient import read_leniently, read_project
from rtaplatform.simulate.shop.malformed import BREAKAGES
from tests.unit.process.decode.odd_records import Sent, count_by_the_oracle, make_log

NOW = 1_795_000_000_000
GOOD = {"projectId": "demo", "type": "page", "messageId": "m-1", "anonymousId": "a-1"}


def read(fields: dict[str, Any] | None = None, /, **more: Any) -> DecodedEvent:
    return read_raw(json.dumps({**GOOD, **(fields or {}), **more}).encode())


def read_raw(value: bytes | None, *, was_collected: bool = False) -> DecodedEvent:
    return read_event(value, topic_source="web", record_timestamp_ms=NOW, was_collected=was_collected)


def find_reason(value: bytes | None, *, was_collected: bool = False) -> str | None:
    try:
        read_raw(value, was_collected=was_collected)
    except Quarantined as why:
        return str(why.reason)
    return None


def find_reason_of_fields(**fields: Any) -> str | None:
    return find_reason(json.dumps({**GOOD, **fields}).encode())


# Reasons ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("expected", "breakage"), BREAKAGES)
def test_each_breakage_has_its_reason(expected: str, breakage: Any) -> None:
    value = breakage({**GOOD, "context": {"page": {"path": "/"}}})
    if expected == "unknown_project" or b'"Order Completed"' in (value or b""):
        return  # not for this stage to say: test_fold.py, test_commerce.py
    assert find_reason(value) == expected


# Each value has the fault of its reason and of all later ones: the first that applies is the one that is given.
NESTED = b"[" * 33 + b"]" * 33
KEYS = b"{" + b",".join(b'"k%d":0' % n for n in range(1_001)) + b"}"
IN_ORDER = [
    ("too_large", b"\xff" + b"[" * 33 + b":" * 1_001 + b"x" * 32_768),
    ("not_utf8", b"\xff" + b"[" * 33 + b":" * 1_001),
    ("too_deep", b'{"a":' + NESTED + KEYS),
    ("too_many_keys", KEYS + b"x"),
    ("not_json", b"[1,"),
    ("not_an_object", b"[1]"),
    ("missing_project", b'{"type":5.5,"marks":5}'),
    ("invalid_field", b'{"projectId":"demo","type":"x","marks":5}'),
    ("unknown_type", b'{"projectId":"demo","type":"x"}'),
    ("missing_event", b'{"projectId":"demo","type":"track"}'),
    ("missing_identity", b'{"projectId":"demo","type":"track","event":"e","messageId":"' + b"m" * 257 + b'"}'),
    ("id_too_long", b'{"projectId":"demo","type":"track","event":"e","userId":"u","messageId":"' + b"m" * 257 + b'"}'),
]


@pytest.mark.parametrize(("expected", "value"), IN_ORDER, ids=[name for name, _ in IN_ORDER])
def test_the_first_reason_is_given(expected: str, value: bytes) -> None:
    assert find_reason(value) == expected


def test_the_order_of_reasons_is_that_of_the_rules() -> None:
    elsewhere = (Reason.EMPTY, Reason.UNKNOWN_PROJECT, Reason.TIME_IN_FUTURE, Reason.INTERNAL)
    assert [name for name, _ in IN_ORDER] == [str(reason_) for reason_ in Reason if reason_ not in elsewhere]
    assert find_reason(None) == find_reason(b"") == "empty"


def test_sizes_are_allowed_up_to_their_limit_and_the_collector_gets_room() -> None:
    exact = json.dumps(GOOD).encode().ljust(32_768)
    assert find_reason(exact) is None
    assert find_reason(exact + b" ") == "too_large"
    assert find_reason(exact.ljust(40_960), was_collected=True) is None
    assert find_reason(exact.ljust(40_961), was_collected=True) == "too_large"


def test_nesting_of_32_and_1000_keys_are_allowed_and_strings_are_not_looked_into() -> None:
    def extra(text: str) -> str | None:
        return find_reason((json.dumps(GOOD)[:-1] + f',"extra":{text}}}').encode())

    assert extra("[" * 31 + "]" * 31) is None
    assert extra("[" * 32 + "]" * 32) == "too_deep"
    assert extra("{" + ",".join(f'"k{n}":0' for n in range(1_000)) + "}") is None
    assert extra("{" + ",".join(f'"k{n}":0' for n in range(1_001)) + "}") == "too_many_keys"
    assert extra('"' + "[{:" * 2_000 + '"') is None
    assert extra('"\\"' + "[{:" * 2_000 + '\\\\"') is None
    assert extra("[" + "[]," * 2_000 + "[]]") is None


# JSON needs more bytes for so many keys, and closes before it opens the next one; what is none does as it likes.
NO_JSON = [
    ("too_many_keys", b"{" + b":" * 1_001),
    ("too_many_keys", b'[{"projectId":5}{' + b'"":' * 1_001),
    ("too_deep", b"},{" + b"[" * 32),
    ("too_deep", b'{"projectId":5' + b"},{" + b"[" * 32),
]


@pytest.mark.parametrize(("expected", "value"), NO_JSON, ids=["colons", "keys", "brackets", "after another fault"])
def test_the_shape_is_judged_whether_or_not_it_is_json(expected: str, value: bytes) -> None:
    assert find_reason(value) == expected
    records = [Sent("rta.events.web", b"k", value, 0, False)]
    assert list(count_by_the_oracle(make_log(records)).dead.values()) == [expected]


@pytest.mark.parametrize("text", ["[1e400]", '{"a":-1e400}', "[" + "9" * 400 + "]", "[[[]]]", '{"a":{}}'])
@pytest.mark.parametrize(
    "field", ["projectId", "type", "event", "messageId", "userId", "marks", "properties", "source"]
)
def test_any_json_is_decoded_or_quarantined(field: str, text: str) -> None:
    value = json.dumps({**GOOD, "type": "track", "event": "e", field: "PLACE"}).replace('"PLACE"', text).encode()
    allowed = {"projectId": "missing_project", "source": None}.get(field, "invalid_field")
    if field == "properties" and text.startswith("{"):
        allowed = None
    assert find_reason(value) == allowed


@pytest.mark.parametrize("half", ['"\\ud800"', '"\\udc00"', '"\\ud800\\u0041"', '"\\ude00\\ud83d"'])
@pytest.mark.parametrize("at", ['{"projectId":HERE}', '{"x":HERE}', '{"properties":{"price":HERE}}', '{"x":[HERE]}'])
def test_half_a_surrogate_pair_is_not_json_wherever_it_is(half: str, at: str) -> None:
    assert find_reason(at.replace("HERE", half).encode()) == "not_json"


# Fields ----------------------------------------------------------------------------------------------------------


def test_an_integer_as_an_id_is_its_decimal_text() -> None:
    for number in (0, 7, -7, 12345678901234567890123):
        text = str(number)
        assert read(userId=number).person == read(userId=text).person
        assert read(messageId=number).id == read(messageId=text).id
    assert (
        find_reason_of_fields(userId=7.0)
        == find_reason_of_fields(userId=True)
        == find_reason_of_fields(messageId=[7])
        == "invalid_field"
    )
    assert find_reason_of_fields(type=7) == "unknown_type"
    assert read(type="track", event=7).name == "7"
    assert (
        find_reason_of_fields(projectId=7)
        == find_reason_of_fields(projectId=None)
        == find_reason_of_fields(projectId=["demo"])
        == "missing_project"
    )


def test_a_person_is_the_user_else_the_anonymous_and_the_two_are_apart() -> None:
    assert read(userId="x").person == read(userId="x", anonymousId="other").person
    assert read(userId="", anonymousId="x").person == read(userId=None, anonymousId="x").person
    assert read(userId="x").person != read(userId=None, anonymousId="x").person


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ('"DE"', "DE"), ("null", ""), ("7", "7"), ("1.50", "1.50"), ("1e2", "1e2"), ("-0", "-0"), ("true", "true"),
        ("false", "false"), ("[1]", ""), ("{}", ""), ('""', ""), ('"a\\tb\\u007f"', "a b "), ('"\\u0000"', " "),
        ("1e400", "1e400"), ("[1e400]", ""),
    ],
)  # fmt: skip
def test_dimensions_are_text_whatever_was_sent(sent: str, shown: str) -> None:
    context = f'"context":{{"location":{{"country":{sent}}},"device":{{"type":{sent}}}}}'
    event = read_raw((json.dumps(GOOD)[:-1] + f",{context}}}").encode())
    assert (event.country, event.device) == (shown, shown)


def test_a_context_of_odd_parts_has_no_dimensions() -> None:
    contexts: list[Any] = [{"location": 5, "device": []}, {"location": None}, {"location": {"country": {}}}, {}, None]
    for context in contexts:
        event = read(context=context)
        assert (event.country, event.device) == ("", "")
    assert (
        find_reason_of_fields(context=[1])
        == find_reason_of_fields(properties="x")
        == find_reason_of_fields(properties=5)
        == "invalid_field"
    )


@pytest.mark.parametrize("empty", ["[]", "[ ]", '""', "false", "null"])
def test_an_empty_list_a_text_of_nothing_and_false_are_empty_objects(empty: str) -> None:
    for field in ("properties", "context"):
        event = read_raw((json.dumps(GOOD)[:-1] + f',"{field}":{empty}}}').encode())
        assert (event.properties, event.country) == (b"", "")


def test_ids_of_up_to_256_bytes_are_taken() -> None:
    assert find_reason_of_fields(messageId="m" * 256, userId="ä" * 128, anonymousId="😀" * 64) is None
    for field in ("messageId", "userId", "anonymousId"):
        assert find_reason_of_fields(**{"userId": "u", field: "x" * 257}) == "id_too_long"
        assert find_reason_of_fields(**{"userId": "u", field: int("7" * 257)}) == "id_too_long"


def test_a_collected_record_has_room_for_the_collectors_keys() -> None:
    def wide(keys: int) -> bytes:
        return json.dumps({**GOOD, **{f"k{n}": 1 for n in range(keys - len(GOOD))}}).encode()

    assert find_reason(wide(1_000)) is None
    assert find_reason(wide(1_001)) == "too_many_keys"
    assert find_reason(wide(1_016), was_collected=True) is None
    assert find_reason(wide(1_017), was_collected=True) == "too_many_keys"


def test_dimensions_are_cut_to_256_bytes_between_characters() -> None:
    assert as_dimension("x" * 256) == "x" * 256
    assert as_dimension("x" * 257) == "x" * 256
    assert as_dimension("ä" * 200) == "ä" * 128
    assert as_dimension("x" + "ä" * 200) == "x" + "ä" * 127
    assert as_dimension("😀" * 65) == "😀" * 64
    assert as_dimension("\x1f\x1e\n") == "   "
    assert as_dimension("\x80\u2028") == "\x80\u2028"  # no control characters of ASCII


def test_the_source_is_the_events_own_else_the_topics() -> None:
    assert read(source="ios").source == "ios"
    odds: list[Any] = ["WEB", "", None, 5, [], "phone"]
    for odd in odds:
        assert read(source=odd).source == "web"


def test_calls_are_counted_under_names_of_their_own() -> None:
    names = {
        kind: read(type=kind, event="e").name for kind in ("track", "page", "screen", "identify", "group", "alias")
    }
    assert names == {
        "track": "e", "page": "$page", "screen": "$screen", "identify": "$identify", "group": "$group",
        "alias": "$alias",
    }  # fmt: skip


def test_a_track_with_the_name_of_another_call_is_none_of_its_calls() -> None:
    for sent in ("$page", "$alias", "\\$page"):
        assert read(type="track", event=sent).name == "\\" + sent
    for sent in ("$pages", "\\x", "$"):
        assert read(type="track", event=sent).name == sent


# Marks -----------------------------------------------------------------------------------------------------------


def test_a_bot_is_marked_with_a_prefix() -> None:
    assert read(marks=["x", "bot:agent"]).is_bot
    assert read(marks=["bot:"]).is_bot
    for marks in (["bot"], ["xbot:"], [], None, [""]):
        assert not read(marks=marks).is_bot
    for odd in ("bot:agent", {"bot:": 1}, [None], [5], ["x", ["bot:"]], True):
        assert find_reason_of_fields(marks=odd) == "invalid_field"


def test_made_and_missing_ids_are_not_checked_for_duplicates() -> None:
    for fields in ({"marks": ["made_id"]}, {"messageId": ""}, {"messageId": None}):
        event = read({"timestamp": "2026-11-18", **fields})
        assert (event.is_checked, event.id, event.own_ms) == (False, 0, -1)
    assert read(marks=["made"]).is_checked
    assert read().id == xxhash.xxh3_64_intdigest(b"m-1")


# Times -----------------------------------------------------------------------------------------------------------

AT, OTHER = "2026-11-18T11:00:00.000Z", "2026-11-17T11:00:00.000Z"


def parse_ms(text: str) -> int:
    time_ms = read_time_ms(text)
    assert time_ms is not None
    return time_ms


@pytest.mark.parametrize(
    ("fields", "time_ms", "is_unreadable"),
    [
        ({}, NOW, False),
        ({"timestamp": None, "originalTimestamp": None}, NOW, False),
        ({"timestamp": AT, "originalTimestamp": OTHER}, parse_ms(AT), False),
        ({"timestamp": None, "originalTimestamp": OTHER}, parse_ms(OTHER), False),
        ({"originalTimestamp": OTHER}, parse_ms(OTHER), False),
        ({"timestamp": "", "originalTimestamp": OTHER}, NOW, True),
        ({"timestamp": "now", "originalTimestamp": OTHER}, NOW, True),
        ({"timestamp": 5, "originalTimestamp": OTHER}, 5_000, False),
        ({"timestamp": parse_ms(AT), "originalTimestamp": OTHER}, parse_ms(AT), False),
        ({"timestamp": str(parse_ms(AT)), "originalTimestamp": OTHER}, parse_ms(AT), False),
        ({"timestamp": parse_ms(AT) / 1000}, parse_ms(AT), False),
        ({"timestamp": -5, "originalTimestamp": OTHER}, NOW, True),
        ({"timestamp": True, "originalTimestamp": OTHER}, NOW, True),
        ({"timestamp": {}, "originalTimestamp": OTHER}, NOW, True),
        ({"originalTimestamp": ""}, NOW, True),
        ({"originalTimestamp": 5}, 5_000, False),
    ],
)
def test_the_time_is_the_corrected_one_else_the_clients_else_the_records(
    fields: dict[str, Any], time_ms: int, is_unreadable: bool
) -> None:
    event = read(fields)
    assert (event.time_ms, event.is_time_unreadable) == (time_ms, is_unreadable)


@pytest.mark.parametrize(
    ("fields", "own_ms"),
    [
        ({}, -1),
        ({"timestamp": AT}, parse_ms(AT)),
        ({"timestamp": AT, "originalTimestamp": OTHER}, parse_ms(OTHER)),
        ({"timestamp": AT, "originalTimestamp": None}, -1),  # the key is there: none
        ({"timestamp": AT, "originalTimestamp": ""}, -1),
        ({"timestamp": AT, "originalTimestamp": "now"}, -1),
        ({"timestamp": AT, "originalTimestamp": 5}, -1),  # 1970: before times are compared
        ({"timestamp": AT, "originalTimestamp": parse_ms(OTHER)}, parse_ms(OTHER)),
        ({"timestamp": 5}, -1),
        ({"originalTimestamp": "1999-12-31T23:59:59.999Z"}, -1),
        ({"originalTimestamp": "2000-01-01"}, 946_684_800_000),
        ({"originalTimestamp": "2099-12-31T23:59:59.999Z"}, 4_102_444_799_999),
        ({"originalTimestamp": "2100-01-01"}, -1),
    ],
)
def test_the_own_time_is_the_clients_as_sent(fields: dict[str, Any], own_ms: int) -> None:
    assert read(fields).own_ms == own_ms
    assert read({"properties": {"currency": 5}, **fields}).own_ms == own_ms  # the careful reader says the same


# Two readers, one meaning ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {}, {"userId": None}, {"originalTimestamp": None}, {"originalTimestamp": AT}, {"timestamp": ""}, {"marks": []},
        {"context": {"location": {"country": "DE"}}}, {"properties": {"price": 5, "currency": "EUR", "products": [{}]}},
        {"context": None, "properties": None}, {"unknown": {"a": [1]}},
    ],
)  # fmt: skip
def test_the_lenient_reader_agrees_with_the_fast_one(fields: dict[str, Any]) -> None:
    value = json.dumps({**GOOD, **fields}).encode()
    assert _make_event(read_leniently(value), "web", NOW) == _make_event(_decode(value), "web", NOW)


@pytest.mark.parametrize(
    ("value", "project"),
    [
        (b'{"projectId":"demo","type":5.5}', "demo"), (b'{"projectId":5}', ""), (b"{", ""), (b"[]", ""), (None, ""),
        (b'{"projectId":[1e400]}', ""), (b"\xff", ""), (b"[" * 30_000, ""), (b'{"projectId":"a","projectId":"b"}', "b"),
    ],
)  # fmt: skip
def test_the_project_of_a_dead_letter_is_read_as_far_as_it_can_be(value: bytes | None, project: str) -> None:
    assert read_project(value) == project


def test_a_person_is_the_one_that_an_erasure_names() -> None:
    user, visitor = read(userId="ü-4", anonymousId="a-17"), read(anonymousId="a-17")
    assert hash_persons("ü-4", ["a-17"]) == [user.person, visitor.person]
    assert hash_persons(None, ["a-17"]) == hash_persons("", ["a-17"]) == [visitor.person]
