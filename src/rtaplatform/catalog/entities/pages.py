"""Lists, page by page.

A cursor holds the sort value and the id of the last row of a page, and the next page begins after it. So rows that are
inserted or deleted meanwhile neither repeat nor hide another row. A row whose sort value changes during the walk may
appear twice or not at all; `created_at` never changes. A cursor is valid only for its list, project, sort and filters.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, Row, Table, Text, and_, cast, collate, func, literal, or_, select, tuple_
from sqlalchemy.engine import Connection

from rtaplatform.catalog.entities.entity_types import EntityType
from rtaplatform.catalog.tables import ERASURES
from rtaplatform.core.values.cursors import make_refusal, open_cursor, pack_position

LIMIT_DEFAULT, LIMIT_MAX = 50, 500
SEARCH_CHARS_MAX = 200
SORTS = ("-created_at", "created_at", "-updated_at", "updated_at", "name", "-name", "id", "-id")
TIME_SORTS = SORTS[:4]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class PageQuestion(Struct, frozen=True):
    """The parameters of a list request."""

    sort: str = SORTS[0]
    limit: int = LIMIT_DEFAULT
    cursor: str | None = None
    q: str | None = None
    filters: tuple[tuple[str, str], ...] = ()


class Page(Struct, frozen=True):
    rows: list[Row[Any]]
    next_cursor: str | None


def list_page(connection: Connection, kind: EntityType, project_id: str, question: PageQuestion) -> Page:
    """One page. Raises InvalidParameter if the cursor does not belong to this list."""
    conditions = [kind.filter_by(name, value) for name, value in question.filters]
    if question.q:
        conditions.append(_search(kind, question.q))
    return walk(connection, kind.table, project_id, conditions, question)


def list_erasures(connection: Connection, project_id: str, question: PageQuestion) -> Page:
    """One page of receipts. Raises InvalidParameter if the cursor does not belong to this list."""
    conditions = [ERASURES.c[name] == value for name, value in question.filters]
    return walk(connection, ERASURES, project_id, conditions, question)


def walk(
    connection: Connection, table: Table, project_id: str, conditions: Sequence[Any], question: PageQuestion
) -> Page:
    """One page of the project's rows that meet `conditions`."""
    column, is_descending = question.sort.lstrip("-"), question.sort.startswith("-")
    sort_value = _sort_value(table, column)
    conditions = [table.c.project_id == project_id, *conditions]
    bounds = list_bounds(str(table.name), project_id, question)
    if question.cursor is not None:
        value, id = read_cursor(question, bounds)
        cursor_position = tuple_(literal(value, sort_value.type), literal(id, Text))
        position = tuple_(sort_value, table.c.id)
        conditions = [*conditions, position < cursor_position if is_descending else position > cursor_position]
    statement = select(table, sort_value.label("sort_value")).where(and_(*conditions)).limit(question.limit + 1)
    statement = statement.order_by(
        *((sort_value.desc(), table.c.id.desc()) if is_descending else (sort_value, table.c.id))
    )
    rows = list(connection.execute(statement))
    if len(rows) <= question.limit:
        return Page(rows, None)
    last_row = rows[question.limit - 1]
    return Page(rows[: question.limit], write_cursor(bounds, last_row.sort_value, last_row.id))


def list_bounds(table: str, project_id: str, question: PageQuestion) -> list[Any]:
    """What a cursor of this list is valid for."""
    return [table, project_id, question.sort, question.q, question.filters]


def write_cursor(bounds: list[Any], value: Any, id: str) -> str:
    if isinstance(value, datetime):
        value = (value - _EPOCH) // _MICROSECOND
    return pack_position((value, id), bounds)


def read_cursor(question: PageQuestion, bounds: list[Any]) -> tuple[Any, str]:
    """Sort value and id of the last row of the page before. Raises InvalidParameter."""
    value, id = open_cursor(question.cursor or "", bounds, tuple[int | str, str])
    is_time = question.sort.lstrip("-") in ("created_at", "updated_at")
    if isinstance(value, str) is is_time or "\x00" in f"{value}{id}":
        raise make_refusal()
    try:
        return (_EPOCH + value * _MICROSECOND if isinstance(value, int) else value), id
    except OverflowError:
        raise make_refusal() from None


def _sort_value(table: Table, name: str) -> ColumnElement[Any]:
    column = table.c[name]
    if name == "name":
        return collate(func.coalesce(column, ""), "C") if column.nullable else collate(column, "C")
    return column


def _search(kind: EntityType, q: str) -> ColumnElement[bool]:
    """Rows whose id, name or other searched field begins with `q`. Case counts only in the id."""
    start = func.lower(cast(q, Text))
    pattern = func.replace(func.replace(func.replace(start, "\\", "\\\\"), "%", "\\%"), "_", "\\_").op("||")("%")
    of_id = q.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    columns = kind.table.c
    return or_(columns.id.like(of_id), *(func.lower(columns[name]).like(pattern) for name in kind.searched))
