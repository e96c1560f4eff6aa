"""Read CSV records from lines, as RFC 4180 and spreadsheets write them.   Pure.

A cell that begins with a quote ends with one, may hold delimiters and line breaks, and writes a quote as "". In any
other cell a quote is data. A quote that is never closed, or that is closed in the middle of a cell, spoils only the
line in which it was opened: the lines after it are read again, each on its own.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import NamedTuple

from msgspec import Struct

from rtaplatform.core.errors import UnreadableBody
from rtaplatform.core.tables.text_lines import LINE_BYTES_MAX, NOT_UTF_8, SAVE_AS_UTF_8

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
RECORD_CHARS_MAX = LINE_BYTES_MAX
CELLS_MAX = 400
# The number of lines that are read again is limited: this minimum, and a number for each line of the file.
REREAD_MIN, REREAD_PER_LINE = 100_000, 20
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[,;\t| ]*', re.IGNORECASE)
_CONTENT = re.compile(r'(?:[^"]++|"")*+')
UNCLOSED = 'A quote is opened and not closed. Within quotes, write " as "".'
BROKEN_OFF = 'A cell goes on behind its closing quote. Within quotes, write " as "".'
TOO_MANY_CELLS = f"The row has more than {CELLS_MAX} cells."
TOO_LONG = f"The row has more than {LINE_BYTES_MAX} bytes."


class CsvLine(NamedTuple):
    """The text of a line. `flaw` says why no record can contain it. `number` is its place in the file, if asked for."""

    text: str
    flaw: str | None = None
    number: int = 0


class CsvRecord(Struct, frozen=True):
    """The cells of a record; or, with a `flaw`, the line that could not be read as one."""

    cells: list[str]
    flaw: str | None = None
    line: str = ""
    number: int = 0  # that of its first line

    def is_blank(self) -> bool:
        """Whether all cells are empty. Spreadsheets append such rows after the last one."""
        return self.flaw is None and not any(cell.strip() for cell in self.cells)


def decode_line(line: bytes | None, number: int = 0) -> CsvLine:
    """A line of a file as text. One that is too long (None) or no UTF-8 has a flaw."""
    if line is None:
        return CsvLine("", TOO_LONG, number)
    try:
        return CsvLine(line.decode(), number=number)
    except UnicodeDecodeError:
        return CsvLine(line.decode(errors="replace"), f"{NOT_UTF_8} {SAVE_AS_UTF_8}", number)


def find_separator(line: str) -> str | None:
    """The delimiter that a line such as `sep=;` names. Excel writes and reads this as the first line."""
    match = _SEPARATOR_LINE.fullmatch(line)
    return match[1] if match else None


def split_cells(line: str, delimiter: str) -> list[str]:
    """The cells of a line that is a record by itself; none if it is not."""
    records = CsvRecords(delimiter)
    complete_records = [record for record in (*records.feed(CsvLine(line)), *records.end()) if record is not None]
    return complete_records[0].cells if len(complete_records) == 1 else []


def find_line_flaw(line: str, delimiter: str) -> str | None:
    """Why a line is no record by itself; None if it is one."""
    records = CsvRecords(delimiter)
    complete_records = [record for record in (*records.feed(CsvLine(line)), *records.end()) if record is not None]
    return next((record.flaw for record in complete_records if record.flaw is not None), None)


class _State(Enum):
    OPEN = "open"
    DONE = "done"
    BROKEN_OFF = BROKEN_OFF
    TOO_MANY_CELLS = TOO_MANY_CELLS


class CsvRecords:
    """`feed` takes a line and yields records. None stands for a line that completes no record."""

    def __init__(self, delimiter: str) -> None:
        self._delimiter = delimiter
        self._record, self._record_lines, self._chars = _CsvFields(delimiter), list[CsvLine](), 0
        self._lines = self._reread = 0

    @property
    def is_open(self) -> bool:
        """Whether the current record continues in the next line."""
        return bool(self._record_lines)

    def feed(self, line: CsvLine) -> Iterable[CsvRecord | None]:
        self._lines += 1
        if self._record_lines or line.flaw is not None or '"' in line.text:
            return self._read_lines(deque([line]))
        cells = line.text.split(self._delimiter)
        if len(cells) > CELLS_MAX:
            return (CsvRecord([], TOO_MANY_CELLS, line.text, line.number),)
        return (CsvRecord(cells, number=line.number),)

    def end(self) -> Iterator[CsvRecord | None]:
        while self._record_lines:
            lines_to_read = deque[CsvLine]()
            yield self._give_up(UNCLOSED, lines_to_read)
            yield from self._read_lines(lines_to_read)

    def _read_lines(self, lines_to_read: deque[CsvLine]) -> Iterator[CsvRecord | None]:
        while lines_to_read:
            line = lines_to_read.popleft()
            if line.flaw is not None and not self._record_lines:
                yield CsvRecord([], line.flaw, line.text, line.number)
                continue
            self._record_lines.append(line)
            self._chars += len(line.text) + 1
            state = _State.OPEN if line.flaw is not None else self._record.add(line.text)
            if line.flaw is not None or (state is _State.OPEN and self._chars > RECORD_CHARS_MAX):
                yield self._give_up(UNCLOSED, lines_to_read)
            elif state is _State.OPEN:
                yield None
            elif state is _State.DONE:
                yield CsvRecord(self._record.cells, number=self._record_lines[0].number)
                self._begin()
            else:
                yield self._give_up(state.value if len(self._record_lines) == 1 else UNCLOSED, lines_to_read)

    def _give_up(self, flaw: str, lines_to_read: deque[CsvLine]) -> CsvRecord:
        """Report the line that opened the record as unreadable. The lines after it will be read again on their own."""
        first, *later_lines = self._record_lines
        self._reread += len(later_lines)
        if self._reread > REREAD_MIN + REREAD_PER_LINE * self._lines:
            raise UnreadableBody("Too many quotes are opened and not closed.", hint='Within quotes, write " as "".')
        lines_to_read.extendleft(reversed(later_lines))
        self._begin()
        return CsvRecord([], flaw, first.text, first.number)

    def _begin(self) -> None:
        self._record, self._record_lines, self._chars = _CsvFields(self._delimiter), [], 0


class _CsvFields:
    """The cells of one record, read line by line."""

    def __init__(self, delimiter: str) -> None:
        self.cells: list[str] = []
        self._delimiter = delimiter
        self._open_parts: list[str] | None = None  # the parts of a quoted cell that continues in the next line

    def add(self, line: str) -> _State:
        position = 0
        while True:
            if len(self.cells) > CELLS_MAX:
                return _State.TOO_MANY_CELLS
            is_quoted = self._open_parts is not None or line.startswith('"', position)
            progress = self._read_quoted(line, position) if is_quoted else self._read_plain(line, position)
            if isinstance(progress, _State):
                return progress
            position = progress

    def _read_plain(self, line: str, start: int) -> int | _State:
        end = line.find(self._delimiter, start)
        self.cells.append(line[start:] if end < 0 else line[start:end])
        return _State.DONE if end < 0 else end + 1

    def _read_quoted(self, line: str, start: int) -> int | _State:
        """Where the next cell begins."""
        parts = self._open_parts if self._open_parts is not None else []
        content = _CONTENT.match(line, start if self._open_parts is not None else start + 1)
        assert content is not None
        end = content.end()
        parts.append(content[0].replace('""', '"'))
        if end == len(line):
            self._open_parts = parts
            return _State.OPEN
        self._open_parts = None
        self.cells.append("\n".join(parts))
        if end + 1 == len(line):
            return _State.DONE
        return end + 2 if line[end + 1] == self._delimiter else _State.BROKEN_OFF
