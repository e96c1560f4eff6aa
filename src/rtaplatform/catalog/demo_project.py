"""Create the demo project: its three keys, and the users and products of the simulated shop.

Idempotent: existing rows are updated, and none is deleted. One statement per table and thousand rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection

from rtaplatform.catalog.database import Database
from rtaplatform.catalog.keys.key_format import SCOPES_BY_KIND, hash_key, mask_key
from rtaplatform.catalog.tables import KEYS, PRODUCTS, PROJECTS, USERS

PROJECT_ID, SLUG = "prj_demo", "demo"
ROWS_PER_STATEMENT = 1_000
SECONDS_MAX = 60.0


class SeededDemoKeys(Struct, frozen=True):
    write: str
    read: str
    admin: str


async def seed_demo(
    database: Database, keys: SeededDemoKeys, *, users: list[dict[str, Any]], products: list[dict[str, Any]]
) -> None:
    """Create or update the demo project with these users and products (`simulate/shop`). Raises Unavailable."""

    def write(connection: Connection) -> None:
        connection.execute(
            insert(PROJECTS)
            .values(id=PROJECT_ID, slug=SLUG, name="Demo shop", zone="Europe/Berlin", currency="EUR")
            .on_conflict_do_nothing()
        )
        _put_keys(connection, keys)
        _put_rows(connection, USERS, users, ("email", "name", "traits"))
        columns = ("name", "category", "brand", "price", "currency", "image_url", "attributes")
        _put_rows(connection, PRODUCTS, products, columns)

    await database.run(write, seconds=SECONDS_MAX)


def has_other_keys(connection: Connection, keys: SeededDemoKeys) -> bool:
    """Whether the demo project exists with other keys. A database without tables has none."""
    if connection.scalar(select(func.to_regclass(KEYS.name))) is None:
        return False
    expected_hashes = {_make_key_id(kind): hash_key(key) for kind, key in _list_by_kind(keys)}
    stored_keys = connection.execute(select(KEYS.c.id, KEYS.c.sha256).where(KEYS.c.id.in_(expected_hashes)))
    return any(bytes(sha256) != expected_hashes[key_id] for key_id, sha256 in stored_keys)


def _list_by_kind(keys: SeededDemoKeys) -> tuple[tuple[str, str], ...]:
    return (("write", keys.write), ("read", keys.read), ("admin", keys.admin))


def _make_key_id(kind: str) -> str:
    return f"key_demo_{kind}"


def _put_keys(connection: Connection, keys: SeededDemoKeys) -> None:
    for kind, key in _list_by_kind(keys):
        values = {
            "project_id": PROJECT_ID,
            "name": f"demo {kind} key",
            "scopes": list(SCOPES_BY_KIND[kind]),
            "sha256": hash_key(key),
            "shown": mask_key(key),
            "revoked_at": None,
            "expires_at": None,
        }
        statement = insert(KEYS).values(id=_make_key_id(kind), **values)
        connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=values))


def _put_rows(connection: Connection, table: Any, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    for chunk in _cut_chunks(rows):
        values = [{"project_id": PROJECT_ID, "id": row["id"], **{name: row[name] for name in columns}} for row in chunk]
        statement = insert(table)
        updates = {name: statement.excluded[name] for name in columns} | {"updated_at": func.now()}
        connection.execute(
            statement.values(values).on_conflict_do_update(index_elements=["project_id", "id"], set_=updates)
        )


def _cut_chunks(rows: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(rows), ROWS_PER_STATEMENT):
        yield rows[start : start + ROWS_PER_STATEMENT]
