"""Rows of a CSV export with a header, by the rules of the catalog's import: delimiters, quotes, encodings.

Every line that is not blank is a row or a fault with its line. A quote that is never closed spoils its own line only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from rtaplatform.core.errors import SetupError, UnreadableBody
from rtaplatform.core.tables.csv_records import (
    DELIMITERS,
    CsvLine,
    CsvRecord,
    CsvRecords,
    decode_line,
    find_separator,
    split_cells,
)
from rtaplatform.core.tables.text_lines import TextLines
from rtaplatform.history.export_bytes import read_utf8
from rtaplatform.history.tools.rows import ExportRow, RowFault


def read_csv(path: Path, check: Callable[[frozenset[str]], None]) -> Iterator[tuple[int, ExportRow] | RowFault]:
    """The rows with their lines. `check` is told the names of the columns. Raises SetupError."""
    names: list[str] | None = None
    try:
        for record in _read_records(path):
            if names is None:
                names = _read_header(path, record)
                check(frozenset(names) - {""})
            elif record.flaw is not None:
                yield RowFault(record.number, record.flaw)
            elif not record.is_blank():
                yield _read_row(names, record)
    except UnreadableBody as error:  # of the quotes
        raise SetupError(f"{path.name}: {error.detail}", error.hint or "Export it again.", exit_code=2) from None


def _read_records(path: Path) -> Iterator[CsvRecord]:
    """All records; the first one is the header."""
    records: CsvRecords | None = None
    separator: str | None = None
    for line in _read_lines(path):
        if records is None:
            text = line.text.strip()
            if line.flaw is None and (text == "" or text.startswith("#")):  # GA4 begins with comments
                continue
            if separator is None and (separator := find_separator(text)) is not None:
                continue
            records = CsvRecords(separator or _find_delimiter(line.text))
        if line.text or line.flaw is not None or records.is_open:
            yield from filter(None, records.feed(line))
    if records is not None:
        yield from filter(None, records.end())


def _read_lines(path: Path) -> Iterator[CsvLine]:
    lines, number = TextLines(), 0
    for part in read_utf8(path):
        for line in lines.feed(part):
            number += 1
            yield decode_line(line, number)
    for line in lines.end():
        yield decode_line(line, number + 1)


def _find_delimiter(header: str) -> str:
    """The one that makes the most cells of the header. If a cell of it goes on in the next line, the commonest."""
    return max(DELIMITERS, key=lambda delimiter: (len(split_cells(header, delimiter)), header.count(delimiter)))


def _read_header(path: Path, record: CsvRecord) -> list[str]:
    names = [name.strip() for name in record.cells]
    repeated_name = next((name for name, times in Counter(names).items() if name and times > 1), None)
    if record.flaw is not None or repeated_name is not None:
        message = f"The column `{repeated_name}` is there twice." if record.flaw is None else record.flaw
        remedy = "Correct the first line: it names each column once."
        raise SetupError(f"The header of {path.name} cannot be read: {message}", remedy, exit_code=2)
    return names


def _read_row(names: list[str], record: CsvRecord) -> tuple[int, ExportRow] | RowFault:
    cells = record.cells
    if len(cells) < len(names) or any(cells[len(names) :]):
        return RowFault(record.number, f"{len(cells)} cells, but the header has {len(names)}.")
    row = {name: cell or None for name, cell in zip(names, cells, strict=False)}
    nameless = next((cell for name, cell in zip(names, cells, strict=False) if not name and cell.strip()), None)
    if nameless is not None:
        return RowFault(record.number, f"The cell {nameless[:50]!r} is in a column without a name.")
    row.pop("", None)
    return record.number, row
