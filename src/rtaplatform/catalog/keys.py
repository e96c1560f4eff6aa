"""API keys: made here, known by their hash only, looked up with a cache that outlives PostgreSQL's absence.

A key is `rta_<w|r|a>_<43 url-safe random characters><6 characters of checksum>`; the checksum lets scanners
of leaked secrets tell ours from noise. Any other text given by an operator is a key as well. SHA-256 is
enough, since a key is random and not chosen.

`KeyRing`: an entry is fresh for 30 s, then renewed while it is served, and from 50 s on only served once
renewed: a revoked key is dead within 60 s as long as PostgreSQL answers. While it does not, known keys are
served for 15 min. Unknown keys are remembered for 5 s. Everything is bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
import string
import time
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

from msgspec import Struct
from sqlalchemy import func, or_, select, text, update
from sqlalchemy.engine import Connection

from rtaplatform import telemetry
from rtaplatform.catalog.database import Database
from rtaplatform.catalog.tables import KEYS, PROJECTS
from rtaplatform.core.errors import Unavailable
from rtaplatform.settings import CatalogSettings

COLLECT, READ, CATALOG_READ, CATALOG_WRITE, ADMIN = "collect", "read", "catalog:read", "catalog:write", "admin"
SCOPES = (COLLECT, READ, CATALOG_READ, CATALOG_WRITE, ADMIN)
SCOPES_BY_KIND = {"write": (COLLECT,), "read": (READ, CATALOG_READ), "admin": SCOPES}

ENTRIES_MAX = 10_000
LOOKUPS_MAX = 64
KEY_CHARS_MAX = 256
UNKNOWN_SECONDS = 5.0
OVERDUE_SECONDS = 20.0  # beyond fresh: from then on an entry must be renewed before it is served
AWAY_SECONDS = 1.0  # how long a server that failed is left alone
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase


Clock = Callable[[], float]


class Access(Struct, frozen=True):
    """What a key opens. `project` is the slug: the projectId of events."""

    project: str
    project_id: str
    scopes: frozenset[str]
    key_id: str
    expires_at: datetime | None = None


def make_key(kind: str) -> str:
    """A new key; `kind` is write, read or admin."""
    body = f"rta_{kind[0]}_{secrets.token_urlsafe(32)}"
    return body + checksum(body)


def checksum(body: str) -> str:
    """CRC-32 in six characters of base 62."""
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits = _ALPHABET[digit] + digits
    return digits


def digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def shown(key: str) -> str:
    """What may be shown of a key: how it begins and how it ends."""
    return f"{key[:6]}…{key[-4:]}" if len(key) >= 20 else "…"


class _Entry(NamedTuple):
    access: Access | None
    at: float


class KeyRing:
    """Keys → what they open. One look-up per key in flight."""

    def __init__(
        self, database: Database, settings: CatalogSettings, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._database, self._settings, self._now = database, settings, now
        self._entries: dict[bytes, _Entry] = {}
        self._lookups: dict[bytes, asyncio.Task[Access | None]] = {}
        self._away, self._leave_alone_until = False, 0.0

    async def find(self, key: str) -> Access | None:
        """What `key` opens, None where it opens nothing; raises Unavailable."""
        if not 0 < len(key) <= KEY_CHARS_MAX:
            return None
        hashed = digest(key)
        entry = self._entries.get(hashed)
        if entry is not None and self._is_fresh(entry):
            telemetry.KEY_LOOKUPS.labels("fresh" if entry.access else "unknown").inc()
            return _unexpired(entry.access)
        if entry is not None and self._may_be_served(entry):
            telemetry.KEY_LOOKUPS.labels("stale").inc()
            if self._now() >= self._leave_alone_until:
                self._renew_unheard(hashed)
            return _unexpired(entry.access)
        return _unexpired(await self._read(hashed, entry))

    async def _read(self, hashed: bytes, entry: _Entry | None) -> Access | None:
        try:
            if self._now() < self._leave_alone_until:
                raise Unavailable("postgres", "No answer a moment ago.")
            # Shielded: the look-up is shared, and one request that goes away must not end it.
            return await asyncio.shield(self._renew(hashed))
        except Unavailable:
            telemetry.KEY_LOOKUPS.labels("unavailable").inc()
            if entry is not None and self._may_be_served(entry):
                return entry.access
            raise

    def _is_fresh(self, entry: _Entry) -> bool:
        limit = self._settings.key_cache_seconds if entry.access else UNKNOWN_SECONDS
        return self._now() - entry.at <= limit

    def _may_be_served(self, entry: _Entry) -> bool:
        """Whether a stale entry may stand for a while: shortly always, long only while PostgreSQL is away."""
        settings = self._settings
        limit = settings.key_cache_stale_seconds if self._away else settings.key_cache_seconds + OVERDUE_SECONDS
        return entry.access is not None and self._now() - entry.at <= limit

    def _renew_unheard(self, hashed: bytes) -> None:
        with contextlib.suppress(Unavailable):
            self._renew(hashed)

    def _renew(self, hashed: bytes) -> asyncio.Task[Access | None]:
        task = self._lookups.get(hashed)
        if task is None:
            if len(self._lookups) >= LOOKUPS_MAX:
                raise Unavailable("postgres", "Too many keys are being looked up.")
            task = asyncio.create_task(self._look_up(hashed))
            self._lookups[hashed] = task
            task.add_done_callback(lambda done: self._forget(hashed, done))
        return task

    def _forget(self, hashed: bytes, task: asyncio.Task[Access | None]) -> None:
        self._lookups.pop(hashed, None)
        if not task.cancelled():
            task.exception()  # a renewal in the background may fail unheard

    async def _look_up(self, hashed: bytes) -> Access | None:
        try:
            access = await self._database.run(lambda connection: read_key(connection, hashed))
        except Unavailable:
            self._away, self._leave_alone_until = True, self._now() + AWAY_SECONDS
            raise
        self._away = False
        telemetry.KEY_LOOKUPS.labels("read").inc()
        self._entries.pop(hashed, None)
        self._entries[hashed] = _Entry(access, self._now())
        while len(self._entries) > ENTRIES_MAX:
            self._drop_one()
        return access

    def _drop_one(self) -> None:
        """Unknown keys go first: a flood of them must not push out what serves us while PostgreSQL is away."""
        oldest = next(iter(self._entries))
        victim = next((hashed for hashed, entry in self._entries.items() if entry.access is None), oldest)
        del self._entries[victim]


def _unexpired(access: Access | None) -> Access | None:
    if access is None or access.expires_at is None or access.expires_at > datetime.now(UTC):
        return access
    return None


def read_key(connection: Connection, hashed: bytes) -> Access | None:
    """The key with this hash, if it is neither revoked nor expired; notes that it is used."""
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
    connection.execute(
        update(KEYS)
        .where(KEYS.c.id == row[3])
        .where(or_(KEYS.c.last_used_at.is_(None), KEYS.c.last_used_at < func.now() - text("interval '60 s'")))
        .values(last_used_at=func.now())
    )
    slug, project_id, scopes, key_id, expires_at = row
    return Access(slug, project_id, frozenset(scopes), key_id, expires_at)


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


def list_keys(connection: Connection, project: str) -> list[KeyRow]:
    rows = connection.execute(
        select(
            KEYS.c.id, PROJECTS.c.slug, KEYS.c.name, KEYS.c.scopes, KEYS.c.shown,
            KEYS.c.created_at, KEYS.c.expires_at, KEYS.c.revoked_at, KEYS.c.last_used_at,
        )
        .join_from(KEYS, PROJECTS).where(PROJECTS.c.slug == project).order_by(KEYS.c.created_at, KEYS.c.id)
    )  # fmt: skip
    return [KeyRow(*row) for row in rows]


class NewKey(Struct, frozen=True):
    project: str
    name: str
    kind: str
    expires_at: datetime | None = None


def create_key(connection: Connection, new: NewKey) -> tuple[str, str] | None:
    """Store a new key; its id and the key itself, which nobody can read again. None where the project is unknown."""
    project_id = connection.scalar(select(PROJECTS.c.id).where(PROJECTS.c.slug == new.project))
    if project_id is None:
        return None
    key, key_id = make_key(new.kind), make_id("key")
    connection.execute(
        KEYS.insert().values(
            id=key_id, project_id=project_id, name=new.name, scopes=list(SCOPES_BY_KIND[new.kind]),
            sha256=digest(key), shown=shown(key), expires_at=new.expires_at,
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


def make_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(12)}"
