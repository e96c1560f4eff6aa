"""The catalog's tables, as the migrations leave them. A later issue completes users and products."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    Column,
    DateTime,
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

METADATA = MetaData()


def _times() -> tuple[Column[object], Column[object]]:
    return (
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
        Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    )


def _project() -> Column[object]:
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
    Column("settings", JSONB, nullable=False, server_default="{}"),
    *_times(),
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
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    CheckConstraint("octet_length(sha256) = 32", name="keys_sha256_length"),
    Index("keys_project_id", "project_id"),
)

USERS = Table(
    "users",
    METADATA,
    _project(),
    Column("id", Text, primary_key=True),
    Column("email", Text),
    Column("name", Text),
    Column("traits", JSONB, nullable=False, server_default="{}"),
    Column("anonymous_ids", ARRAY(Text), nullable=False, server_default="{}"),
    Column("first_seen", DateTime(timezone=True)),
    Column("last_seen", DateTime(timezone=True)),
    *_times(),
)

PRODUCTS = Table(
    "products",
    METADATA,
    _project(),
    Column("id", Text, primary_key=True),
    Column("name", Text),
    Column("category", Text),
    Column("brand", Text),
    Column("price", Numeric(18, 4)),
    Column("currency", Text),
    Column("image_url", Text),
    Column("attributes", JSONB, nullable=False, server_default="{}"),
    Column("status", Text, nullable=False, server_default="active"),
    *_times(),
)
