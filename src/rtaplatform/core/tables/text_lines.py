"""Split chunks of a file's bytes into lines of UTF-8.   Pure.

A file is UTF-8 with or without a byte-order mark, or UTF-16; its first bytes decide. Lines end with LF, CRLF or, if
the first one does, CR alone. A line's bytes are bounded: a longer line is yielded as None.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from rtaplatform.core.errors import UnreadableBody

LINE_BYTES_MAX = 65_536
NOT_UTF_8 = "It is not UTF-8. Latin-1 and Windows-1252 are not read."
SAVE_AS_UTF_8 = "Save the file as UTF-8 (in a spreadsheet: CSV UTF-8)."
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_HEAD_BYTES = 4
_FIRST_END = re.compile(rb"\r\n|\n|\r(?!\Z)")


class Recoder:
    """Bytes of any of the encodings → UTF-8 without a mark. Invalid UTF-8 passes and is reported row by row."""

    def __init__(self) -> None:
        self._head = b""
        self._is_detected = False
        self._decoder: codecs.IncrementalDecoder | None = None  # for UTF-16

    def feed(self, chunk: bytes) -> bytes:
        if not self._is_detected:
            self._head += chunk
            if len(self._head) < _HEAD_BYTES:
                return b""
            chunk = self._detect()
        return self._decode(chunk)

    def end(self) -> bytes:
        first_text = b"" if self._is_detected else self._decode(self._detect())
        return first_text + self._decode(b"", is_last=True)

    def _detect(self) -> bytes:
        """Detect the encoding by the first bytes. Returns these bytes without the mark."""
        head, self._head, self._is_detected = self._head, b"", True
        encoding, mark = _detect_encoding(head)
        if encoding != "utf-8":
            self._decoder = codecs.getincrementaldecoder(encoding)("strict")
        return head[mark:]

    def _decode(self, chunk: bytes, *, is_last: bool = False) -> bytes:
        if self._decoder is None:
            return chunk
        try:
            return self._decoder.decode(chunk, is_last).encode()
        except UnicodeError:
            raise UnreadableBody("The file begins as UTF-16 and is none.", hint=SAVE_AS_UTF_8) from None


def _detect_encoding(head: bytes) -> tuple[str, int]:
    """The encoding and the length of its mark. Without a mark, a first ASCII character reveals UTF-16."""
    if head.startswith((codecs.BOM_UTF32_BE, codecs.BOM_UTF32_LE)):
        raise UnreadableBody("The file is UTF-32, which is not read.", hint=SAVE_AS_UTF_8)
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding, len(mark)
    if len(head) >= 2 and not head[0] and head[1]:
        return "utf-16-be", 0
    return ("utf-16-le", 0) if len(head) >= 2 and head[0] and not head[1] else ("utf-8", 0)


class TextLines:
    """Split chunks into lines without their line ends. None stands for a line that is too long and was skipped."""

    def __init__(self) -> None:
        self._open_line, self._is_skipping = b"", False
        self._end = b""  # the end of a line, detected at the first one

    def feed(self, chunk: bytes) -> Iterator[bytes | None]:
        data = self._open_line + chunk
        if not self._end:
            first = _FIRST_END.search(data)
            self._end = b"" if first is None else first[0][-1:]
        *lines, open_line = data.split(self._end) if self._end else (data,)
        for line in lines:
            yield None if self._is_skipping or len(line) > LINE_BYTES_MAX else line.removesuffix(b"\r")
            self._is_skipping = False
        self._is_skipping = self._is_skipping or len(open_line) > LINE_BYTES_MAX
        self._open_line = (
            open_line[-1:] if self._is_skipping and not self._end else b"" if self._is_skipping else open_line
        )

    def end(self) -> Iterator[bytes | None]:
        if self._is_skipping:
            yield None
        elif self._open_line:
            yield self._open_line.removesuffix(b"\r")
        self._open_line, self._is_skipping = b"", False
