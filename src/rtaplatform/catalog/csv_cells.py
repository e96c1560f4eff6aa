"""Cells of CSV ⇄ values of fields.   Pure.

A cell that a spreadsheet would take for a formula is written with an apostrophe before it, and read without: whoever
names himself `=HYPERLINK(…)` in an event gets no link into somebody's spreadsheet.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from rtaplatform.catalog.fields import read_amount_text
from rtaplatform.core.errors import InvalidParameter

# As serve/csv_tables.py has it; an apostrophe that stands there already gets another one.
_BEGIN = r"(?:[\t\r\n]|\s*[=+\-@＝＋－＠])"
_FORMULA = re.compile(f"'*{_BEGIN}")
_ESCAPED = re.compile(f"'+{_BEGIN}")


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


def cell_of(value: Any) -> str:
    """A value as a cell that `value_of` reads back."""
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if _FORMULA.match(value) else value
    return msgspec.json.encode(value).decode() if isinstance(value, Mapping | list) else str(value)


def _json(cell: str, kind: type, said: str) -> Any:
    try:
        value = msgspec.json.decode(cell)
    except (msgspec.DecodeError, RecursionError):
        value = None
    if not isinstance(value, kind):
        raise InvalidParameter(said)
    return value
