"""Read the header of a CSV: its delimiter, and the field of each column.   Pure.

The case of a name does not matter, and a blank or a hyphen stands for an underscore. `traits.plan` is a key of the free
object, `traits` the whole object as JSON. Spreadsheets leave columns without a name at the end: these are ignored. So
are `created_at` and `updated_at`, which an export has and only the platform sets.
"""

from __future__ import annotations

import re

from msgspec import Struct

from rtaplatform.catalog.entities.entity_types import DERIVED_FIELDS, EntityType
from rtaplatform.core.errors import UnreadableBody
from rtaplatform.core.tables.csv_records import DELIMITERS, UNCLOSED, find_line_flaw, split_cells

COLUMNS_MAX = 200


class CsvColumn(Struct, frozen=True):
    """A field, or with `key` a key of the free object. A column without a name must be empty in every row."""

    name: str
    key: str = ""


class CsvHeader(Struct, frozen=True):
    delimiter: str
    columns: list[CsvColumn]

    @property
    def id_index(self) -> int:
        return self.columns.index(CsvColumn("id"))


def read_header(kind: EntityType, line: str, separator: str | None = None) -> CsvHeader:
    """The columns of the header. Raises UnreadableBody: without a header no row can be read."""
    splits = [(delimiter, split_cells(line, delimiter)) for delimiter in ([separator] if separator else DELIMITERS)]
    # The right delimiter is the one that yields most known columns.
    delimiter, cells = max(splits, key=lambda split: sum(find_column(kind, cell) is not None for cell in split[1]))
    _require_whole(kind, line, delimiter)
    _require_named(kind, cells, delimiter)
    columns = [find_column(kind, cell) or CsvColumn("") for cell in cells]
    _require_once(kind, columns)
    return CsvHeader(delimiter, columns)


def find_column(kind: EntityType, cell: str) -> CsvColumn | None:
    """The field that a cell of the header names. None if there is no such field."""
    name, _, key = cell.strip().partition(".")
    name = re.sub(r"[\s-]+", "_", name.strip()).lower()
    if name == kind.json_field:
        return CsvColumn(name, key) if key or "." not in cell else None
    return CsvColumn(name) if not key and "." not in cell and name in ("id", *kind.fields, *DERIVED_FIELDS) else None


def list_allowed_columns(kind: EntityType) -> list[str]:
    return ["id", *kind.fields, f"{kind.json_field}.*"]


def make_header_pattern(kind: EntityType) -> str:
    """The plainest header as a regular expression. It does not describe the other accepted forms, nor repeats."""
    names = [re.escape(name) for name in kind.fields if name != kind.json_field]
    # Quotes are allowed here as around every cell.
    plain, free = "|".join(names), rf'{kind.json_field}\.[^\s".,;|][^\u0000-\u001f",;|]*'
    column = rf'(?:id|{plain}|{free}|"(?:id|{plain}|{free})")'
    return rf'^(?:[ \t]*\r?\n)*(?:{column},)*(?:id|"id")(?:,{column})*(?:\r?\n|$)'


def _require_whole(kind: EntityType, line: str, delimiter: str) -> None:
    flaw = find_line_flaw(line, delimiter)
    if flaw is not None:
        reason = "A quote is opened, and not closed in the same line: no column has a name with a line break."
        raise UnreadableBody(
            f"The header cannot be read: {reason if flaw == UNCLOSED else flaw}",
            field="header", allowed=list_allowed_columns(kind), hint=_FORM,
        )  # fmt: skip


def _require_named(kind: EntityType, cells: list[str], delimiter: str) -> None:
    delimiter_name = DELIMITERS.get(delimiter, repr(delimiter))
    last_index = max((index for index, cell in enumerate(cells) if cell.strip()), default=-1)
    for index, cell in enumerate(cells[: last_index + 1]):
        if find_column(kind, cell) is None:
            name = cell.strip()[:100]
            message = f"There is no column `{name}`." if name else f"Column {index + 1} has no name."
            if name.rstrip(".").lower() == kind.json_field:
                message = f"Column `{name}` has no key behind its dot."
            hint = f"Name it `{kind.json_field}.{name}` to keep it in {kind.json_field}, or take it out."
            hint = hint if name and "." not in name and not set(name) & set(DELIMITERS) else _FORM
            raise UnreadableBody(
                f"{message} The columns are read as separated by {delimiter_name}.", field="header",
                allowed=list_allowed_columns(kind), hint=hint,
            )  # fmt: skip
    if last_index < 0 or last_index >= COLUMNS_MAX:
        message = "The header cannot be read." if last_index < 0 else f"The header has more than {COLUMNS_MAX} columns."
        raise UnreadableBody(message, field="header", allowed=list_allowed_columns(kind), hint=_FORM)


def _require_once(kind: EntityType, columns: list[CsvColumn]) -> None:
    repeated_column = next(
        (column for index, column in enumerate(columns) if column.name and column in columns[:index]), None
    )
    whole = CsvColumn(kind.json_field)
    if (
        repeated_column is None
        and whole in columns
        and any(column.name == whole.name and column.key for column in columns)
    ):
        repeated_column = whole
    if repeated_column is None and CsvColumn("id") in columns:
        return
    message = "There is no column `id`."
    if repeated_column is not None:
        message = (
            f"Column `{repeated_column.name}{'.' if repeated_column.key else ''}{repeated_column.key}` is there twice."
        )
    raise UnreadableBody(message, field="header", allowed=list_allowed_columns(kind), hint=_FORM)


_FORM = "The first line names the columns: id, and fields, separated by comma, semicolon or tab."
