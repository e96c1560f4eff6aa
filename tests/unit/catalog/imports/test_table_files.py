"""Rows of files as people and spreadsheets write them: every line is a row of the answer, and none swallows another."""

from __future__ import annotations

import csv
import io
import json
import re
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rtaplatform.catalog.entities.bulk import BulkRow, RowError
from rtaplatform.catalog.entities.entity_types import PRODUCT, USER, EntityType
from rtaplatform.catalog.imports.csv_cells import unescape
from rtaplatform.catalog.imports.csv_header import make_header_pattern
from rtaplatform.catalog.imports.table_files import CsvRows, JsonLines
from rtaplatform.core.errors import UnreadableBody
from rtaplatform.core.tables.csv_records import DELIMITERS, CsvLine, CsvRecords
from rtaplatform.core.tables.text_lines import LINE_BYTES_MAX
from rtaplatform.core.values.ids import has_control
from rtaplatform.serve.http.csv_tables import write_objects

Read = list[BulkRow | RowError]
# What a cell may hold: no CR, which a line break within a cell is read as.
CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r"), max_size=6)
STRAY = st.text('ab",;\n ', max_size=8)


def read(reader: JsonLines | CsvRows, body: bytes, step: int = 1 << 20) -> Read:
    parts = [body[start : start + step] for start in range(0, len(body), step)]
    return [item for part in parts for item in reader.feed(part) if item] + [item for item in reader.end() if item]


def read_csv(text: str, kind: EntityType = PRODUCT) -> Read:
    return read(CsvRows(kind), text.encode())


def list_outcomes(rows: Read) -> list[str]:
    return [f"!{item.row}" if isinstance(item, RowError) else item.id for item in rows]


def list_values(rows: Read) -> dict[str, dict[str, Any]]:
    return {item.id: item.values for item in rows if isinstance(item, BulkRow)}


@given(st.lists(st.text(max_size=5), max_size=6), st.integers(1, 40))
def test_lines_do_not_depend_on_how_they_arrive(names: list[str], step: int) -> None:
    names = [name.replace("\x00", "") for name in names]
    lines = [msgspec.json.encode({"id": str(number), "name": name}) for number, name in enumerate(names)]
    assert [row["name"] for row in list_values(read(JsonLines(PRODUCT), b"\r\n".join(lines), step)).values()] == names


@given(
    st.lists(st.lists(CELLS, min_size=3, max_size=3), max_size=6), st.integers(1, 40),
    st.sampled_from(list(DELIMITERS)),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]), st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)  # fmt: skip
def test_csv_is_read_as_it_is_written(
    cells: list[list[str]], step: int, delimiter: str, quoting: Any, end: str, encoding: str
) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=end)
    writer.writerow(["ID", "Name", "attributes.a", "attributes.b"])
    writer.writerows([[str(number), *row] for number, row in enumerate(cells)])
    values_by_id = list_values(read(CsvRows(PRODUCT), text.getvalue().encode(encoding), step))
    assert list(values_by_id) == [str(number) for number in range(len(cells))]
    for row, (name, a, b) in zip(values_by_id.values(), cells, strict=True):
        filled = {key: unescape(cell) for key, cell in (("a", a), ("b", b)) if cell}
        assert (row.get("name", ""), row.get("attributes", {})) == (unescape(name), filled)


@given(st.lists(STRAY, max_size=8), st.sampled_from(",;"))
def test_a_line_that_a_lenient_reader_takes_for_one_row_is_that_row(lines: list[str], delimiter: str) -> None:
    """Python's own reader agrees on each line where no quote is opened and left, or goes on behind its end."""
    for line in "".join(lines).split("\n"):
        records = CsvRecords(delimiter)
        records_of_line = [record for record in (*records.feed(CsvLine(line)), *records.end()) if record]
        assert len(records_of_line) == 1
        try:
            [cells] = csv.reader([line], delimiter=delimiter, strict=True) if line else [[]]
        except csv.Error:
            assert records_of_line[0].flaw
        else:
            assert records_of_line[0].flaw is None
            assert (records_of_line[0].cells, records_of_line[0].is_blank()) == (
                cells or [""],
                not any(cell.strip() for cell in cells),
            )


@given(st.lists(STRAY, max_size=20))
def test_no_line_is_lost_whatever_quotes_there_are(lines: list[str]) -> None:
    """Each line is in one record, whole: as its text, or as a part of a cell that holds line breaks."""
    text = [line for line in "".join(lines).split("\n") if line.strip(' ,"')]
    records = CsvRecords(",")
    records_of_lines = [record for line in text for record in records.feed(CsvLine(line))] + list(records.end())
    whole = [record for record in records_of_lines if record is not None]
    assert sum(1 + "".join(record.cells).count("\n") for record in whole) == len(text)


def test_a_stray_quote_costs_no_other_row() -> None:
    inches = [f"p-{number},x" for number in range(3_000)]
    inches[2] = inches[1_500] = 'p-2,5" nail'
    rows_read = read_csv("\n".join(["id,name", *inches]))
    assert len(list_values(rows_read)) == 2_999
    assert list_values(rows_read)["p-2"] == {"name": '5" nail'}
    rows = [f"p-{number},x" for number in range(20_000)]
    rows_read = read_csv("\n".join(["id,name", 'q1,"open', *rows]))
    assert (list_outcomes(rows_read)[0], len(list_values(rows_read)), len(rows_read)) == ("!2", 20_000, 20_001)
    first = rows_read[0]
    assert isinstance(first, RowError)
    assert (first.id, first.value, "not closed" in first.detail) == ("q1", 'q1,"open', True)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (['q1,a"b', "q2,x", 'q3,c"', "q4,y"], ["q1", "q2", "q3", "q4"]),
        (['q1,"open', 'q2,"fine"', "q3,x"], ["!2", "q2", "q3"]),
        (['q1,"open', '"q2","fine"', "q3,x"], ["!2", "q2", "q3"]),
        (['q1,"open', 'q2,"open too', "q3,x"], ["!2", "!3", "q3"]),
        (['q1,"in" the middle', "q2,x"], ["!2", "q2"]),
        (['q1,"two', 'lines"', "q2,x"], ["q1", "q2"]),
        (['q1,"two', 'lines" and more', "q2,x"], ["!2", "!3", "q2"]),
        (['q1,"', "q2,x", ""], ["!2", "q2"]),
        (["q1,x", "", " ", ",", "q2,y"], ["q1", "q2"]),
        (["q1,x,,", "q2", "q3,a,b", "q4,x"], ["q1", "!3", "!4", "q4"]),
    ],
)  # fmt: skip
def test_each_row_has_its_own_outcome(rows: list[str], expected: list[str]) -> None:
    for end in ("\n", "\r\n"):
        assert list_outcomes(read_csv(end.join(["id,name", *rows]))) == expected


def test_a_row_that_is_too_long_is_passed_over() -> None:
    body = b'{"id":"a"}\n' + b"x" * (LINE_BYTES_MAX * 3) + b'\n{"id":"b"}'
    for step in (1_000, len(body)):
        assert list_outcomes(read(JsonLines(PRODUCT), body, step)) == ["a", "!2", "b"]
    lines = b'id,name\na,1\nb,"' + b"x" * (LINE_BYTES_MAX * 3) + b"\nc,3"
    for step in (1_000, len(lines)):
        assert list_outcomes(read(CsvRows(PRODUCT), lines, step)) == ["a", "!3", "c"]
    rows_read = read_csv('id,name\n1,"' + "x\n" * LINE_BYTES_MAX)
    assert len(rows_read) == LINE_BYTES_MAX, "each line is refused for itself"


def test_quotes_that_open_again_and_again_end_the_import() -> None:
    """Each of these lines ends one quoted cell and opens the next: reading them again costs more with every one."""
    columns = ",".join(["id", *(f"attributes.{number}" for number in range(150))])
    with pytest.raises(UnreadableBody, match="quotes"):
        read_csv("\n".join([columns, *(['x",y,"z'] * 40_000)]))


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("id;name;price", "p;Boot;4.50"), ("id\tname\tprice", "p\tBoot\t4.50"), ("id|name|price", "p|Boot|4.50"),
        ("sep=;\nid;name;price", "p;Boot;4.50"), ('"sep=;"\r\nid;name;price', "p;Boot;4.50"),
        ("ID,Name,PRICE", "p,Boot,4.50"), (" id , name , Price ", "p,Boot,4.50"), ("id,name,price,,", "p,Boot,4.50,,"),
        ("\ufeffid,name,price", "p,Boot,4.50"), ("\ufeff\n\nid,name,price", "p,Boot,4.50"),
        ("id,name,price,created_at", "p,Boot, 4.50 ,2026-01-01"), ('"id";"name";"price"', '"p";"Boot";"4.50"'),
    ],
)  # fmt: skip
def test_csv_is_read_as_spreadsheets_write_it(header: str, row: str) -> None:
    rows_read = list_values(read_csv(f"{header}\n{row}\n"))
    assert {name: str(value) for name, value in rows_read["p"].items()} == {"name": "Boot", "price": "4.5000"}
    for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
        text = f"{header}\n{row}".removeprefix("\ufeff")
        assert list_values(read(CsvRows(PRODUCT), text.encode(encoding), 3)) == rows_read


def test_ndjson_may_begin_with_a_mark() -> None:
    for encoding in ("utf-8-sig", "utf-16", "utf-16-le"):
        for step in (1, 100):
            body = '{"id": "a", "name": "é"}\n{"id": "b"}'.encode(encoding)
            assert list_values(read(JsonLines(PRODUCT), body, step)) == {"a": {"name": "é"}, "b": {}}


def test_other_encodings_are_named() -> None:
    latin = "id,name\np-1,caf\xe9\np-2,tea".encode("latin-1")
    [wrong, good] = read(CsvRows(PRODUCT), latin)
    assert isinstance(wrong, RowError)
    assert (wrong.row, wrong.id, "Latin-1" in wrong.detail, list_outcomes([good])) == (2, "p-1", True, ["p-2"])
    [wrong] = read(JsonLines(PRODUCT), '{"id": "caf\xe9"}'.encode("latin-1"))
    assert isinstance(wrong, RowError)
    assert "Latin-1" in wrong.detail
    with pytest.raises(UnreadableBody, match="UTF-32"):
        read(CsvRows(PRODUCT), "id,name".encode("utf-32"))
    with pytest.raises(UnreadableBody, match="UTF-16"):
        read(CsvRows(PRODUCT), b"\xff\xfei\x00\x00\xd8x\x00")


@pytest.mark.parametrize(
    ("price", "word"),
    [
        ("4,50", "decimal comma"), ("1.299,00", "decimal comma"), ("1 299,00", "decimal comma"),
        ("1,299.00", "thousands separators"), ("€4.50", "plain decimal"), ("N/A", "plain decimal"),
        ("1_000", "plain decimal"), ("+5", "plain decimal"), ("١٢", "plain decimal"), ("１２", "plain decimal"),
        ("nan", "plain decimal"), ("inf", "plain decimal"), ("0x10", "plain decimal"), (" ", "plain decimal"),
        ("-1", "from 0"), ("9e99", "plain decimal"),
    ],
)  # fmt: skip
def test_a_price_is_one_plain_decimal(price: str, word: str) -> None:
    [wrong] = read_csv(f"name;id;price\nBoot;p-1;{price}\n")
    assert isinstance(wrong, RowError)
    assert (wrong.row, wrong.id, wrong.field) == (2, "p-1", "price")
    assert wrong.value is not None
    assert wrong.value.startswith(price) or float(wrong.value) == float(price)
    assert word in wrong.detail


def test_a_refused_row_of_ndjson_says_what_stood_there() -> None:
    lines = [
        '{"id":"p","price":"much"}',
        '{"id":"q","color":[1]}',
        '{"id":"import"}',
        "nope",
        "[1]",
        "{" * 3,
        "[" * 9_000,
    ]
    rows_read = read(JsonLines(PRODUCT), "\n".join(lines).encode())
    errors = [(row.id, row.field, row.value) for row in rows_read if isinstance(row, RowError)]
    assert errors[:5] == [
        ("p", "price", "much"), ("q", "color", "[1]"), ("import", "id", "import"), (None, None, "nope"),
        (None, None, "[1]"),
    ]  # fmt: skip
    assert len(errors) == len(lines)
    assert "recursion" not in str(rows_read)


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ("name", "no column `id`"), ("id,colour", "no column `colour`"), ("ID,id", "`id` is there twice"),
        ("id,attributes.", "has no key"), (",id,name", "Column 1 has no name"), ("id;name;nonsense", "semicolon"),
        ("id,attributes,attributes.a", "twice"), ("id,traits.a", "`traits.a`"),
        ('id,"name', "cannot be read: A quote is opened, and not closed in the same line"),
        ('id,"na\nme",brand', "cannot be read: A quote is opened, and not closed in the same line"),
        ('id,"name"x', "cannot be read: A cell goes on behind its closing quote"),
    ],
)  # fmt: skip
def test_a_wrong_column_is_named(header: str, problem: str) -> None:
    with pytest.raises(UnreadableBody, match=re.escape(problem)) as caught:
        read_csv(f"{header}\n1,2\n")
    assert caught.value.field == "header"
    assert caught.value.hint
    assert "JSON of at most" not in caught.value.hint


@pytest.mark.parametrize("body", [b"\n", b" \r\n\r\n", b"\t"])
def test_a_csv_without_a_header_is_no_csv(body: bytes) -> None:
    with pytest.raises(UnreadableBody):
        read(CsvRows(PRODUCT), body, 10)
    assert not re.search(make_header_pattern(PRODUCT), body.decode())


@pytest.mark.parametrize(
    "header",
    ["id", "id,name", "\r\nname,id,attributes.a b", '"id","price"', "name", "id,colour", "id,attributes.", " "],
)
def test_what_a_csv_may_begin_with_is_what_is_read(header: str) -> None:
    try:
        read_csv(f"{header}\n")
    except UnreadableBody:
        assert not re.search(make_header_pattern(PRODUCT), f"{header}\n")
    else:
        assert re.search(make_header_pattern(PRODUCT), f"{header}\n")


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r"), min_size=1, max_size=4)


@given(NAMES)
@example(".")
def test_an_export_is_read_as_it_was_and_holds_no_formula(text: str) -> None:
    for name in (text, f"={text}", f"'={text}", f"@{text}", f" +{text}", "'"):
        attributes = {"a": text, "n": 1.5, "deep": {"b": [True, None]}}
        row = {"id": name, "name": name, "price": 0.25, "attributes": attributes, "brand": None, "created_at": text}
        written = write_objects([row], list(row)).text
        cells = next(iter(list(csv.reader(io.StringIO(written.decode(), newline="")))[1:]))
        assert not re.match(r"\s*[=+@-]", cells[1])
        rows_read = read(CsvRows(PRODUCT), written)
        if has_control(name) or name in PRODUCT.reserved:
            assert list_outcomes(rows_read) == ["!2"]
        else:
            assert list_values(rows_read) == {name: {"name": name, "price": Decimal("0.25"), "attributes": attributes}}


def test_objects_and_lists_are_cells_of_json() -> None:
    traits, ids = {"plan": "free", "n": 1.5, "deep": {"a": [True, None]}}, ["a b", "c,d"]
    text = io.StringIO(newline="")
    csv.writer(text).writerows([["id", "traits", "anonymous_ids"], ["u", json.dumps(traits), json.dumps(ids)]])
    assert list_values(read_csv(text.getvalue(), USER)) == {"u": {"traits": traits, "anonymous_ids": ids}}
    assert list_values(read_csv("id,anonymous_ids,Traits.Plan\nu,a b,free\n", USER)) == {
        "u": {"anonymous_ids": ["a", "b"], "traits": {"Plan": "free"}}
    }
    assert list_outcomes(read_csv("id,traits,anonymous_ids\nu,[],\nv,,[1\nw,,[1]\n", USER)) == ["!2", "!3", "w"]
