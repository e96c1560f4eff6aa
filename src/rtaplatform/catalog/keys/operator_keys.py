"""Keys as operators manage them by project slug: create, list, revoke.   Within `Database.run`.

An operator is not bound by the rules for keys that make keys (`key_admin.py`): a project's last admin key can be
revoked here too.
"""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct
from sqlalchemy import func, select, update
from sqlalchemy.engine import Connection

from rtaplatform.catalog.keys.key_admin import MadeKey, NewKey, insert_key
from rtaplatform.catalog.tables import KEYS, PROJECTS


class KeyRow(Struct, frozen=True):
    """A key as operators see it: never the key itself."""

    id: str
    project: str
    name: str
    scopes: list[str]
    shown: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


def has_project(connection: Connection, slug: str) -> bool:
    return connection.scalar(select(PROJECTS.c.id).where(PROJECTS.c.slug == slug)) is not None


def create_key(connection: Connection, slug: str, new: NewKey) -> MadeKey | None:
    """Store a new key of this project. None if there is no such project."""
    project_id = connection.scalar(select(PROJECTS.c.id).where(PROJECTS.c.slug == slug))
    return None if project_id is None else insert_key(connection, project_id, new)


def list_keys(connection: Connection, slug: str) -> list[KeyRow]:
    rows = connection.execute(
        select(
            KEYS.c.id, PROJECTS.c.slug, KEYS.c.name, KEYS.c.scopes, KEYS.c.shown,
            KEYS.c.created_at, KEYS.c.expires_at, KEYS.c.revoked_at, KEYS.c.last_used_at,
        )
        .join_from(KEYS, PROJECTS).where(PROJECTS.c.slug == slug).order_by(KEYS.c.created_at, KEYS.c.id)
    )  # fmt: skip
    return [KeyRow(*row) for row in rows]


def revoke_key(connection: Connection, slug: str, key_id: str) -> bool:
    """Whether there was such a key to revoke."""
    project_id = select(PROJECTS.c.id).where(PROJECTS.c.slug == slug).scalar_subquery()
    result = connection.execute(
        update(KEYS)
        .where(KEYS.c.id == key_id, KEYS.c.project_id == project_id, KEYS.c.revoked_at.is_(None))
        .values(revoked_at=func.now())
    )
    return result.rowcount > 0
