"""Keys in PostgreSQL: found by their hash, listed, made and revoked for operators.   Within `Database.run`.

No comparison depends on a key's characters: what is looked up is its SHA-256, so that time tells nothing of a key.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from sqlalchemy import bindparam, func, or_, select, update
from sqlalchemy.engine import Connection

from rtaplatform.catalog.keys.key_format import SCOPES_BY_KIND, digest, make_id, make_key, mask_key
from rtaplatform.catalog.tables import KEYS, PROJECTS


class KeyAccess(Struct, frozen=True):
    """What a key opens. `project` is the slug: the projectId of events."""

    project: str
    project_id: str
    scopes: frozenset[str]
    key_id: str
    expires_at: datetime | None = None


def read_key(connection: Connection, hashed: bytes) -> KeyAccess | None:
    """The key with this hash, if it is neither revoked nor expired."""
    row = (
        connection.execute(
            select(PROJECTS.c.slug, PROJECTS.c.id, KEYS.c.scopes, KEYS.c.id, KEYS.c.expires_at)
            .join_from(KEYS, PROJECTS)
            .where(KEYS.c.sha256 == hashed, KEYS.c.revoked_at.is_(None))
            .where(or_(KEYS.c.expires_at.is_(None), KEYS.c.expires_at > func.now()))
        )
    ).one_or_none()
    if row is None:
        return None
    slug, project_id, scopes, key_id, expires_at = row
    return KeyAccess(slug, project_id, frozenset(scopes), key_id, expires_at)


def write_used(connection: Connection, used: Sequence[tuple[str, datetime]]) -> None:
    """When each key (by id) was last used; never moved back."""
    latest = func.greatest(KEYS.c.last_used_at, bindparam("at"))
    statement = update(KEYS).where(KEYS.c.id == bindparam("key_id")).values(last_used_at=latest)
    # In one order for all processes, so that two of them never wait for each other.
    connection.execute(statement, [{"key_id": key_id, "at": at} for key_id, at in sorted(used)])


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


def list_keys(connection: Connection, project: str) -> list[KeyRow]:
    rows = connection.execute(
        select(
            KEYS.c.id, PROJECTS.c.slug, KEYS.c.name, KEYS.c.scopes, KEYS.c.shown,
            KEYS.c.created_at, KEYS.c.expires_at, KEYS.c.revoked_at, KEYS.c.last_used_at,
        )
        .join_from(KEYS, PROJECTS).where(PROJECTS.c.slug == project).order_by(KEYS.c.created_at, KEYS.c.id)
    )  # fmt: skip
    return [KeyRow(*row) for row in rows]


class CreatedKey(Struct, frozen=True):
    project: str
    name: str
    kind: str
    expires_at: datetime | None = None


def create_key(connection: Connection, new: CreatedKey) -> tuple[str, str] | None:
    """Store a new key; its id and the key itself, which nobody can read again. None where the project is unknown."""
    project_id = connection.scalar(select(PROJECTS.c.id).where(PROJECTS.c.slug == new.project))
    if project_id is None:
        return None
    key, key_id = make_key(new.kind), make_id("key")
    connection.execute(
        KEYS.insert().values(
            id=key_id, project_id=project_id, name=new.name, scopes=list(SCOPES_BY_KIND[new.kind]),
            sha256=digest(key), shown=mask_key(key), expires_at=new.expires_at,
        )
    )  # fmt: skip
    return key_id, key


def revoke_key(connection: Connection, project: str, key_id: str) -> bool:
    """Whether there was such a key to revoke."""
    of_project = select(PROJECTS.c.id).where(PROJECTS.c.slug == project).scalar_subquery()
    done = connection.execute(
        update(KEYS)
        .where(KEYS.c.id == key_id, KEYS.c.project_id == of_project, KEYS.c.revoked_at.is_(None))
        .values(revoked_at=func.now())
    )
    return done.rowcount > 0
