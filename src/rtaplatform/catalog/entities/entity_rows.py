"""One user or product: create, read, replace, patch, delete.   Within a transaction of `Database.run`.

A change locks its row first, so of two that come at once the second sees the first: no update is lost. What would
change nothing is not written, and keeps its ETag.
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
    """Which thing is meant: of a project, by its id."""

    def __init__(self, kind: EntityType, project_id: str, id: str) -> None:
        self.kind, self.project_id, self.id = kind, project_id, id

    def unknown(self) -> NotFound:
        return NotFound(f"There is no {self.kind.name} with this id.", field="id")


def create(connection: Connection, place: EntityRef, values: Values) -> EntityRow:
    """Raises Conflict where it exists."""
    row = _insert(connection, place, with_defaults(values, place.kind.fields))
    if row is None:
        hint = "PUT replaces it, PATCH changes it."
        raise Conflict(f"There is a {place.kind.name} with this id.", field="id", hint=hint)
    return row


def read(connection: Connection, place: EntityRef) -> EntityRow:
    """Raises NotFound."""
    row = connection.execute(_select(place)).one_or_none()
    if row is None:
        raise place.unknown()
    return row


def replace(
    connection: Connection, place: EntityRef, values: Values, condition: Condition | None
) -> tuple[EntityRow, bool]:
    """The row as it is now, and whether it was created; raises PreconditionFailed."""
    wanted = with_defaults(values, place.kind.fields)
    while True:
        row = _lock(connection, place)
        if condition is not None:
            condition.check(None if row is None else row.version)
        if row is not None:
            return _update(connection, place, row, wanted), False
        made = _insert(connection, place, wanted)
        if made is not None:
            return made, True


def patch(connection: Connection, place: EntityRef, values: Values, condition: Condition | None) -> EntityRow:
    """Raises NotFound, PreconditionFailed, and InvalidParameter where the merged object is too large."""
    row = _lock(connection, place)
    if row is None:
        raise place.unknown()
    if condition is not None:
        condition.check(row.version)
    return _update(connection, place, row, merge_values(place.kind, row._mapping, values))


def delete(connection: Connection, place: EntityRef, condition: Condition | None) -> None:
    """Raises NotFound, PreconditionFailed."""
    row = _lock(connection, place)
    if row is None:
        raise place.unknown()
    if condition is not None:
        condition.check(row.version)
    connection.execute(place.kind.table.delete().where(_is(place)))


def merge_values(kind: EntityType, current: Any, values: Values) -> Values:
    """All fields of a row as a merge patch leaves them."""
    merged = {name: values.get(name, current[name]) for name in kind.fields}
    name = kind.json_field
    if values.get(name):
        merged[name] = merge(current[name], values[name])
        try:
            check_json(merged[name])
        except InvalidParameter as error:
            error.field = name
            raise
    return merged


def _update(connection: Connection, place: EntityRef, row: EntityRow, wanted: Values) -> EntityRow:
    changed = {name: value for name, value in wanted.items() if not is_same(value, row._mapping[name])}
    if not changed:
        return row
    table = place.kind.table
    return connection.execute(table.update().where(_is(place)).values(changed).returning(table)).one()


def _insert(connection: Connection, place: EntityRef, values: Values) -> EntityRow | None:
    table = place.kind.table
    statement = insert(table).values(project_id=place.project_id, id=place.id, **values)
    return connection.execute(statement.on_conflict_do_nothing().returning(table)).one_or_none()


def _lock(connection: Connection, place: EntityRef) -> EntityRow | None:
    return connection.execute(_select(place).with_for_update()).one_or_none()


def _select(place: EntityRef) -> Any:
    return select(place.kind.table).where(_is(place))


def _is(place: EntityRef) -> Any:
    columns = place.kind.table.c
    return and_(columns.project_id == place.project_id, columns.id == place.id)
