"""Manage a project's keys: create, list, change, rotate, revoke.   Within a transaction of `Database.run`.

A new key opens at most what its maker's own key opens (`KeyMaker`), and a project always keeps one key that can make
others.

The key itself is shown once, when it is made. A revoked key appears only in lists that ask for revoked keys. Every
process learns of a change within 60 s (`key_cache.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct
from sqlalchemy import Row, any_, func, literal, or_, select, update
from sqlalchemy.engine import Connection

from rtaplatform.catalog.entities.etags import Condition
from rtaplatform.catalog.entities.fields import Field, Fields, make_text_field, read_time
from rtaplatform.catalog.entities.merge_patch import is_same
from rtaplatform.catalog.entities.pages import Page, PageQuestion, walk
from rtaplatform.catalog.keys.key_format import ADMIN, COLLECT, SCOPES, hash_key, make_id, make_key, mask_key
from rtaplatform.catalog.tables import KEYS, NAME_CHARS_MAX, PROJECTS
from rtaplatform.core.errors import Conflict, Forbidden, InvalidParameter, NotFound

_VALID = (KEYS.c.revoked_at.is_(None), or_(KEYS.c.expires_at.is_(None), KEYS.c.expires_at > func.now()))
GRACE_SECONDS_DEFAULT, GRACE_SECONDS_MAX = 86_400, 30 * 86_400
SCOPES_GIVEN_MAX = 100


class Key(Struct, frozen=True):
    """A key as an answer shows it: never the key itself."""

    id: str
    name: str
    scopes: list[str]
    shown: str
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class NewKey(Struct, frozen=True):
    name: str
    scopes: tuple[str, ...]
    expires_at: datetime | None = None


class KeyMaker(Struct, frozen=True):
    """The maker of a key: the scopes of their own key, and the most valid keys of a project (0: no limit)."""

    scopes: frozenset[str]
    keys_max: int = 0


class MadeKey(Struct, frozen=True):
    """A new key. `key` is its text, which cannot be read again."""

    row: Row[Any]
    key: str


def read_scopes(value: Any) -> tuple[str, ...]:
    """Check a list of scopes, and return it in the order of `SCOPES`."""
    if not isinstance(value, list) or not 1 <= len(value) <= SCOPES_GIVEN_MAX or any(v not in SCOPES for v in value):
        raise InvalidParameter(f"It must be a list of 1 to {SCOPES_GIVEN_MAX} known scopes.", allowed=list(SCOPES))
    return tuple(scope for scope in SCOPES if scope in value)


def _read_grace(value: Any) -> int:
    # In JSON, 60.0 is a whole number too.
    if isinstance(value, bool) or value not in range(GRACE_SECONDS_MAX + 1):
        raise InvalidParameter(f"It is a whole number of seconds from 0 to {GRACE_SECONDS_MAX}.")
    return int(value)


_EXPIRES = Field(read_time, {"type": ["string", "null"], "format": "date-time"})
CHANGEABLE: Fields = {
    "name": make_text_field(NAME_CHARS_MAX, chars_min=1, is_required=True),
    "expires_at": _EXPIRES,
}
KEY_FIELDS: Fields = {
    "name": CHANGEABLE["name"],
    "scopes": Field(
        read_scopes,
        {
            "type": "array",
            "minItems": 1,
            "maxItems": SCOPES_GIVEN_MAX,
            "items": {"type": "string", "enum": list(SCOPES)},
        },
        is_required=True,
    ),
    "expires_at": _EXPIRES,
}
ROTATION_FIELDS: Fields = {
    "grace_seconds": Field(
        _read_grace,
        {"type": ["integer", "null"], "minimum": 0, "maximum": GRACE_SECONDS_MAX, "default": GRACE_SECONDS_DEFAULT},
        GRACE_SECONDS_DEFAULT,
    )
}


def insert_key(connection: Connection, project_id: str, new: NewKey) -> MadeKey:
    key = make_key(choose_kind(new.scopes))
    row = connection.execute(
        KEYS.insert()
        .values(
            id=make_id("key"), project_id=project_id, name=new.name, scopes=list(new.scopes), sha256=hash_key(key),
            shown=mask_key(key), expires_at=new.expires_at,
        )
        .returning(KEYS)
    ).one()  # fmt: skip
    return MadeKey(row, key)


def create(connection: Connection, project_id: str, new: NewKey, maker: KeyMaker) -> MadeKey:
    """Create a key. Raises InvalidParameter, Forbidden, Conflict."""
    if new.expires_at is not None and new.expires_at <= datetime.now(UTC):
        raise InvalidParameter(
            "The end of a new key is in the past.", field="expires_at", allowed="a time to come",
            hint="Leave it out for a key without an end.",
        )  # fmt: skip
    _require_scopes(maker, new.scopes)
    _require_room(connection, project_id, maker)
    return insert_key(connection, project_id, new)


def _require_scopes(maker: KeyMaker, scopes: Iterable[str]) -> None:
    missing_scopes = [scope for scope in SCOPES if scope in scopes and scope not in maker.scopes]
    if missing_scopes:
        raise Forbidden(
            f"The key itself does not open {', '.join(missing_scopes)}.", field="scopes",
            allowed=[scope for scope in SCOPES if scope in maker.scopes],
            hint="Use a key that opens all that the new one is to open, or `rta keys create`.",
        )  # fmt: skip


def _require_room(connection: Connection, project_id: str, maker: KeyMaker) -> None:
    if not maker.keys_max:
        return
    count = select(func.count()).select_from(KEYS).where(KEYS.c.project_id == project_id, *_VALID)
    if (connection.scalar(count) or 0) >= maker.keys_max:
        raise Conflict(f"The project has {maker.keys_max} valid keys.", hint="Revoke those that are not in use.")


def choose_kind(scopes: tuple[str, ...]) -> str:
    """The kind of a key by its strongest scope; the key's text begins with it."""
    return "admin" if ADMIN in scopes else "write" if COLLECT in scopes else "read"


def list_page(connection: Connection, project_id: str, question: PageQuestion) -> Page:
    """One page of the keys that are not revoked; of all keys with the filter `revoked=include`."""
    is_whole = dict(question.filters).get("revoked") == "include"
    return walk(connection, KEYS, project_id, () if is_whole else (KEYS.c.revoked_at.is_(None),), question)


def read(connection: Connection, project_id: str, key_id: str, *, for_update: bool = False) -> Row[Any]:
    """Raises NotFound."""
    query = select(KEYS).where(KEYS.c.id == key_id, KEYS.c.project_id == project_id, KEYS.c.revoked_at.is_(None))
    row = connection.execute(query.with_for_update() if for_update else query).one_or_none()
    if row is None:
        raise NotFound("There is no key with this id.", field="id")
    return row


def patch(
    connection: Connection, project_id: str, key_id: str, values: dict[str, Any], condition: Condition | None
) -> Row[Any]:
    """Raises NotFound, PreconditionFailed."""
    row = read(connection, project_id, key_id, for_update=True)
    if condition is not None:
        condition.check(row.version)
    changes = {name: value for name, value in values.items() if not is_same(value, row._mapping[name])}
    if not changes:
        return row
    ends = changes.get("expires_at")
    if ends is not None and ends <= datetime.now(UTC):
        _require_another_admin(connection, project_id, row)
    return connection.execute(update(KEYS).where(KEYS.c.id == key_id).values(changes).returning(KEYS)).one()


def rotate(connection: Connection, project_id: str, key_id: str, grace_seconds: int, maker: KeyMaker) -> MadeKey:
    """Create a key with the same name and scopes. The old one stays valid for `grace_seconds`.

    Raises NotFound, Conflict, Forbidden.
    """
    row = read(connection, project_id, key_id, for_update=True)
    now = datetime.now(UTC)
    _require_scopes(maker, row.scopes)
    if row.expires_at is not None and row.expires_at <= now:
        raise Conflict("The key has expired.", field="id", hint="Make a new key.")
    ends = now + timedelta(seconds=grace_seconds)
    _require_room(connection, project_id, maker)
    if row.expires_at is None or row.expires_at > ends:
        connection.execute(update(KEYS).where(KEYS.c.id == key_id).values(expires_at=ends))
    return insert_key(connection, project_id, NewKey(row.name, tuple(row.scopes), row.expires_at))


def revoke(connection: Connection, project_id: str, key_id: str, condition: Condition | None) -> None:
    """Raises NotFound, PreconditionFailed, Conflict."""
    row = read(connection, project_id, key_id, for_update=True)
    if condition is not None:
        condition.check(row.version)
    _require_another_admin(connection, project_id, row)
    connection.execute(update(KEYS).where(KEYS.c.id == key_id).values(revoked_at=func.now()))


def _require_another_admin(connection: Connection, project_id: str, row: Row[Any]) -> None:
    """Raise Conflict if no other valid key of the project can make keys."""
    if ADMIN not in row.scopes:
        return
    # The lock admits one at a time: two keys that revoke each other would both see the other one as valid.
    connection.execute(select(PROJECTS.c.id).where(PROJECTS.c.id == project_id).with_for_update(key_share=True))
    other_admins = select(KEYS.c.id).where(
        KEYS.c.project_id == project_id, KEYS.c.id != row.id, literal(ADMIN) == any_(KEYS.c.scopes), *_VALID
    )
    if connection.scalar(other_admins.limit(1)) is None:
        raise Conflict(
            "It is the project's last key with the scope admin.", field="id",
            hint="Make another one first, or rotate it. Operators can do so with `rta keys`.",
        )  # fmt: skip


def render_key(row: Row[Any]) -> Key:
    return Key(**{name: getattr(row, name) for name in Key.__struct_fields__})
