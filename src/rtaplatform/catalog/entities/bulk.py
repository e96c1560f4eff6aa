"""Many users or products at once.   Within a transaction of `Database.run`, at most a few thousand rows each.

An upsert by merge: only the fields of a row are changed, its free object is merged by key. Rows are locked in the
order of their ids, those that exist before those that do not, so that two imports of the same rows wait for each
other; where new rows cross nevertheless, PostgreSQL takes one back and `Database.run` repeats it.
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
    """One row of an import: its number as people count, its id, the fields that it has."""

    number: int
    id: str
    values: Values


class RowError(Struct, frozen=True):
    """What is wrong with a row: its number as people count, its id, the field and the beginning of what stood there."""

    row: int
    id: str | None
    field: str | None
    detail: str
    value: str | None = None


class BulkResult(Struct):
    """What became of the rows. `failed` is the number of `errors`, of which a chunk gives all."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    errors: list[RowError] = []


def upsert(connection: Connection, kind: EntityType, project_id: str, rows: Iterable[BulkRow]) -> BulkResult:
    """Bring the rows in; of two with one id the later goes on where the earlier ended."""
    waiting, written = list(rows), BulkResult()
    while waiting:
        current = _lock(connection, kind, project_id, sorted({row.id for row in waiting}))
        folded = _BulkUpsert(kind, current)
        for row in waiting:
            folded.take(row)
        _update(connection, kind, project_id, folded.changed)
        made = _insert(connection, kind, project_id, folded.new)
        # Somebody else made these between our look and our insert: they are there now, and are looked at again.
        crossed = folded.new.keys() - made
        folded.count(written, crossed)
        waiting = [row for row in waiting if row.id in crossed]
    return written


class _BulkUpsert:
    """Rows folded over what is there: what to insert, what to update, and what became of each."""

    def __init__(self, kind: EntityType, current: dict[str, Values]) -> None:
        self._kind, self._current = kind, current
        self.new: dict[str, Values] = {}
        self.changed: dict[str, Values] = {}
        self._outcomes: list[tuple[str, str]] = []
        self._errors: list[RowError] = []

    def take(self, row: BulkRow) -> None:
        before = self.new.get(row.id) or self.changed.get(row.id) or self._current.get(row.id)
        try:
            if before is None:
                self.new[row.id] = with_defaults(row.values, self._kind.fields)
                self._outcomes.append((row.id, "created"))
                return
            after = merge_values(self._kind, before, row.values)
        except InvalidParameter as error:
            self._errors.append(RowError(row.number, row.id, error.field, error.detail))
            return
        same = all(is_same(after[name], before[name]) for name in row.values)
        if not same:
            (self.new if row.id in self.new else self.changed)[row.id] = after
        self._outcomes.append((row.id, "unchanged" if same else "updated"))

    def count(self, written: BulkResult, crossed: set[str]) -> None:
        for id, outcome in self._outcomes:
            if id not in crossed:
                setattr(written, outcome, getattr(written, outcome) + 1)
        written.errors += [error for error in self._errors if error.id not in crossed]


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
    table, given = kind.table, _recordset(kind, rows)
    names = ["id", *kind.fields]
    chosen = select(literal(project_id, Text), *(given.c[name] for name in names)).order_by(given.c.id)
    statement = insert(table).from_select(["project_id", *names], chosen)
    return set(connection.scalars(statement.on_conflict_do_nothing().returning(table.c.id)))


def _update(connection: Connection, kind: EntityType, project_id: str, rows: dict[str, Values]) -> None:
    if not rows:
        return
    table, given = kind.table, _recordset(kind, rows)
    connection.execute(
        table.update()
        .where(table.c.project_id == project_id, table.c.id == given.c.id)
        .values({name: given.c[name] for name in kind.fields})
    )


def _recordset(kind: EntityType, rows: dict[str, Values]) -> Any:
    """The rows as a table, from one parameter: their number does not change the statement."""
    columns = [column("id", Text(collation="C")), *(column(name, _type_of(name)) for name in kind.fields)]
    text = msgspec.json.encode([{"id": id, **values} for id, values in sorted(rows.items())]).decode()
    function = func.jsonb_to_recordset(cast(bindparam("rows", text, Text), JSONB))
    return function.table_valued(*columns).render_derived(name="given", with_types=True)


def _type_of(name: str) -> Any:
    return DateTime(timezone=True) if name in _TIMES else _TYPES.get(name, Text)
