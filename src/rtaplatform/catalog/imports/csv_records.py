"""Records of CSV out of lines, as RFC 4180 and spreadsheets write them.   Pure.

A cell that begins with a quote ends with one, may hold delimiters and line breaks, and has "" for a quote. In any
other cell a quote is data. A quote that is never closed, or that is closed in the middle of a cell, costs the line
in which it was opened and no other: the lines behind it are read again, each for itself.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import NamedTuple

from msgspec import Struct

from rtaplatform.catalog.imports.text_lines import LINE_BYTES_MAX
from rtaplatform.core.errors import UnreadableBody

RECORD_CHARS_MAX = LINE_BYTES_MAX
CELLS_MAX = 400
# Lines that are read again, at most: so many, and so many for each line of the file.
REREAD_MIN, REREAD_PER_LINE = 100_000, 20
_CONTENT = re.compile(r'(?:[^"]++|"")*+')
UNCLOSED = 'A quote is opened and not closed. Within quotes, write " as "".'
BROKEN_OFF = 'A cell goes on behind its closing quote. Within quotes, write " as "".'
TOO_MANY_CELLS = f"The row has more than {CELLS_MAX} cells."
TOO_LONG = f"The row has more than {LINE_BYTES_MAX} bytes."


class CsvLine(NamedTuple):
    """A line's text; `flaw` says why it can be no part of any record."""

    text: str
    flaw: str | None = None


class CsvRecord(Struct, frozen=True):
    """A record's cells, or (a `flaw`) the line that is none."""

    cells: list[str]
    flaw: str | None = None
    line: str = ""

    def is_blank(self) -> bool:
        """Whether it holds nothing, as the empty rows that spreadsheets leave behind the last."""
        return self.flaw is None and not any(cell.strip() for cell in self.cells)


class _State(Enum):
    OPEN = "open"
    DONE = "done"
    BROKEN_OFF = BROKEN_OFF
    TOO_MANY_CELLS = TOO_MANY_CELLS


class CsvRecords:
    """Feed lines, take records, one a line but for cells that hold line breaks; None tells of work without a record."""

    def __init__(self, delimiter: str) -> None:
        self._delimiter = delimiter
        self._record, self._held, self._chars = _CsvFields(delimiter), list[CsvLine](), 0
        self._lines = self._reread = 0

    @property
    def is_open(self) -> bool:
        """Whether a record goes on with the next line."""
        return bool(self._held)

    def feed(self, line: CsvLine) -> Iterable[CsvRecord | None]:
        self._lines += 1
        if self._held or line.flaw is not None or '"' in line.text:
            return self._take(deque([line]))
        cells = line.text.split(self._delimiter)
        return (CsvRecord(cells) if len(cells) <= CELLS_MAX else CsvRecord([], TOO_MANY_CELLS, line.text),)

    def end(self) -> Iterator[CsvRecord | None]:
        while self._held:
            waiting = deque[CsvLine]()
            yield self._give_up(UNCLOSED, waiting)
            yield from self._take(waiting)

    def _take(self, waiting: deque[CsvLine]) -> Iterator[CsvRecord | None]:
        while waiting:
            line = waiting.popleft()
            if line.flaw is not None and not self._held:
                yield CsvRecord([], line.flaw, line.text)
                continue
            self._held.append(line)
            self._chars += len(line.text) + 1
            state = _State.OPEN if line.flaw is not None else self._record.add(line.text)
            if line.flaw is not None or (state is _State.OPEN and self._chars > RECORD_CHARS_MAX):
                yield self._give_up(UNCLOSED, waiting)
            elif state is _State.OPEN:
                yield None
            elif state is _State.DONE:
                yield CsvRecord(self._record.cells)
                self._begin()
            else:
                yield self._give_up(state.value if len(self._held) == 1 else UNCLOSED, waiting)

    def _give_up(self, flaw: str, waiting: deque[CsvLine]) -> CsvRecord:
        """The line that opened the record is none; those behind it wait to be read for themselves."""
        first, *others = self._held
        self._reread += len(others)
        if self._reread > REREAD_MIN + REREAD_PER_LINE * self._lines:
            raise UnreadableBody("Too many quotes are opened and not closed.", hint='Within quotes, write " as "".')
        waiting.extendleft(reversed(others))
        self._begin()
        return CsvRecord([], flaw, first.text)

    def _begin(self) -> None:
        self._record, self._held, self._chars = _CsvFields(self._delimiter), [], 0


class _CsvFields:
    """One record, line by line."""

    def __init__(self, delimiter: str) -> None:
        self.cells: list[str] = []
        self._delimiter = delimiter
        self._open: list[str] | None = None  # the parts of a quoted cell that goes on

    def add(self, line: str) -> _State:
        at = 0
        while True:
            if len(self.cells) > CELLS_MAX:
                return _State.TOO_MANY_CELLS
            is_quoted = self._open is not None or line.startswith('"', at)
            found = self._quoted(line, at) if is_quoted else self._plain(line, at)
            if isinstance(found, _State):
                return found
            at = found

    def _plain(self, line: str, at: int) -> int | _State:
        end = line.find(self._delimiter, at)
        self.cells.append(line[at:] if end < 0 else line[at:end])
        return _State.DONE if end < 0 else end + 1

    def _quoted(self, line: str, at: int) -> int | _State:
        """Where the next cell begins."""
        parts = self._open if self._open is not None else []
        found = _CONTENT.match(line, at if self._open is not None else at + 1)
        assert found is not None
        end = found.end()
        parts.append(found[0].replace('""', '"'))
        if end == len(line):
            self._open = parts
            return _State.OPEN
        self._open = None
        self.cells.append("\n".join(parts))
        if end + 1 == len(line):
            return _State.DONE
        return end + 2 if line[end + 1] == self._delimiter else _State.BROKEN_OFF
