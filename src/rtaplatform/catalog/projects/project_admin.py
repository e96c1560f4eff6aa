"""Manage projects: create one with its three keys, read it, change it.   Within a transaction of `Database.run`.

Events hold a project's slug. Its zone decided in which hour and day they were counted, and its currency in which unit
revenue was summed. None of the three can be changed here, because existing totals depend on them; a rebuild can.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import Row, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection

from rtaplatform.catalog.entities.currencies import CURRENCIES
from rtaplatform.catalog.entities.etags import Condition
from rtaplatform.catalog.entities.fields import (
    OBJECT_SCHEMA,
    Field,
    Fields,
    check_json,
    make_choice_field,
    make_pattern_field,
    make_text_field,
    read_object,
    with_defaults,
)
from rtaplatform.catalog.entities.merge_patch import is_same, merge
from rtaplatform.catalog.keys.key_admin import NewKey, insert_key
from rtaplatform.catalog.keys.key_format import SCOPES_BY_KIND, make_id
from rtaplatform.catalog.tables import NAME_CHARS_MAX, PROJECTS
from rtaplatform.core.declarations import DECLARED_MAX, NAME, NAME_CHARS
from rtaplatform.core.errors import Conflict, InvalidParameter, NotFound
from rtaplatform.core.origins import ORIGIN_CHARS_MAX, ORIGIN_PATTERN
from rtaplatform.core.projects import SLUG
from rtaplatform.core.time.calendar import WEEKDAYS
from rtaplatform.core.time.zones import is_known_zone

SLUG_PATTERN = f"^{SLUG}$"
ORIGINS_MAX = 100


class Project(Struct, frozen=True):
    """A project as an answer shows it."""

    id: str
    slug: str
    name: str
    zone: str
    week_start: str
    currency: str
    allowed_origins: list[str]
    event_properties: list[str]
    user_traits: list[str]
    settings: dict[str, Any]
    created_at: datetime
    updated_at: datetime


def _read_zone(value: Any) -> str:
    if not is_known_zone(value):
        raise InvalidParameter("It must be a name of the IANA time zone database.", allowed="as Europe/Berlin")
    return str(value)


def _read_origins(value: Any) -> list[str]:
    if not isinstance(value, list) or len(value) > ORIGINS_MAX:
        raise InvalidParameter(f"It must be a list of at most {ORIGINS_MAX} origins.")
    return list(dict.fromkeys(_ORIGIN.read(origin) for origin in value))


def _make_declared_field(subject: str, description: str) -> Field:
    """A list of names. `what`: properties or traits."""
    name_field = make_pattern_field(
        f"^{NAME}$", NAME_CHARS,
        "A declared name has 1 to 40 letters, digits, - and _, and begins with a letter or _.",
    )  # fmt: skip

    def read_names(value: Any) -> list[str]:
        if not isinstance(value, list) or len(value) > DECLARED_MAX:
            raise InvalidParameter(
                f"It must be a list of at most {DECLARED_MAX} names of {subject}.", hint="Take out what nobody asks by."
            )
        return list(dict.fromkeys(name_field.read(name) for name in value))

    items = {"type": "string", "pattern": f"^{NAME}$", "maxLength": NAME_CHARS}
    schema = {"type": ["array", "null"], "maxItems": DECLARED_MAX, "items": items, "description": description}
    return Field(read_names, schema, [])


def _read_settings(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidParameter("It must be a JSON object.")
    check_json(value)
    return value


_ORIGIN = make_pattern_field(
    ORIGIN_PATTERN, ORIGIN_CHARS_MAX,
    "An origin is scheme://host[:port] without a path, https://*.example.com, or null.",
)  # fmt: skip
_SLUG = make_pattern_field(
    SLUG_PATTERN, 63, "A slug has 1 to 63 small letters, digits, - and _, and begins with none of the last."
)
CHANGEABLE: Fields = {
    "name": make_text_field(NAME_CHARS_MAX, chars_min=1, is_required=True),
    "week_start": make_choice_field(WEEKDAYS, "monday"),
    "allowed_origins": Field(
        _read_origins,
        {
            "type": ["array", "null"],
            "maxItems": ORIGINS_MAX,
            "items": {"type": "string", "pattern": ORIGIN_PATTERN, "maxLength": ORIGIN_CHARS_MAX},
        },
        [],
    ),
    "event_properties": _make_declared_field(
        "properties", "Properties of events to ask by, as `property.<name>`. Events count from then on."
    ),
    "user_traits": _make_declared_field(
        "traits",
        "Traits of users to ask by, as `user.<trait>`. Events count by what is learned from then on.",
    ),
    "settings": Field(_read_settings, OBJECT_SCHEMA, {}),
}
FIXED: Fields = {
    "slug": Field(_SLUG.read, {"type": "string", "pattern": SLUG_PATTERN}, is_required=True),
    "zone": Field(_read_zone, {"type": ["string", "null"], "description": "An IANA name.", "default": "UTC"}, "UTC"),
    "currency": make_choice_field(CURRENCIES, "EUR"),
}
PROJECT_FIELDS: Fields = {**FIXED, **CHANGEABLE}


def create(connection: Connection, values: dict[str, Any], projects_max: int = 0) -> tuple[Row[Any], dict[str, str]]:
    """Create a project. Returns it, and its keys by name, which are shown only now. Raises Conflict.

    The answer reveals that a slug is taken. This cannot be avoided: the slug is the `projectId` of events, and unique.
    A rate limit bounds how often a caller can try.
    """
    if projects_max and (connection.scalar(select(func.count()).select_from(PROJECTS)) or 0) >= projects_max:
        raise Conflict(
            f"The platform has {projects_max} projects.", hint="Operators can raise RTA_LIMITS_PROJECTS_MAX."
        )
    all_values = with_defaults({"name": values.get("slug"), **values}, PROJECT_FIELDS)
    statement = insert(PROJECTS).values(id=make_id("prj"), **all_values).on_conflict_do_nothing().returning(PROJECTS)
    row = connection.execute(statement).one_or_none()
    if row is None:
        raise Conflict("There is a project with this slug.", field="slug")
    new_keys = {kind: NewKey(f"{kind} key", tuple(scopes)) for kind, scopes in SCOPES_BY_KIND.items()}
    return row, {f"{kind}_key": insert_key(connection, row.id, new).key for kind, new in new_keys.items()}


def read(connection: Connection, project_id: str) -> Row[Any]:
    return connection.execute(select(PROJECTS).where(PROJECTS.c.id == project_id)).one()


def patch(connection: Connection, project_id: str, document: object, condition: Condition | None) -> Row[Any]:
    """Raises InvalidParameter, PreconditionFailed."""
    row = connection.execute(select(PROJECTS).where(PROJECTS.c.id == project_id).with_for_update()).one_or_none()
    if row is None:
        raise NotFound("There is no project with this id.", field="id")
    values = read_change(document, row._mapping)
    if condition is not None:
        condition.check(row.version)
    changes = {name: value for name, value in values.items() if not is_same(value, row._mapping[name])}
    if not changes:
        return row
    return connection.execute(
        PROJECTS.update().where(PROJECTS.c.id == project_id).values(changes).returning(PROJECTS)
    ).one()


def read_change(document: object, current: Any) -> dict[str, Any]:
    """The fields that a merge patch changes. A fixed field may be given with the value that it has."""
    values = read_object(document, PROJECT_FIELDS)
    for name in FIXED:
        if name in values and values.pop(name) != current[name]:
            raise InvalidParameter(
                f"`{name}` stays as it is: what has been counted depends on it.",
                field=name,
                allowed=current[name],
                hint="Only a rebuild can change it; or make another project.",
            )
    if values.get("settings"):
        values["settings"] = _read_settings(merge(current["settings"], values["settings"]))
    return dict(values)


def render_project(row: Row[Any]) -> Project:
    return Project(**{name: getattr(row, name) for name in Project.__struct_fields__})
