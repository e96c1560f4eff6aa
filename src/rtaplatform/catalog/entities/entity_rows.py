"""One user or product: create, read, replace, patch, delete.   Within a transaction of `Database.run`.

A change locks its row first, so of two simultaneous changes the second sees the result of the first: no update is
lost. A change that alters nothing is not written, so the row keeps its ETag.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, and_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection

from rtaplatform.catalog.entities.entity_types import EntityType
from rtaplatform.catalog.entities.etags import Condition
from rtaplatform.catalog.entities.fields import check_json, with_defaults
from rtaplatform.catalog.entities.merge_patch import is_same, merge
from rtaplatform.core.errors import Conflict, InvalidParameter, NotFound

EntityRow = Row[Any]
Values = dict[str, Any]


class EntityRef:
    """Names one user or product: its project and its id."""

    def __init__(self, kind: EntityType, project_id: str, id: str) -> None:
        self.kind, self.project_id, self.id = kind, project_id, id

    def make_not_found(self) -> NotFound:
        return NotFound(f"There is no {self.kind.name} with this id.", field="id")


def create(connection: Connection, ref: EntityRef, values: Values) -> EntityRow:
    """Insert a row. Raises Conflict if it exists."""
    row = _insert(connection, ref, with_defaults(values, ref.kind.fields))
    if row is None:
        hint = "PUT replaces it, PATCH changes it."
        raise Conflict(f"There is a {ref.kind.name} with this id.", field="id", hint=hint)
    return row


def read(connection: Connection, ref: EntityRef) -> EntityRow:
    """Raises NotFound."""
    row = connection.execute(_select(ref)).one_or_none()
    if row is None:
        raise ref.make_not_found()
    return row


def replace(
    connection: Connection, ref: EntityRef, values: Values, condition: Condition | None
) -> tuple[EntityRow, bool]:
    """Replace or create the row. Returns it, and whether it was created. Raises PreconditionFailed."""
    new_values = with_defaults(values, ref.kind.fields)
    while True:
        row = _lock(connection, ref)
        if condition is not None:
            condition.check(None if row is None else row.version)
        if row is not None:
            return _update(connection, ref, row, new_values), False
        created_row = _insert(connection, ref, new_values)
        if created_row is not None:
            return created_row, True


def patch(connection: Connection, ref: EntityRef, values: Values, condition: Condition | None) -> EntityRow:
    """Raises NotFound, PreconditionFailed, and InvalidParameter if the merged object is too large."""
    row = _lock(connection, ref)
    if row is None:
        raise ref.make_not_found()
    if condition is not None:
        condition.check(row.version)
    return _update(connection, ref, row, merge_values(ref.kind, row._mapping, values))


def delete(connection: Connection, ref: EntityRef, condition: Condition | None) -> None:
    """Raises NotFound, PreconditionFailed."""
    row = _lock(connection, ref)
    if row is None:
        raise ref.make_not_found()
    if condition is not None:
        condition.check(row.version)
    connection.execute(ref.kind.table.delete().where(_select_ref(ref)))


def merge_values(kind: EntityType, current: Any, values: Values) -> Values:
    """All fields of a row after a merge patch."""
    new_values = {name: values.get(name, current[name]) for name in kind.fields}
    name = kind.json_field
    if values.get(name):
        new_values[name] = merge(current[name], values[name])
        try:
            check_json(new_values[name])
        except InvalidParameter as error:
            error.field = name
            raise
    return new_values


def _update(connection: Connection, ref: EntityRef, row: EntityRow, new_values: Values) -> EntityRow:
    changes = {name: value for name, value in new_values.items() if not is_same(value, row._mapping[name])}
    if not changes:
        return row
    table = ref.kind.table
    return connection.execute(table.update().where(_select_ref(ref)).values(changes).returning(table)).one()


def _insert(connection: Connection, ref: EntityRef, values: Values) -> EntityRow | None:
    table = ref.kind.table
    statement = insert(table).values(project_id=ref.project_id, id=ref.id, **values)
    return connection.execute(statement.on_conflict_do_nothing().returning(table)).one_or_none()


def _lock(connection: Connection, ref: EntityRef) -> EntityRow | None:
    return connection.execute(_select(ref).with_for_update()).one_or_none()


def _select(ref: EntityRef) -> Any:
    return select(ref.kind.table).where(_select_ref(ref))


def _select_ref(ref: EntityRef) -> Any:
    columns = ref.kind.table.c
    return and_(columns.project_id == ref.project_id, columns.id == ref.id)
