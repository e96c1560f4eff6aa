"""Cells of CSV → values of fields.   Pure.

A cell that a spreadsheet would take for a formula is exported with an apostrophe before it, and read without.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from rtaplatform.catalog.entities.fields import read_amount_text
from rtaplatform.core.errors import InvalidParameter

# As serve/http/csv_tables.py writes it.
_ESCAPED = re.compile(r"'+(?:[\t\r\n]|\s*[=+\-@＝＋－＠])")


def value_of(name: str, cell: str, json_field: str) -> Any:
    """A field's value as JSON would have it; raises InvalidParameter."""
    if name == "price":
        return read_amount_text(cell)
    if name == json_field:
        return _json(cell, dict, "It is a JSON object.")
    if name == "anonymous_ids":
        return _json(cell, list, "It is a JSON list, or ids with blanks between.") if cell[:1] == "[" else cell.split()
    return text_of(cell)


def text_of(cell: str) -> str:
    return cell[1:] if _ESCAPED.match(cell) else cell


def _json(cell: str, kind: type, said: str) -> Any:
    try:
        value = msgspec.json.decode(cell)
    except (msgspec.DecodeError, RecursionError):
        value = None
    if not isinstance(value, kind):
        raise InvalidParameter(said)
    return value
