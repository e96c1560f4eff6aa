"""Projects, keys, users and products.

Spelled out in SQL and not taken from `tables.py`: a revision stays as it was when the tables move on.
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TABLES = (
    """
    CREATE TABLE projects (
        id text PRIMARY KEY,
        slug text NOT NULL UNIQUE,
        name text NOT NULL,
        zone text NOT NULL DEFAULT 'UTC',
        week_start text NOT NULL DEFAULT 'monday',
        currency text NOT NULL DEFAULT 'EUR',
        allowed_origins text[] NOT NULL DEFAULT '{}',
        settings jsonb NOT NULL DEFAULT '{}',
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE keys (
        id text PRIMARY KEY,
        project_id text NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
        name text NOT NULL,
        scopes text[] NOT NULL,
        sha256 bytea NOT NULL UNIQUE CONSTRAINT keys_sha256_length CHECK (octet_length(sha256) = 32),
        shown text NOT NULL,
        expires_at timestamptz,
        revoked_at timestamptz,
        last_used_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX keys_project_id ON keys (project_id)",
    """
    CREATE TABLE users (
        project_id text NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
        id text NOT NULL,
        email text,
        name text,
        traits jsonb NOT NULL DEFAULT '{}',
        anonymous_ids text[] NOT NULL DEFAULT '{}',
        first_seen timestamptz,
        last_seen timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (project_id, id)
    )
    """,
    """
    CREATE TABLE products (
        project_id text NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
        id text NOT NULL,
        name text,
        category text,
        brand text,
        price numeric(18, 4),
        currency text,
        image_url text,
        attributes jsonb NOT NULL DEFAULT '{}',
        status text NOT NULL DEFAULT 'active',
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (project_id, id)
    )
    """,
)


def upgrade() -> None:
    for statement in _TABLES:
        op.execute(statement)


def downgrade() -> None:
    for table in ("products", "users", "keys", "projects"):
        op.execute(f"DROP TABLE {table}")
