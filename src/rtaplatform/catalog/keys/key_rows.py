"""What a key opens, read from PostgreSQL by the key's hash; and when keys were last used.   Within `Database.run`.

A key is looked up by its SHA-256, never by its characters, so response times tell nothing about a key.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from sqlalchemy import bindparam, func, or_, select, update
from sqlalchemy.engine import Connection

from rtaplatform.catalog.tables import KEYS, PROJECTS


class KeyAccess(Struct, frozen=True):
    """What a key opens. `project` is the slug: the projectId of events."""

    project: str
    project_id: str
    scopes: frozenset[str]
    key_id: str
    expires_at: datetime | None = None


def read_key(connection: Connection, key_hash: bytes) -> KeyAccess | None:
    """The key with this hash, if it is neither revoked nor expired."""
    row = (
        connection.execute(
            select(PROJECTS.c.slug, PROJECTS.c.id, KEYS.c.scopes, KEYS.c.id, KEYS.c.expires_at)
            .join_from(KEYS, PROJECTS)
            .where(KEYS.c.sha256 == key_hash, KEYS.c.revoked_at.is_(None))
            .where(or_(KEYS.c.expires_at.is_(None), KEYS.c.expires_at > func.now()))
        )
    ).one_or_none()
    if row is None:
        return None
    slug, project_id, scopes, key_id, expires_at = row
    return KeyAccess(slug, project_id, frozenset(scopes), key_id, expires_at)


def write_used(connection: Connection, last_uses: Sequence[tuple[str, datetime]]) -> None:
    """Write when each key (by id) was last used. The time never moves back."""
    latest = func.greatest(KEYS.c.last_used_at, bindparam("at"))
    statement = update(KEYS).where(KEYS.c.id == bindparam("key_id")).values(last_used_at=latest)
    # All processes use the same order, so that two of them never deadlock.
    connection.execute(statement, [{"key_id": key_id, "at": at} for key_id, at in sorted(last_uses)])
