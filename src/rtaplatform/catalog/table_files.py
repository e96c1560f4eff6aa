"""Rows of an import, read from bytes as they come: NDJSON, one object a line, or CSV with a header.   Pure.

Feed chunks, take rows; what is wrong with a row is a RowError and the next row goes on. Bounded: a row's bytes. In
CSV the header names fields, `attributes.color` (or `traits.plan`) is a key of the free object, an empty cell leaves a
field as it is.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from rtaplatform.catalog.bulk import BulkRow, RowError
from rtaplatform.catalog.fields import check_id, read_object
from rtaplatform.catalog.kinds import Kind
from rtaplatform.core.errors import InvalidParameter, UnreadableBody

ROW_BYTES_MAX = 65_536
COLUMNS_MAX = 200

Item = BulkRow | RowError


class JsonLines:
    """NDJSON: every line an object of the fields, `id` among them."""

    def __init__(self, kind: Kind) -> None:
        self._kind, self._lines, self._number = kind, _Lines(), 0

    def feed(self, chunk: bytes) -> Iterator[Item]:
        for line in self._lines.feed(chunk):
            yield from self._read(line)

    def end(self) -> Iterator[Item]:
        for line in self._lines.end():
            yield from self._read(line)

    def _read(self, line: bytes | None) -> Iterator[Item]:
        self._number += 1
        if line is None:
            yield RowError(self._number, None, None, f"The row has more than {ROW_BYTES_MAX} bytes.")
        elif line.strip():
            yield self._item(line)

    def _item(self, line: bytes) -> Item:
        try:
            given = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return RowError(self._number, None, None, f"The row is not JSON: {str(error)[:200]}")
        return read_row(self._kind, self._number, given)


class CsvRows:
    """CSV as RFC 4180 has it, in UTF-8; cells may hold line breaks."""

    def __init__(self, kind: Kind) -> None:
        self._kind, self._lines, self._number = kind, _Lines(), 0
        self._header: list[str] | None = None
        self._record: list[bytes] = []
        self._bytes = 0  # of the record so far
        self._is_open = False  # within a quoted cell

    def feed(self, chunk: bytes) -> Iterator[Item]:
        for line in self._lines.feed(chunk):
            yield from self._take(line)

    def end(self) -> Iterator[Item]:
        for line in self._lines.end():
            yield from self._take(line)
        if self._record:
            yield from self._close()
        if self._header is None:
            raise UnreadableBody("There is no header.", field="header", allowed=allowed_columns(self._kind))

    def _take(self, line: bytes | None) -> Iterator[Item]:
        if line is None:
            raise UnreadableBody(f"A row has more than {ROW_BYTES_MAX} bytes: what follows cannot be told apart.")
        self._record.append(line)
        self._bytes += len(line)
        if self._bytes > ROW_BYTES_MAX:
            raise UnreadableBody(f"Row {self._number + 1} has more than {ROW_BYTES_MAX} bytes: is a quote open?")
        self._is_open ^= line.count(b'"') % 2 == 1
        if not self._is_open:
            yield from self._close()

    def _close(self) -> Iterator[Item]:
        text, self._record, self._bytes = b"\n".join(self._record), [], 0
        self._number += 1
        if not text.strip():
            return
        try:
            cells = next(csv.reader([text.decode("utf-8-sig" if self._header is None else "utf-8")], strict=True))
        except (csv.Error, UnicodeDecodeError) as error:
            if self._header is None:
                raise UnreadableBody(f"The header cannot be read: {error}") from None
            yield RowError(self._number, None, None, f"The row is not CSV: {error}")
            return
        if self._header is None:
            self._header = check_header(self._kind, cells)
        else:
            yield self._item(self._header, cells)

    def _item(self, header: list[str], cells: list[str]) -> Item:
        if len(cells) != len(header):
            detail = f"The row has {len(cells)} cells, the header {len(header)}."
            return RowError(self._number, None, None, detail)
        try:
            given = _object_of(header, cells)
        except InvalidParameter as error:
            return RowError(self._number, None, error.field, error.detail)
        return read_row(self._kind, self._number, given)


def read_row(kind: Kind, number: int, given: object) -> Item:
    """One object, checked."""
    id = given.get("id") if isinstance(given, dict) else None
    try:
        if isinstance(given, dict):
            if "id" not in given:
                raise InvalidParameter("`id` is missing.", field="id")
            given = {name: value for name, value in given.items() if name != "id"}
            check_id(id, kind.reserved)
        values = read_object(given, kind.fields)
        return BulkRow(number, str(id), values)
    except InvalidParameter as error:
        return RowError(number, id[:600] if isinstance(id, str) else None, error.field, error.detail)


def check_header(kind: Kind, cells: list[str]) -> list[str]:
    """The columns; raises UnreadableBody, since without a header no row can be read."""
    names = [cell.strip() for cell in cells]
    allowed = allowed_columns(kind)
    wrong = [name for name in names if not (name in allowed[:-1] or name.startswith(f"{kind.json_field}."))]
    if wrong or len(set(names)) < len(names) or "id" not in names or len(names) > COLUMNS_MAX:
        said = f"There is no column `{wrong[0][:100]}`." if wrong else "The header has `id`, and every column once."
        raise UnreadableBody(said, field="header", allowed=allowed)
    return names


def allowed_columns(kind: Kind) -> list[str]:
    return ["id", *(name for name in kind.fields if name != kind.json_field), f"{kind.json_field}.*"]


def header_pattern(kind: Kind) -> str:
    """What a CSV begins with, as a regular expression; that each column is there once it cannot say."""
    names = [re.escape(name) for name in kind.fields if name != kind.json_field]
    # Quotes are allowed, as around every cell.
    plain, free = "|".join(names), rf'{kind.json_field}\.[^\u0000-\u001f",]*'
    column = rf'(?:id|{plain}|{free}|"(?:id|{plain}|{free})")'
    return rf'^(?:[ \t]*\r?\n)*(?:{column},)*(?:id|"id")(?:,{column})*(?:\r?\n|$)'


def _object_of(header: list[str], cells: list[str]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for name, cell in zip(header, cells, strict=True):
        if cell == "":
            continue
        free, _, key = name.partition(".")
        if key:
            given.setdefault(free, {})[key] = cell
        else:
            given[name] = _value_of(name, cell)
    return given


def _value_of(name: str, cell: str) -> Any:
    if name == "price":
        try:
            return float(cell)
        except ValueError:
            raise InvalidParameter("It is a number.", field=name) from None
    return cell.split() if name == "anonymous_ids" else cell


class _Lines:
    """Lines out of chunks; None stands for one that is too long, which is passed over."""

    def __init__(self) -> None:
        self._rest, self._is_skipping = b"", False

    def feed(self, chunk: bytes) -> Iterator[bytes | None]:
        *lines, rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            yield None if self._is_skipping or len(line) > ROW_BYTES_MAX else line.removesuffix(b"\r")
            self._is_skipping = False
        self._is_skipping = self._is_skipping or len(rest) > ROW_BYTES_MAX
        self._rest = b"" if self._is_skipping else rest

    def end(self) -> Iterator[bytes | None]:
        if self._is_skipping:
            yield None
        elif self._rest:
            yield self._rest.removesuffix(b"\r")
        self._rest, self._is_skipping = b"", False
