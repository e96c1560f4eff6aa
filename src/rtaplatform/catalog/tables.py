"""The catalog's tables, as the migrations leave them.

Whenever a row of users, products, projects, keys or definitions is changed, by whatever client, triggers set
`updated_at` and a new `version`. So an ETag never stands for two contents. Ids are compared byte by byte (collation C),
so order and cursors are the same on every server.
"""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    FetchedValue,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    Text,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

NAME_CHARS_MAX = 500  # name and id must fit into one entry of an index, a third of a page
EMAIL_CHARS_MAX = 320
LABEL_CHARS_MAX = 200  # category, brand
URL_CHARS_MAX = 2_048

METADATA = MetaData()


def _make_time_columns() -> tuple[Column[object], Column[object]]:
    return (
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
        Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    )


def _make_version_column() -> Column[object]:
    return Column("version", BigInteger, nullable=False, server_default=FetchedValue())


def _make_project_column() -> Column[object]:
    return Column("project_id", Text, ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)


PROJECTS = Table(
    "projects",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("slug", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("zone", Text, nullable=False, server_default="UTC"),
    Column("week_start", Text, nullable=False, server_default="monday"),
    Column("currency", Text, nullable=False, server_default="EUR"),
    Column("allowed_origins", ARRAY(Text), nullable=False, server_default="{}"),
    Column("event_properties", ARRAY(Text), nullable=False, server_default="{}"),
    Column("user_traits", ARRAY(Text), nullable=False, server_default="{}"),
    Column("settings", JSONB, nullable=False, server_default="{}"),
    *_make_time_columns(),
    _make_version_column(),
)

KEYS = Table(
    "keys",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("project_id", Text, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("sha256", LargeBinary, nullable=False, unique=True),
    Column("shown", Text, nullable=False),
    Column("expires_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
    Column("last_used_at", DateTime(timezone=True)),
    *_make_time_columns(),
    _make_version_column(),
    CheckConstraint("octet_length(sha256) = 32", name="keys_sha256_length"),
    Index("keys_created", "project_id", "created_at", "id"),
)

USERS = Table(
    "users",
    METADATA,
    _make_project_column(),
    Column("id", Text(collation="C"), primary_key=True),
    Column("email", Text),
    Column("name", Text),
    Column("traits", JSONB, nullable=False, server_default="{}"),
    Column("anonymous_ids", ARRAY(Text), nullable=False, server_default="{}"),
    Column("first_seen", DateTime(timezone=True)),
    Column("last_seen", DateTime(timezone=True)),
    # Field -> event time and position of the event that set it: the last writer of each field.
    Column("field_times", JSONB, nullable=False, server_default="{}"),
    *_make_time_columns(),
    _make_version_column(),
)

PRODUCTS = Table(
    "products",
    METADATA,
    _make_project_column(),
    Column("id", Text(collation="C"), primary_key=True),
    Column("name", Text),
    Column("category", Text),
    Column("brand", Text),
    Column("price", Numeric(18, 4)),
    Column("currency", Text),
    Column("image_url", Text),
    Column("attributes", JSONB, nullable=False, server_default="{}"),
    Column("status", Text, nullable=False, server_default="active"),
    *_make_time_columns(),
    _make_version_column(),
)

# Named definitions of a project: funnels, rollups.
DEFINITIONS = Table(
    "definitions",
    METADATA,
    _make_project_column(),
    Column("id", Text(collation="C"), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("body", JSONB, nullable=False, server_default="{}"),
    *_make_time_columns(),
    _make_version_column(),
)

# Erased persons: later events of such a user create no profile. `user_id` is null if only anonymous ids were erased.
ERASURES = Table(
    "erasures",
    METADATA,
    _make_project_column(),
    Column("id", Text(collation="C"), primary_key=True),
    Column("user_id", Text(collation="C")),
    Column("erased_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("receipt", JSONB, nullable=False, server_default="{}"),
    *_make_time_columns(),
    Index("erasures_user", "project_id", "user_id", unique=True),
    Index("erasures_created", "project_id", "created_at", "id"),
)
