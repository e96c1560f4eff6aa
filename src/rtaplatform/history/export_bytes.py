"""The bytes of an export: plain or gzip, in UTF-8 or UTF-16. Yields UTF-8 without a byte-order mark.

A file that is cut off, damaged or an archive is refused as a whole, before anything of it is sent.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from rtaplatform.core.errors import SetupError, UnreadableBody
from rtaplatform.core.tables.text_lines import Recoder

_PART_BYTES = 1 << 20
_ZIP = b"PK\x03\x04"


def read_bytes(path: Path) -> Iterator[bytes]:
    """The content as it is, unzipped. Raises SetupError."""
    try:
        with _open(path) as file:
            while part := file.read(_PART_BYTES):
                yield part
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise SetupError(
            f"{path.name} is gzip that is cut off or damaged: {error}.", "Copy or export it again.", exit_code=2
        ) from None


def read_utf8(path: Path) -> Iterator[bytes]:
    """The content as UTF-8. Bytes that are no UTF-8 pass, and are told row by row. Raises SetupError."""
    recoder = Recoder()
    try:
        for part in read_bytes(path):
            yield recoder.feed(part)
        yield recoder.end()
    except UnreadableBody as error:
        raise SetupError(f"{path.name}: {error.detail}", error.hint or "Export it as UTF-8.", exit_code=2) from None


def find_first_byte(path: Path) -> bytes:
    """The first byte that is no blank. By it JSON is told from CSV."""
    for part in read_utf8(path):
        if text := part.lstrip():
            return text[:1]
    return b""


def _open(path: Path) -> IO[bytes]:
    file = path.open("rb")
    head = file.peek(len(_ZIP))[: len(_ZIP)]
    if head[:2] == b"\x1f\x8b":
        file.close()
        zip_file: Any = gzip.open(path, "rb")  # noqa: SIM115  # the caller closes it
        return zip_file  # type: ignore[no-any-return]  # gzip's own type
    if head == _ZIP:
        file.close()
        raise SetupError(f"{path.name} is a ZIP archive.", "Unpack it, and import the files in it.", exit_code=2)
    return file
