"""Read the rows of an import from chunks of bytes: NDJSON (one object per line), or CSV with a header.   Pure.

`feed` takes a chunk and yields rows. A wrong row becomes a RowError, and reading continues with the next row. None
stands for work without a row, so that the caller can let other tasks run. A row's bytes are bounded. Every line that
is not blank is one row of the answer, except that a quoted cell may hold line breaks. In CSV an empty cell leaves the
field unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from rtaplatform.catalog.entities.bulk import BulkRow, RowError
from rtaplatform.catalog.entities.entity_types import DERIVED_FIELDS, EntityType
from rtaplatform.catalog.entities.fields import check_id, decode_with_id, read_object
from rtaplatform.catalog.imports.csv_cells import read_cell, unescape
from rtaplatform.catalog.imports.csv_header import CsvHeader, list_allowed_columns, read_header
from rtaplatform.core.errors import InvalidParameter, UnreadableBody
from rtaplatform.core.tables.csv_records import TOO_LONG, CsvLine, CsvRecord, CsvRecords, decode_line, find_separator
from rtaplatform.core.tables.text_lines import NOT_UTF_8, SAVE_AS_UTF_8, Recoder, TextLines

ID_CHARS_SHOWN, VALUE_CHARS_SHOWN = 256, 100

ImportItem = BulkRow | RowError | None


class JsonLines:
    """NDJSON: every line is one object with fields, among them `id`."""

    def __init__(self, kind: EntityType) -> None:
        self._kind, self._recoder, self._lines, self._number = kind, Recoder(), TextLines(), 0

    def feed(self, chunk: bytes) -> Iterator[ImportItem]:
        yield from map(self._read, self._lines.feed(self._recoder.feed(chunk)))

    def end(self) -> Iterator[ImportItem]:
        yield from map(self._read, self._lines.feed(self._recoder.end()))
        yield from map(self._read, self._lines.end())

    def _read(self, line: bytes | None) -> ImportItem:
        self._number += 1
        if line is None:
            return RowError(self._number, None, None, TOO_LONG)
        if not line.strip():
            return None
        try:
            document = decode_with_id(line)
        except UnicodeDecodeError:
            return RowError(self._number, None, None, f"{NOT_UTF_8} {SAVE_AS_UTF_8}", _shorten(line))
        except RecursionError:
            return RowError(self._number, None, None, "The row is nested too deeply.", _shorten(line))
        except msgspec.DecodeError as error:
            return RowError(self._number, None, None, f"The row is not JSON: {str(error)[:200]}", _shorten(line))
        return read_row(self._kind, self._number, document)


class CsvRows:
    """CSV as RFC 4180 defines it and as spreadsheets write it: text_lines.py, csv_records.py and csv_header.py."""

    def __init__(self, kind: EntityType) -> None:
        self._kind, self._recoder, self._lines, self._number = kind, Recoder(), TextLines(), 0
        self._separator: str | None = None
        self._header: CsvHeader | None = None
        self._records: CsvRecords | None = None

    def feed(self, chunk: bytes) -> Iterator[ImportItem]:
        for line in self._lines.feed(self._recoder.feed(chunk)):
            if line != b"" or self._records is None or self._records.is_open:
                yield from self._read_line(decode_line(line))
            else:
                self._number += 1
                yield None

    def end(self) -> Iterator[ImportItem]:
        for line in (*self._lines.feed(self._recoder.end()), *self._lines.end()):
            yield from self._read_line(decode_line(line))
        if self._records is None:
            raise UnreadableBody("There is no header.", field="header", allowed=list_allowed_columns(self._kind))
        yield from map(self._read, self._records.end())

    def _read_line(self, line: CsvLine) -> Iterable[ImportItem]:
        if self._records is not None:
            return map(self._read, self._records.feed(line))
        self._read_preamble(line)
        return (None,)

    def _read_preamble(self, line: CsvLine) -> None:
        """Before the header is read: a blank line, the line that names the delimiter, or the header."""
        self._number += 1
        if line.flaw is not None:
            raise UnreadableBody(f"The header cannot be read: {line.flaw}", field="header", hint=SAVE_AS_UTF_8)
        if line.text.strip() and self._separator is None:
            self._separator = find_separator(line.text)
            if self._separator is not None:
                return
        if line.text.strip():
            self._header = read_header(self._kind, line.text, self._separator)
            self._records = CsvRecords(self._header.delimiter)

    def _read(self, record: CsvRecord | None) -> ImportItem:
        if record is None:
            return None
        self._number += 1
        assert self._header is not None
        cells = record.cells
        if record.flaw is not None:
            id = _read_cell(record.line.split(self._header.delimiter), self._header.id_index)
            return RowError(self._number, id, None, record.flaw, _shorten(record.line))
        columns = self._header.columns
        if record.is_blank():
            return None
        if len(cells) < len(columns) or any(cells[len(columns) :]):
            message = (
                f"The row has {len(cells)} cells, the header {len(columns)}. Quote a cell that holds the delimiter."
            )
            return RowError(self._number, _read_cell(cells, self._header.id_index), None, message, _shorten(cells[-1]))
        return self._read_cells(cells)

    def _read_cells(self, cells: list[str]) -> ImportItem:
        assert self._header is not None
        document: dict[str, Any] = {}
        for column, cell in zip(self._header.columns, cells, strict=False):
            if cell == "":
                continue
            try:
                if not column.name:
                    raise InvalidParameter("The cell is in a column without a name.")
                if column.key:
                    document.setdefault(column.name, {})[column.key] = unescape(cell)
                else:
                    document[column.name] = read_cell(column.name, cell, self._kind.json_field)
            except InvalidParameter as error:
                id = _read_cell(cells, self._header.id_index)
                return RowError(self._number, id, column.name or None, error.detail, _shorten(cell))
        return read_row(self._kind, self._number, document)


def read_row(kind: EntityType, number: int, document: object) -> BulkRow | RowError:
    """One object, checked. The fields that only the platform sets are in an export; here they are ignored."""
    row: dict[str, Any] = document if isinstance(document, dict) else {}
    try:
        if not isinstance(document, dict):
            raise InvalidParameter("A row must be a JSON object.")
        if "id" not in row:
            raise InvalidParameter("`id` is missing.", field="id")
        id = check_id(row["id"], kind.reserved)
        values = {name: value for name, value in row.items() if name != "id" and name not in DERIVED_FIELDS}
        return BulkRow(number, id, read_object(values, kind.fields))
    except InvalidParameter as error:
        wrong_value = row.get(error.field) if error.field in row else None if row else document
        return RowError(number, _read_id(row), error.field, error.detail, _shorten(wrong_value))


def _read_id(row: dict[str, Any]) -> str | None:
    id = row.get("id")
    return None if id is None else _shorten(id, ID_CHARS_SHOWN)


def _read_cell(cells: list[str], index: int) -> str | None:
    return unescape(cells[index])[:ID_CHARS_SHOWN] if index < len(cells) and cells[index] else None


def _shorten(value: Any, chars: int = VALUE_CHARS_SHOWN) -> str | None:
    """The beginning of a given value, as text that an answer can hold."""
    if value is None:
        return None
    if isinstance(value, bytes):
        return value[:chars].decode(errors="replace")
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text[:chars].encode(errors="replace").decode()
