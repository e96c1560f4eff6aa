"""Lists, page by page.

A cursor is the place of the last row that was given: its sort value and its id. The next page begins behind it, so
rows that come or go meanwhile neither repeat nor hide another one. A row whose sort value changes during the walk may
be met twice or not at all; `created_at` never changes. Cursors are bound to their sort and filters.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import ColumnElement, Row, Table, Text, and_, cast, collate, func, literal, or_, select, tuple_
from sqlalchemy.engine import Connection

from rtaplatform.catalog.entities.entity_types import EntityType
from rtaplatform.catalog.tables import ERASURES
from rtaplatform.core.errors import InvalidParameter

LIMIT_DEFAULT, LIMIT_MAX = 50, 500
SEARCH_CHARS_MAX = 200
SORTS = ("-created_at", "created_at", "-updated_at", "updated_at", "name", "-name", "id", "-id")
TIME_SORTS = SORTS[:4]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class PageQuestion(Struct, frozen=True):
    """What is asked of a list."""

    sort: str = SORTS[0]
    limit: int = LIMIT_DEFAULT
    cursor: str | None = None
    q: str | None = None
    filters: tuple[tuple[str, str], ...] = ()


class Page(Struct, frozen=True):
    rows: list[Row[Any]]
    next_cursor: str | None


def list_page(connection: Connection, kind: EntityType, project_id: str, question: PageQuestion) -> Page:
    """One page; raises InvalidParameter where the cursor is none of ours."""
    conditions = [kind.filter_by(name, value) for name, value in question.filters]
    if question.q:
        conditions.append(_search(kind, question.q))
    return walk(connection, kind.table, [kind.table.c.project_id == project_id, *conditions], question)


def list_erasures(connection: Connection, project_id: str, question: PageQuestion) -> Page:
    """One page of receipts; raises InvalidParameter where the cursor is none of ours."""
    conditions = [ERASURES.c.project_id == project_id, *(ERASURES.c[name] == v for name, v in question.filters)]
    return walk(connection, ERASURES, conditions, question)


def walk(connection: Connection, table: Table, conditions: list[Any], question: PageQuestion) -> Page:
    """One page of the rows that meet `conditions`."""
    column, is_descending = question.sort.lstrip("-"), question.sort.startswith("-")
    order = _sort_value(table, column)
    if question.cursor is not None:
        value, id = read_cursor(question)
        last = tuple_(literal(value, order.type), literal(id, Text))
        here = tuple_(order, table.c.id)
        conditions = [*conditions, here < last if is_descending else here > last]
    statement = select(table, order.label("sort_value")).where(and_(*conditions)).limit(question.limit + 1)
    statement = statement.order_by(*((order.desc(), table.c.id.desc()) if is_descending else (order, table.c.id)))
    rows = list(connection.execute(statement))
    if len(rows) <= question.limit:
        return Page(rows, None)
    last_row = rows[question.limit - 1]
    return Page(rows[: question.limit], write_cursor(question, last_row.sort_value, last_row.id))


def write_cursor(question: PageQuestion, value: Any, id: str) -> str:
    if isinstance(value, datetime):
        value = (value - _EPOCH) // _MICROSECOND
    return base64.urlsafe_b64encode(msgspec.msgpack.encode([_mark(question), value, id])).decode().rstrip("=")


def read_cursor(question: PageQuestion) -> tuple[Any, str]:
    """Sort value and id of the last row given; raises InvalidParameter."""
    wrong = InvalidParameter("The cursor is not one of this list.", field="cursor", hint="Begin without a cursor.")
    is_time = question.sort.lstrip("-") in ("created_at", "updated_at")
    try:
        text = (question.cursor or "").encode("ascii")
        packed = base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        mark, value, id = msgspec.msgpack.decode(packed, type=tuple[int, int | str, str])
        if mark != _mark(question) or isinstance(value, str) is is_time or "\x00" in f"{value}{id}":
            raise wrong
        return (_EPOCH + value * _MICROSECOND if isinstance(value, int) else value), id
    except (binascii.Error, msgspec.DecodeError, OverflowError, UnicodeError):
        raise wrong from None


def _mark(question: PageQuestion) -> int:
    """What a cursor is bound to."""
    return zlib.crc32(msgspec.json.encode([question.sort, question.q, question.filters]))


def _sort_value(table: Table, name: str) -> ColumnElement[Any]:
    column = table.c[name]
    if name == "name":
        return collate(func.coalesce(column, ""), "C") if column.nullable else collate(column, "C")
    return column


def _search(kind: EntityType, q: str) -> ColumnElement[bool]:
    """Those whose name or other searched field begins like this, or whose id does; case does not count."""
    start = func.lower(cast(q, Text))
    pattern = func.replace(func.replace(func.replace(start, "\\", "\\\\"), "%", "\\%"), "_", "\\_").op("||")("%")
    of_id = q.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    columns = kind.table.c
    return or_(columns.id.like(of_id), *(func.lower(columns[name]).like(pattern) for name in kind.searched))
