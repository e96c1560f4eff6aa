"""Fields, merge patches, ETags, cursors and rows of files, without a database."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtaplatform.catalog.bulk import BulkRow, RowError
from rtaplatform.catalog.fields import PRODUCT_FIELDS, USER_FIELDS, check_id, read_object
from rtaplatform.catalog.key_records import SCOPES_GIVEN_MAX, read_scopes
from rtaplatform.catalog.kinds import PRODUCT
from rtaplatform.catalog.merging import is_same, merge
from rtaplatform.catalog.pages import Question, read_cursor, write_cursor
from rtaplatform.catalog.table_files import ROW_BYTES_MAX, CsvRows, Item, JsonLines, header_pattern
from rtaplatform.catalog.versions import etag_of, read_condition
from rtaplatform.core.errors import InvalidParameter, PreconditionFailed, UnreadableBody

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


def test_ids_have_512_bytes() -> None:
    assert check_id("é" * 256)
    for wrong in ("", "é" * 257, "a\x00", 5, None):
        with pytest.raises(InvalidParameter):
            check_id(wrong)


def test_a_condition_names_one_version() -> None:
    assert read_condition(None) is None
    for header in ('"1f"', '"a", "1f"', "*", ' "1f" '):
        condition = read_condition(header)
        assert condition is not None
        condition.check(0x1F)
    for header in ('W/"1f"', '"1e"', "", "1f", '"1f', '"*"'):
        condition = read_condition(header)
        assert condition is not None
        with pytest.raises(PreconditionFailed):
            condition.check(0x1F)
    anything = read_condition("*")
    assert anything is not None
    with pytest.raises(PreconditionFailed):
        anything.check(None)
    assert etag_of(31) == '"1f"'


@given(
    st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])), st.datetimes(timezones=st.just(UTC))
)
def test_cursors_come_back_as_they_went(id: str, moment: datetime) -> None:
    question = Question(sort="-created_at", filters=(("category", "x"),))
    cursor = write_cursor(question, moment, id)
    assert read_cursor(Question("-created_at", 9, cursor, None, question.filters)) == (moment, id)
    with pytest.raises(InvalidParameter):
        read_cursor(Question("created_at", 9, cursor, None, question.filters))
    with pytest.raises(InvalidParameter):
        read_cursor(Question("-created_at", 9, cursor))


@given(st.text(max_size=40))
def test_a_cursor_of_somebody_elses_making_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameter):
        read_cursor(Question(cursor=text))


def items(reader: JsonLines | CsvRows, body: bytes, step: int) -> list[Item]:
    found = [item for start in range(0, len(body), step) for item in reader.feed(body[start : start + step])]
    return [*found, *reader.end()]


@given(st.lists(st.text(max_size=5), max_size=6), st.integers(1, 40))
def test_lines_do_not_depend_on_how_they_arrive(names: list[str], step: int) -> None:
    names = [name.replace("\x00", "") for name in names]
    lines = [msgspec.json.encode({"id": str(number), "name": name}) for number, name in enumerate(names)]
    rows = [item for item in items(JsonLines(PRODUCT), b"\r\n".join(lines), step) if isinstance(item, BulkRow)]
    assert [row.values["name"] for row in rows] == names


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r"), max_size=5), max_size=6),
       st.integers(1, 40))  # fmt: skip
def test_csv_is_read_as_it_is_written(names: list[str], step: int) -> None:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["id", "name"])
    writer.writerows([[str(number), name] for number, name in enumerate(names)])
    rows = [item for item in items(CsvRows(PRODUCT), text.getvalue().encode(), step) if isinstance(item, BulkRow)]
    assert [row.values.get("name", "") for row in rows] == names


def test_a_row_that_is_too_long_is_passed_over() -> None:
    body = b'{"id":"a"}\n' + b"x" * (ROW_BYTES_MAX * 3) + b'\n{"id":"b"}'
    for step in (1_000, len(body)):
        found = items(JsonLines(PRODUCT), body, step)
        assert [getattr(one, "id", None) for one in found] == ["a", None, "b"]
        assert isinstance(found[1], RowError)
        assert found[1].row == 2
    with pytest.raises(UnreadableBody):
        items(CsvRows(PRODUCT), b'id,name\n1,"' + b"x\n" * ROW_BYTES_MAX, 1_000)


@pytest.mark.parametrize("body", [b"\n", b" \r\n\r\n", b"\t"])
def test_a_csv_without_a_header_is_no_csv(body: bytes) -> None:
    with pytest.raises(UnreadableBody):
        items(CsvRows(PRODUCT), body, 10)
    assert not re.search(header_pattern(PRODUCT), body.decode())


@pytest.mark.parametrize(
    "header", ["id", "id,name", "\r\nname,id,attributes.a b", '"id","price"', "name", "id,colour", "id;name", " "]
)
def test_what_a_csv_may_begin_with_is_what_is_read(header: str) -> None:
    try:
        items(CsvRows(PRODUCT), f"{header}\n".encode(), 100)
    except UnreadableBody:
        assert not re.search(header_pattern(PRODUCT), f"{header}\n")
    else:
        assert re.search(header_pattern(PRODUCT), f"{header}\n")


def test_no_more_scopes_are_read_than_the_document_allows() -> None:
    assert read_scopes(["read"] * SCOPES_GIVEN_MAX) == ("read",)
    with pytest.raises(InvalidParameter):
        read_scopes(["read"] * (SCOPES_GIVEN_MAX + 1))
