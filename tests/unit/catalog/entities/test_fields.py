"""Fields, merge patches, ETags and cursors, without a database."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtaplatform.catalog.entities.entity_types import PRODUCT, USER, EntityType
from rtaplatform.catalog.entities.etags import is_current, make_etag, read_condition
from rtaplatform.catalog.entities.fields import PRODUCT_FIELDS, USER_FIELDS, check_id, decode_with_id, read_object
from rtaplatform.catalog.entities.merge_patch import is_same, merge
from rtaplatform.catalog.entities.pages import PageQuestion, list_bounds, read_cursor, write_cursor
from rtaplatform.catalog.keys.key_admin import SCOPES_GIVEN_MAX, read_scopes
from rtaplatform.catalog.stored_json import read_stored_json
from rtaplatform.core.errors import InvalidParameter, PreconditionFailed
from rtaplatform.core.values.cursors import pack_position

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=1), inner, max_size=3),
    max_leaves=8,
)
# Appendix A of RFC 7396.
RFC_7396: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}), ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}), ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}), ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}), ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}), (["a", "b"], ["c", "d"], ["c", "d"]), ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None), ({"a": "foo"}, "bar", "bar"), ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}), ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]  # fmt: skip


@pytest.mark.parametrize(("target", "patch", "result"), RFC_7396)
def test_merge_patch_is_that_of_the_rfc(target: Any, patch: Any, result: Any) -> None:
    assert merge(target, patch) == result


@given(JSON, JSON)
def test_a_patch_applied_twice_is_applied_once(target: Any, patch: Any) -> None:
    once = merge(target, patch)
    assert merge(once, patch) == once


def test_true_is_not_one_and_order_does_not_count() -> None:
    assert not is_same({"a": True}, {"a": 1})
    assert is_same({"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert is_same(Decimal("1.5000"), Decimal("1.5"))
    assert is_same([datetime(2026, 1, 1, tzinfo=UTC)][0], datetime.fromisoformat("2026-01-01T01:00:00+01:00"))


@given(st.floats(0, 2**52 // 10_000))
def test_a_price_survives_its_decimals(price: float) -> None:
    stored = read_object({"price": price}, PRODUCT_FIELDS)["price"]
    assert abs(stored - Decimal(str(price))) <= Decimal("0.00005")
    assert read_object({"price": float(stored)}, PRODUCT_FIELDS)["price"] == stored


@given(JSON)
def test_any_json_is_read_or_refused(given_value: Any) -> None:
    for name, fields in (("traits", USER_FIELDS), ("first_seen", USER_FIELDS), ("price", PRODUCT_FIELDS)):
        wrong: InvalidParameter | None = None
        try:
            read_object({name: given_value}, fields)
        except InvalidParameter as error:
            wrong = error
        assert wrong is None or (wrong.field == name and wrong.allowed)


def test_deep_and_wide_objects_are_refused() -> None:
    deep: Any = {}
    for _ in range(40):
        deep = {"a": deep}
    for wrong in (deep, {str(number): 1 for number in range(1_001)}, {"a": "\x00"}, {"a": "x" * 32_768}):
        with pytest.raises(InvalidParameter):
            read_object({"attributes": wrong}, PRODUCT_FIELDS)


def test_ids_are_those_of_events() -> None:
    assert check_id("é" * 128)
    assert check_id(5) == "5"
    for wrong in ("", "é" * 129, "a\x00", "a\tb", "\x7f", None, True, 5.0, ["a"]):
        with pytest.raises(InvalidParameter):
            check_id(wrong)
    for written in ("4006381333931.0", "1e3", "-0", "9" * 40, "1.50"):
        assert decode_with_id(f'{{"id":{written},"a":1}}'.encode()) == {"id": written, "a": 1}


@pytest.mark.parametrize("kind", [USER, PRODUCT])
def test_what_is_a_path_of_the_api_is_no_id(kind: EntityType) -> None:
    reserved = {"import", "export", ".", ".."} | ({"popular", "trending"} if kind is PRODUCT else set())
    for id in ("import", "export", ".", "..", "popular", "trending", "...", "Import"):
        if id in reserved:
            with pytest.raises(InvalidParameter):
                check_id(id, kind.reserved)
        else:
            assert check_id(id, kind.reserved) == id


def test_a_condition_names_one_version() -> None:
    """A proxy that compresses makes a tag weak, or appends the encoding: the version is the same."""
    assert read_condition(None) is None
    for header in ('"1f"', '"a", "1f"', "*", ' "1f" ', 'W/"1f"', '"1f-gzip"', '"1f--br"', 'W/"1f-zstd"'):
        condition = read_condition(header)
        assert condition is not None
        condition.check(0x1F)
    for header in ('"1e"', "", "1f", '"1f', '"*"', 'W/"1e"', '"-gzip"'):
        condition = read_condition(header)
        assert condition is not None
        with pytest.raises(PreconditionFailed):
            condition.check(0x1F)
    anything = read_condition("*")
    assert anything is not None
    with pytest.raises(PreconditionFailed):
        anything.check(None)
    assert make_etag(31) == '"1f"'


def test_a_condition_may_ask_that_there_is_none() -> None:
    for header in ("*", '"1f"', 'W/"1f"', '"a", "1f"'):
        condition = read_condition(None, header)
        assert condition is not None
        condition.check(None)
        assert is_current(header, 0x1F)
        with pytest.raises(PreconditionFailed):
            condition.check(0x1F)
    other = read_condition(None, '"1e"')
    assert other is not None
    other.check(0x1F)
    assert not is_current('"1e"', 0x1F)
    assert not is_current(None, 0x1F)


def test_a_number_comes_back_as_short_as_it_was() -> None:
    for value in (1e308, -1e300, 1.5, 2**64 - 1, 10**30 + 1, 10**400, "1" * 30):
        stored = json.dumps({"a": [value]}) if isinstance(value, str) else f'{{"a":[{Decimal(value.__repr__()):f}]}}'
        assert read_stored_json(stored)["a"][0] == value
        assert read_stored_json(stored.encode())["a"][0] == value
    assert msgspec.json.encode(read_stored_json("1" + "0" * 308)) == b"1e308"


@given(
    st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])), st.datetimes(timezones=st.just(UTC))
)
def test_cursors_come_back_as_they_went(id: str, moment: datetime) -> None:
    bounds = list_bounds("products", "prj_1", PageQuestion("-created_at", 9, None, None, (("category", "x"),)))
    cursor = write_cursor(bounds, moment, id)
    question = PageQuestion("-created_at", 50, cursor, None, (("category", "x"),))
    assert read_cursor(question, bounds) == (moment, id)


@pytest.mark.parametrize(
    ("table", "project", "question"),
    [
        ("users", "prj_1", PageQuestion(sort="name")),
        ("products", "prj_2", PageQuestion(sort="name")),
        ("products", "prj_1", PageQuestion(sort="-name")),
        ("products", "prj_1", PageQuestion(sort="name", q="a")),
        ("products", "prj_1", PageQuestion(sort="name", filters=(("category", "x"),))),
    ],
)
def test_a_cursor_holds_for_its_list_project_sort_and_filters(table: str, project: str, question: PageQuestion) -> None:
    bounds = list_bounds("products", "prj_1", PageQuestion(sort="name"))
    question = msgspec.structs.replace(question, cursor=write_cursor(bounds, "Ada", "p-1"))
    with pytest.raises(InvalidParameter) as refusal:
        read_cursor(question, list_bounds(table, project, question))
    assert refusal.value.field == "cursor"
    assert "Begin without a cursor" in (refusal.value.hint or "")


@given(st.text(max_size=40) | st.binary(max_size=30).map(lambda bytes: base64.urlsafe_b64encode(bytes).decode()))
def test_a_cursor_of_somebody_elses_making_is_refused(text: str) -> None:
    question = PageQuestion(cursor=text)
    with pytest.raises(InvalidParameter):
        read_cursor(question, list_bounds("users", "prj_1", question))


@pytest.mark.parametrize("position", [(2**63, "p-1"), ("2026", "p-1"), (5, "p\x00"), [5], None])
def test_a_position_that_no_row_has_is_refused(position: Any) -> None:
    bounds = list_bounds("users", "prj_1", PageQuestion())
    with pytest.raises(InvalidParameter):
        read_cursor(PageQuestion(cursor=pack_position(position, bounds)), bounds)


def test_no_more_scopes_are_read_than_the_document_allows() -> None:
    assert read_scopes(["read"] * SCOPES_GIVEN_MAX) == ("read",)
    with pytest.raises(InvalidParameter):
        read_scopes(["read"] * (SCOPES_GIVEN_MAX + 1))
