"""The first line of a CSV: which delimiter there is, and which column is which field.   Pure.

Columns are named in any case; a blank or a hyphen is as good as an underscore. `traits.plan` is a key of the free
object, `traits` the whole object as JSON. Columns without a name at the end are those that spreadsheets leave behind;
`created_at` and `updated_at` are in an export and are ours to say.
"""

from __future__ import annotations

import re

from msgspec import Struct

from rtaplatform.catalog.entities.entity_types import DERIVED_FIELDS, EntityType
from rtaplatform.catalog.imports.csv_records import CsvLine, CsvRecords
from rtaplatform.core.errors import UnreadableBody

COLUMNS_MAX = 200
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[,;\t| ]*', re.IGNORECASE)


class CsvColumn(Struct, frozen=True):
    """A field, or with `key` a key of the free object; without a name it is empty in every row."""

    name: str
    key: str = ""


class CsvHeader(Struct, frozen=True):
    delimiter: str
    columns: list[CsvColumn]

    @property
    def id_at(self) -> int:
        return self.columns.index(CsvColumn("id"))


def separator_of(line: str) -> str | None:
    """The delimiter that a first line `sep=;` names, as Excel writes and reads it."""
    found = _SEPARATOR_LINE.fullmatch(line)
    return found[1] if found else None


def read_header(kind: EntityType, line: str, separator: str | None = None) -> CsvHeader:
    """The columns of a first line; raises UnreadableBody, since without them no row can be read."""
    found = [(delimiter, _cells(line, delimiter)) for delimiter in ([separator] if separator else DELIMITERS)]
    # The delimiter by which most of the columns are known.
    delimiter, cells = max(found, key=lambda one: sum(column_of(kind, cell) is not None for cell in one[1]))
    _require_named(kind, cells, delimiter)
    columns = [column_of(kind, cell) or CsvColumn("") for cell in cells]
    _require_once(kind, columns)
    return CsvHeader(delimiter, columns)


def column_of(kind: EntityType, cell: str) -> CsvColumn | None:
    """The field that a header's cell names; None where there is none of that name."""
    name, _, key = cell.strip().partition(".")
    name = re.sub(r"[\s-]+", "_", name.strip()).lower()
    if name == kind.json_field:
        return CsvColumn(name, key) if key or "." not in cell else None
    return CsvColumn(name) if not key and "." not in cell and name in ("id", *kind.fields, *DERIVED_FIELDS) else None


def allowed_columns(kind: EntityType) -> list[str]:
    return ["id", *kind.fields, f"{kind.json_field}.*"]


def header_pattern(kind: EntityType) -> str:
    """The plainest header, as a regular expression; what else is read, and that each is there once, it cannot say."""
    names = [re.escape(name) for name in kind.fields if name != kind.json_field]
    # Quotes are allowed, as around every cell.
    plain, free = "|".join(names), rf'{kind.json_field}\.[^\s".,;|][^\u0000-\u001f",;|]*'
    column = rf'(?:id|{plain}|{free}|"(?:id|{plain}|{free})")'
    return rf'^(?:[ \t]*\r?\n)*(?:{column},)*(?:id|"id")(?:,{column})*(?:\r?\n|$)'


def _cells(line: str, delimiter: str) -> list[str]:
    records = CsvRecords(delimiter)
    read = [record for record in (*records.feed(CsvLine(line)), *records.end()) if record is not None]
    return read[0].cells if len(read) == 1 else []


def _require_named(kind: EntityType, cells: list[str], delimiter: str) -> None:
    named = DELIMITERS.get(delimiter, repr(delimiter))
    last = max((at for at, cell in enumerate(cells) if cell.strip()), default=-1)
    for at, cell in enumerate(cells[: last + 1]):
        if column_of(kind, cell) is None:
            name = cell.strip()[:100]
            said = f"There is no column `{name}`." if name else f"Column {at + 1} has no name."
            if name.rstrip(".").lower() == kind.json_field:
                said = f"Column `{name}` has no key behind its dot."
            hint = f"Name it `{kind.json_field}.{name}` to keep it in {kind.json_field}, or take it out."
            hint = hint if name and "." not in name and not set(name) & set(DELIMITERS) else _FORM
            raise UnreadableBody(
                f"{said} The columns are read as separated by {named}.", field="header", allowed=allowed_columns(kind),
                hint=hint,
            )  # fmt: skip
    if last < 0 or last >= COLUMNS_MAX:
        said = "The header cannot be read." if last < 0 else f"The header has more than {COLUMNS_MAX} columns."
        raise UnreadableBody(said, field="header", allowed=allowed_columns(kind), hint=_FORM)


def _require_once(kind: EntityType, columns: list[CsvColumn]) -> None:
    twice = next((one for at, one in enumerate(columns) if one.name and one in columns[:at]), None)
    whole = CsvColumn(kind.json_field)
    if twice is None and whole in columns and any(one.name == whole.name and one.key for one in columns):
        twice = whole
    if twice is None and CsvColumn("id") in columns:
        return
    said = "There is no column `id`."
    if twice is not None:
        said = f"Column `{twice.name}{'.' if twice.key else ''}{twice.key}` is there twice."
    raise UnreadableBody(said, field="header", allowed=allowed_columns(kind), hint=_FORM)


_FORM = "The first line names the columns: id, and fields, separated by comma, semicolon or tab."
