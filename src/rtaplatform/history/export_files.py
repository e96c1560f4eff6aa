"""Open an export: CSV with a header, JSON lines, or one list of JSON; plain or gzip. Yields rows with their lines.

A file that has only totals is refused before anything is sent.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from rtaplatform.core.errors import SetupError
from rtaplatform.history.tools.rows import ExportRow, HistoryTool, RowFault
from rtaplatform.history.tools.table import TABLE, has_needed_columns
from rtaplatform.history.tools.web_tools import GA4, MATOMO, PLAUSIBLE, UMAMI

TOOLS = {tool.name: tool for tool in (PLAUSIBLE, UMAMI, MATOMO, GA4, TABLE)}
ROW_CHARACTERS_MAX = 1 << 20
LIST_BYTES_MAX = 1 << 30  # of a file that is one list of JSON
_PART_BYTES = 1 << 20
_COLUMNS_SHOWN = 8


def compute_digest(path: Path) -> str:
    """The SHA-256 of the content: by it a file is recognised, whatever its name is."""
    digest = hashlib.sha256()
    with _open(path) as file:
        while part := file.read(_PART_BYTES):
            digest.update(part)
    return digest.hexdigest()


def read_rows(path: Path, tool: HistoryTool) -> Iterator[tuple[int, ExportRow] | RowFault]:
    """The rows with their lines. Raises SetupError if the file has only totals."""
    csv.field_size_limit(ROW_CHARACTERS_MAX)
    with _open(path) as file:
        head = file.read(1)
        while head.isspace():
            head = file.read(1)
    rows = _read_list(path) if head == b"[" else _read_lines(path) if head == b"{" else _read_csv(path)
    is_checked = False
    for item in rows:
        if not is_checked and not isinstance(item, RowFault):
            _refuse_totals(path, tool, frozenset(item[1]))
            is_checked = True
        yield item


def _refuse_totals(path: Path, tool: HistoryTool, columns: frozenset[str]) -> None:
    if columns.issuperset(tool.needed) and (tool is not TABLE or has_needed_columns(columns)):
        return
    shown = ", ".join(sorted(columns)[:_COLUMNS_SHOWN])
    raise SetupError(
        f"{path.name} has no events of {tool.name}, but totals or something else (columns: {shown}). "
        "Numbers here are made of events, each with its time and its visitor.",
        tool.remedy,
        exit_code=2,
    )


def _open(path: Path) -> IO[bytes]:
    file = path.open("rb")
    if file.peek(2)[:2] == b"\x1f\x8b":
        file.close()
        opened: Any = gzip.open(path, "rb")  # noqa: SIM115  # the caller closes it
        return opened  # type: ignore[no-any-return]  # gzip's own type
    return file


def _read_csv(path: Path) -> Iterator[tuple[int, ExportRow] | RowFault]:
    with _open(path) as file:
        lines = io.TextIOWrapper(file, "utf-8-sig", errors="replace", newline="")
        first = lines.readline()
        while first.startswith("#") or first.strip() == "":  # GA4 begins with comments
            if not first:
                return
            first = lines.readline()
        delimiter = max(",;\t", key=first.count)
        names = next(csv.reader([first], delimiter=delimiter))
        reader = csv.reader(lines, delimiter=delimiter)
        try:
            for cells in reader:
                line = reader.line_num + 1
                if not cells:
                    continue
                if len(cells) != len(names):
                    yield RowFault(line, f"{len(cells)} cells, but the header has {len(names)}.")
                else:
                    yield line, {name: cell or None for name, cell in zip(names, cells, strict=True)}
        except csv.Error as error:
            yield RowFault(reader.line_num + 1, f"The rest cannot be read as CSV: {error}.")


def _read_lines(path: Path) -> Iterator[tuple[int, ExportRow] | RowFault]:
    with _open(path) as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield _read_object(number, line)


def _read_object(number: int, line: bytes) -> tuple[int, ExportRow] | RowFault:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return RowFault(number, f"The row is no JSON: {str(error)[:100]}.")
    return (number, row) if isinstance(row, dict) else RowFault(number, "The row is no object.")


def _read_list(path: Path) -> Iterator[tuple[int, ExportRow] | RowFault]:
    """A list of objects; the "line" is the place in the list."""
    with _open(path) as file:
        body = file.read(LIST_BYTES_MAX + 1)
    if len(body) > LIST_BYTES_MAX:
        raise SetupError(f"{path.name} is a list of more than 1 GiB.", "Write one object a line.", exit_code=2)
    try:
        rows = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise SetupError(f"{path.name} is no JSON: {str(error)[:100]}.", "Export it again.", exit_code=2) from None
    for number, row in enumerate(rows, 1):
        yield (number, row) if isinstance(row, dict) else RowFault(number, "The row is no object.")
