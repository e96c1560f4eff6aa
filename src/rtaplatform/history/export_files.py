"""Open an export: CSV with a header, JSON lines, or one list of JSON; plain or gzip. Yields rows with their lines.

A file that has only totals is refused before anything is sent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from rtaplatform.core.errors import SetupError
from rtaplatform.history.csv_export import read_csv
from rtaplatform.history.export_bytes import find_first_byte, read_bytes, read_utf8
from rtaplatform.history.tools.rows import ExportRow, HistoryTool, RowFault
from rtaplatform.history.tools.table import TABLE, has_needed_columns
from rtaplatform.history.tools.web_tools import GA4, MATOMO, PLAUSIBLE, UMAMI

TOOLS = {tool.name: tool for tool in (PLAUSIBLE, UMAMI, MATOMO, GA4, TABLE)}
LIST_BYTES_MAX = 1 << 30  # of a file that is one list of JSON
_COLUMNS_SHOWN = 8


def compute_digest(path: Path) -> str:
    """The SHA-256 of the content: by it a file is recognised, whatever its name is."""
    digest = hashlib.sha256()
    for part in read_bytes(path):
        digest.update(part)
    return digest.hexdigest()


def read_rows(path: Path, tool: HistoryTool) -> Iterator[tuple[int, ExportRow] | RowFault]:
    """The rows with their lines. Raises SetupError if the file has only totals, or cannot be read."""
    check = partial(_refuse_totals, path, tool)
    first = find_first_byte(path)
    if first not in (b"[", b"{"):
        yield from read_csv(path, check)
        return
    is_checked = False
    for item in _read_list(path) if first == b"[" else _read_lines(path):
        if not is_checked and not isinstance(item, RowFault):
            check(frozenset(item[1]))
            is_checked = True
        yield item


def _refuse_totals(path: Path, tool: HistoryTool, columns: frozenset[str]) -> None:
    if columns.issuperset(tool.needed) and (tool is not TABLE or has_needed_columns(columns)):
        return
    column_list = ", ".join(" ".join(name.split()) for name in sorted(columns)[:_COLUMNS_SHOWN])
    raise SetupError(
        f"{path.name} has no events of {tool.name}, but totals or something else (columns: {column_list}). "
        "Numbers here are made of events, each with its time and its visitor.",
        tool.remedy,
        exit_code=2,
    )


def _read_lines(path: Path) -> Iterator[tuple[int, ExportRow] | RowFault]:
    for number, line in enumerate(_split_lines(path), 1):
        if line.strip():
            yield _read_object(number, line)


def _split_lines(path: Path) -> Iterator[bytes]:
    """Lines of any length."""
    open_parts: list[bytes] = []
    for part in read_utf8(path):
        first, *later_lines = part.split(b"\n")
        open_parts.append(first)
        for line in later_lines:
            yield b"".join(open_parts)
            open_parts = [line]
    yield b"".join(open_parts)


def _read_object(number: int, line: bytes) -> tuple[int, ExportRow] | RowFault:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return RowFault(number, f"The row is no JSON: {str(error)[:100]}.")
    return (number, row) if isinstance(row, dict) else RowFault(number, "The row is no object.")


def _read_list(path: Path) -> Iterator[tuple[int, ExportRow] | RowFault]:
    """A list of objects; the "line" is the place in the list."""
    parts, size = [], 0
    for part in read_utf8(path):
        parts.append(part)
        size += len(part)
        if size > LIST_BYTES_MAX:
            raise SetupError(f"{path.name} is a list of more than 1 GiB.", "Write one object a line.", exit_code=2)
    body = b"".join(parts)
    parts.clear()
    try:
        rows = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise SetupError(f"{path.name} is no JSON: {str(error)[:100]}.", "Export it again.", exit_code=2) from None
    for number, row in enumerate(rows, 1):
        yield (number, row) if isinstance(row, dict) else RowFault(number, "The row is no object.")
