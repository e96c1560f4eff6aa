"""Exports as they come: every row is an event or a fault with its line, and no file is half read in silence."""

from __future__ import annotations

import codecs
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from rtaplatform.collect.body.json_reading import read_client_time
from rtaplatform.core.errors import SetupError
from rtaplatform.history.export_files import TOOLS, compute_digest, read_rows
from rtaplatform.history.spool import EventSpool
from rtaplatform.history.tools.rows import RowFault, read_utc

MARK = codecs.BOM_UTF8
ROW = {"timestamp": "2026-11-01T10:00:00Z", "user_id": "u-1", "event": "Café"}
HEADER = "timestamp,user_id,event\n"
CELLS = "2026-11-01T10:00:00Z,u-1,Café"


def read_items(tmp_path: Path, content: bytes, tool: str = "csv") -> list[Any]:
    path = tmp_path / "export"
    path.write_bytes(content)
    compute_digest(path)
    return list(read_rows(path, TOOLS[tool]))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "text",
    [json.dumps(ROW, ensure_ascii=False), json.dumps([ROW], ensure_ascii=False), f"{HEADER}{CELLS}\n"],
    ids=["lines", "list", "csv"],
)
def test_a_file_is_read_in_each_encoding(tmp_path: Path, text: str, encoding: str) -> None:
    rows = read_items(tmp_path, text.encode(encoding))
    assert [row for _, row in rows] == [ROW]


def test_rows_that_are_no_utf_8_are_told(tmp_path: Path) -> None:
    content = HEADER.encode() + CELLS.encode("latin-1") + b"\n" + CELLS.encode() + b"\n"
    fault, (line, row) = read_items(tmp_path, content)
    assert (fault.line, "UTF-8" in fault.reason, line, row) == (2, True, 3, ROW)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"foo,bar\n", "columns: bar, foo"),
        (HEADER.replace("event", "user_id").encode() + b"2026-11-01,u,v\n", "`user_id` is there twice"),
        (b"x" * 2_000_000, "The row has more than"),
        (b"PK\x03\x04" + bytes(100), "ZIP archive"),
        (gzip.compress(HEADER.encode() + CELLS.encode() * 1000)[:-20], "cut off or damaged"),
        (b"\x1f\x8b" + b"x" * 30, "cut off or damaged"),
        (codecs.BOM_UTF32_LE + HEADER.encode("utf-32-le"), "UTF-32"),
        (b"\xff\xfe\x00\xd8\x41\x00", "UTF-16"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_as_a_whole(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(SetupError, match=message) as refusal:
        read_items(tmp_path, content)
    assert (refusal.value.exit_code, bool(refusal.value.remedy)) == (2, True)


@pytest.mark.parametrize("head", ["", "\n", "sep=;\n", "# Report\n#\n"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_by_the_header(tmp_path: Path, delimiter: str, head: str) -> None:
    delimiter = ";" if head.startswith("sep") else delimiter
    [(line, row)] = read_items(tmp_path, (head + f"{HEADER}{CELLS}\n".replace(",", delimiter)).encode())
    assert (line, row) == (head.count("\n") + 2, ROW)


def test_an_unclosed_quote_spoils_its_own_line_only(tmp_path: Path) -> None:
    lines = ['2026-11-01,u,"open', "2026-11-02,u,b", '2026-11-03,u,"two\nlines"', '2026-11-04,u,5" nail']
    items = read_items(tmp_path, (HEADER + "\n".join(lines) + "\n").encode())
    faults = [item.line for item in items if isinstance(item, RowFault)]
    rows = [(item[0], item[1]["event"]) for item in items if not isinstance(item, RowFault)]
    assert (faults, rows) == ([2], [(3, "b"), (4, "two\nlines"), (6, '5" nail')])


def test_blank_rows_and_columns_without_a_name_hold_nothing(tmp_path: Path) -> None:
    content = " timestamp , user_id,event,,\n2026-11-01,u,a,,\n,,,,\n\n2026-11-02,u,b,x,\n"
    (line, row), fault = read_items(tmp_path, content.encode())
    assert (line, row) == (2, {"timestamp": "2026-11-01", "user_id": "u", "event": "a"})
    assert (fault.line, "without a name" in fault.reason) == (5, True)


HOSTILE: list[Any] = [5, "x", [5], ["x"], [{"key": [1], "value": 5}], {"key": 1}, True, [[]], "1" * 5000]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize(
    ("tool", "name", "row"),
    [
        ("ga4", "event_params", {"event_timestamp": "1793527200123456", "event_name": "x", "user_pseudo_id": "g"}),
        ("ga4", "items", {"event_timestamp": "1793527200123456", "event_name": "x", "user_pseudo_id": "g"}),
        ("ga4", "event_timestamp", {"event_name": "x", "user_pseudo_id": "g"}),
        ("ga4", "ecommerce", {"event_timestamp": "1793527200123456", "event_name": "x", "user_pseudo_id": "g"}),
        ("plausible", "meta.key", {"timestamp": "2026-11-01", "user_id": 1, "name": "x", "meta.value": ["a"]}),
        ("matomo", "actionDetails", {"visitorId": "v"}),
        ("csv", "context", {"timestamp": "2026-11-01", "user_id": 1, "properties": {}}),
    ],
)
def test_values_of_wrong_types_end_no_import(
    tmp_path: Path, tool: str, name: str, row: dict[str, Any], value: Any
) -> None:
    path = tmp_path / "export"
    path.write_text(json.dumps({**row, name: value}))
    spool = EventSpool("demo", "import:abc:1")
    spool.fill(path, TOOLS[tool], lambda _: None)
    spool.close()
    assert spool.rows == 1


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("name", ["timestamp", "itemDetails", "type", "orderId", "url"])
def test_actions_of_wrong_types_end_no_import(tmp_path: Path, name: str, value: Any) -> None:
    action = {"type": "ecommerceOrder", "timestamp": 1793527200, "orderId": "o", name: value}
    [(_, visit)] = read_items(tmp_path, json.dumps([{"visitorId": "v", "actionDetails": [action]}]).encode(), "matomo")
    assert len(list(TOOLS["matomo"].read_row(visit))) == 1


@pytest.mark.parametrize(
    ("moment", "expected_ms"),
    [
        ("2026-11-01 10:00:00-05", 1793545200000),
        ("2026-11-01 10:00:00+00", 1793527200000),
        ("2026-11-01 10:00:00 +0000", 1793527200000),
        ("2026-11-01 10:00:00.5 -03:30", 1793539800500),
        ("2026-11-01 10:00:00.123456-0330", 1793539800123),
        ("2026-11-01 10:00:00.123 UTC", 1793527200123),
        ("2026-11-01 10:00", 1793527200000),
    ],
)
def test_times_of_databases_have_offsets_of_each_form(moment: str, expected_ms: int) -> None:
    assert read_client_time(read_utc(moment)) == expected_ms


def test_a_row_with_properties_of_its_own_is_an_event_as_the_collector_takes_it(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    track = {
        "type": "track", "event": "Order Completed", "userId": "u-1", "timestamp": "2026-11-01T10:00:00Z",
        "sentAt": "2026-12-01T10:00:00Z", "properties": {"order_id": "o-1", "revenue": 12.5},
        "context": {"page": {"path": "/thanks"}},
    }  # fmt: skip
    page = {"type": "page", "name": "Home", "anonymousId": "a-1", "timestamp": 1793527200, "properties": {"x": 1}}
    person = {"type": "identify", "userId": "u-1", "timestamp": "2026-11-01", "traits": {"plan": "pro"}}
    path.write_text("\n".join(map(json.dumps, (track, page, person))))
    spool = EventSpool("demo", "import:abc:1")
    spool.fill(path, TOOLS["csv"], lambda _: None)
    identify_record, order_record, page_record = [json.loads(record.value) for record in spool.replay(0)]
    spool.close()
    assert order_record["properties"] == track["properties"]
    assert order_record["timestamp"] == "2026-11-01T10:00:00.000Z"
    assert order_record["context"]["page"]["path"] == "/thanks"
    assert (page_record["type"], page_record["name"], page_record["properties"]) == ("page", "Home", {"x": 1})
    assert identify_record["traits"] == {"plan": "pro"}
