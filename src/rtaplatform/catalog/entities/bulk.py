"""Many users or products at once.   Within a transaction of `Database.run`, at most a few thousand rows each.

An upsert by merge: a row changes only the fields that it has, and its free object is merged by key. Rows are locked in
the order of their ids, existing rows before new ones, so two imports of the same rows wait for each other. If two
imports of new rows deadlock all the same, PostgreSQL rolls one back and `Database.run` repeats it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import ARRAY, DateTime, Numeric, Text, bindparam, cast, column, func, literal, select
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.engine import Connection

from rtaplatform.catalog.entities.entity_rows import Values, merge_values
from rtaplatform.catalog.entities.entity_types import EntityType
from rtaplatform.catalog.entities.fields import with_defaults
from rtaplatform.catalog.entities.merge_patch import is_same
from rtaplatform.core.errors import InvalidParameter

_TYPES = {"traits": JSONB, "attributes": JSONB, "anonymous_ids": ARRAY(Text), "price": Numeric(18, 4)}
_TIMES = ("first_seen", "last_seen")


class BulkRow(Struct, frozen=True):
    """One row of an import: its number, counted from 1, its id, and the fields that it has."""

    number: int
    id: str
    values: Values


class RowError(Struct, frozen=True):
    """What is wrong with a row: its number, counted from 1, its id, the field, and the beginning of the wrong value."""

    row: int
    id: str | None
    field: str | None
    detail: str
    value: str | None = None


class BulkResult(Struct):
    """The number of rows by outcome. `errors` has every row that failed."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    errors: list[RowError] = []


def upsert(connection: Connection, kind: EntityType, project_id: str, rows: Iterable[BulkRow]) -> BulkResult:
    """Write the rows. If two have the same id, the later one is merged into the result of the earlier one."""
    rows_left, result = list(rows), BulkResult()
    while rows_left:
        current = _lock(connection, kind, project_id, sorted({row.id for row in rows_left}))
        fold = _BulkUpsert(kind, current)
        for row in rows_left:
            fold.add(row)
        _update(connection, kind, project_id, fold.updates)
        inserted_ids = _insert(connection, kind, project_id, fold.inserts)
        # Another transaction inserted these between our lock and our insert. They exist now, and are merged again.
        contended_ids = fold.inserts.keys() - inserted_ids
        fold.count(result, contended_ids)
        rows_left = [row for row in rows_left if row.id in contended_ids]
    return result


class _BulkUpsert:
    """Rows merged into the stored ones: which to insert, which to update, and the outcome of each."""

    def __init__(self, kind: EntityType, current: dict[str, Values]) -> None:
        self._kind, self._current = kind, current
        self.inserts: dict[str, Values] = {}
        self.updates: dict[str, Values] = {}
        self._outcomes: list[tuple[str, str]] = []
        self._errors: list[RowError] = []

    def add(self, row: BulkRow) -> None:
        before = self.inserts.get(row.id) or self.updates.get(row.id) or self._current.get(row.id)
        try:
            if before is None:
                self.inserts[row.id] = with_defaults(row.values, self._kind.fields)
                self._outcomes.append((row.id, "created"))
                return
            after = merge_values(self._kind, before, row.values)
        except InvalidParameter as error:
            self._errors.append(RowError(row.number, row.id, error.field, error.detail))
            return
        is_unchanged = all(is_same(after[name], before[name]) for name in row.values)
        if not is_unchanged:
            (self.inserts if row.id in self.inserts else self.updates)[row.id] = after
        self._outcomes.append((row.id, "unchanged" if is_unchanged else "updated"))

    def count(self, result: BulkResult, contended_ids: set[str]) -> None:
        for id, outcome in self._outcomes:
            if id not in contended_ids:
                setattr(result, outcome, getattr(result, outcome) + 1)
        result.errors += [error for error in self._errors if error.id not in contended_ids]


def _lock(connection: Connection, kind: EntityType, project_id: str, ids: list[str]) -> dict[str, Values]:
    columns = kind.table.c
    rows = connection.execute(
        select(columns.id, *(columns[name] for name in kind.fields))
        .where(columns.project_id == project_id, columns.id == func.any(bindparam("ids", ids, ARRAY(Text))))
        .order_by(columns.id)
        .with_for_update()
    )
    return {row.id: dict(row._mapping) for row in rows}


def _insert(connection: Connection, kind: EntityType, project_id: str, rows: dict[str, Values]) -> set[str]:
    """The ids that were inserted."""
    if not rows:
        return set()
    table, recordset = kind.table, _select_given_rows(kind, rows)
    names = ["id", *kind.fields]
    selection = select(literal(project_id, Text), *(recordset.c[name] for name in names)).order_by(recordset.c.id)
    statement = insert(table).from_select(["project_id", *names], selection)
    return set(connection.scalars(statement.on_conflict_do_nothing().returning(table.c.id)))


def _update(connection: Connection, kind: EntityType, project_id: str, rows: dict[str, Values]) -> None:
    if not rows:
        return
    table, recordset = kind.table, _select_given_rows(kind, rows)
    connection.execute(
        table.update()
        .where(table.c.project_id == project_id, table.c.id == recordset.c.id)
        .values({name: recordset.c[name] for name in kind.fields})
    )


def _select_given_rows(kind: EntityType, rows: dict[str, Values]) -> Any:
    """The rows as a table, from a single parameter, so that the statement is the same for any number of rows."""
    columns = [column("id", Text(collation="C")), *(column(name, _choose_type(name)) for name in kind.fields)]
    text = msgspec.json.encode([{"id": id, **values} for id, values in sorted(rows.items())]).decode()
    function = func.jsonb_to_recordset(cast(bindparam("rows", text, Text), JSONB))
    return function.table_valued(*columns).render_derived(name="given", with_types=True)


def _choose_type(name: str) -> Any:
    return DateTime(timezone=True) if name in _TIMES else _TYPES.get(name, Text)
