"""Cells of CSV → values of fields.   Pure.

An export puts an apostrophe before a cell that a spreadsheet would take for a formula; an import removes it.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from rtaplatform.catalog.entities.fields import read_amount_text
from rtaplatform.core.errors import InvalidParameter

# As serve/http/csv_tables.py writes it.
_ESCAPED = re.compile(r"'+(?:[\t\r\n]|\s*[=+\-@＝＋－＠])")


def read_cell(name: str, cell: str, json_field: str) -> Any:
    """The value of a field as JSON would hold it. Raises InvalidParameter."""
    if name == "price":
        return read_amount_text(cell)
    if name == json_field:
        return _read_json(cell, dict, "It must be a JSON object.")
    if name == "anonymous_ids":
        return (
            _read_json(cell, list, "It must be a JSON list, or ids with blanks between.")
            if cell[:1] == "["
            else cell.split()
        )
    return unescape(cell)


def unescape(cell: str) -> str:
    return cell[1:] if _ESCAPED.match(cell) else cell


def _read_json(cell: str, kind: type, message: str) -> Any:
    try:
        value = msgspec.json.decode(cell)
    except (msgspec.DecodeError, RecursionError):
        value = None
    if not isinstance(value, kind):
        raise InvalidParameter(message)
    return value
