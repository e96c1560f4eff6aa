"""Limits, versions and indexes of the catalog; definitions, erasures, and when each field of a user was set.

Searching is by the beginning of a word's field (`lower(name) LIKE 'abc%'`), which a plain btree with
text_pattern_ops answers: trigrams would find the middle too, but need an extension that not every server may install.
Lists walk (project, sort column, id), so a page costs the same wherever it is.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_WEEKDAYS = "'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'"
_SCOPES = "'collect', 'read', 'catalog:read', 'catalog:write', 'admin'"
_VERSIONED = {
    "projects": "UPDATE",
    # Not last_used_at: a key that is used would change its ETag under the hands of whoever edits it.
    "keys": "UPDATE OF name, scopes, sha256, expires_at, revoked_at",
    "users": "UPDATE",
    "products": "UPDATE",
    "definitions": "UPDATE",
}

_TABLES = (
    """
    CREATE TABLE definitions (
        project_id text NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
        id text COLLATE "C" NOT NULL,
        kind text NOT NULL,
        name text NOT NULL,
        body jsonb NOT NULL DEFAULT '{}',
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (project_id, id),
        CONSTRAINT definitions_name UNIQUE (project_id, kind, name),
        CONSTRAINT definitions_limits CHECK (
            octet_length(id) BETWEEN 1 AND 512 AND char_length(kind) BETWEEN 1 AND 50
            AND char_length(name) BETWEEN 1 AND 500 AND jsonb_typeof(body) = 'object')
    )
    """,
    """
    CREATE TABLE erasures (
        project_id text NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
        user_id text COLLATE "C" NOT NULL,
        erased_at timestamptz NOT NULL DEFAULT now(),
        receipt jsonb NOT NULL DEFAULT '{}',
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (project_id, user_id)
    )
    """,
)

_COLUMNS = (
    "CREATE SEQUENCE row_version",
    "ALTER TABLE users ADD COLUMN field_times jsonb NOT NULL DEFAULT '{}'",
    "ALTER TABLE keys ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now()",
    'ALTER TABLE users ALTER COLUMN id TYPE text COLLATE "C"',
    'ALTER TABLE products ALTER COLUMN id TYPE text COLLATE "C"',
    """
    CREATE FUNCTION set_row_version() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.version := nextval('row_version');
        NEW.updated_at := now();
        RETURN NEW;
    END $$
    """,
)

_LIMITS = (
    f"""
    ALTER TABLE projects ADD CONSTRAINT projects_limits CHECK (
        slug ~ '^[a-z0-9][a-z0-9_-]{{0,62}}$' AND char_length(name) BETWEEN 1 AND 500
        AND char_length(zone) BETWEEN 1 AND 100 AND week_start IN ({_WEEKDAYS})
        AND currency ~ '^[A-Z]{{3}}$' AND jsonb_typeof(settings) = 'object')
    """,
    f"""
    ALTER TABLE keys ADD CONSTRAINT keys_limits CHECK (
        char_length(name) BETWEEN 1 AND 500 AND cardinality(scopes) > 0 AND scopes <@ ARRAY[{_SCOPES}])
    """,
    """
    ALTER TABLE users ADD CONSTRAINT users_limits CHECK (
        octet_length(id) BETWEEN 1 AND 512 AND char_length(name) <= 500 AND char_length(email) <= 320
        AND jsonb_typeof(traits) = 'object' AND jsonb_typeof(field_times) = 'object')
    """,
    """
    ALTER TABLE products ADD CONSTRAINT products_limits CHECK (
        octet_length(id) BETWEEN 1 AND 512 AND char_length(name) <= 500 AND char_length(category) <= 200
        AND char_length(brand) <= 200 AND char_length(image_url) <= 2048 AND price >= 0
        AND currency ~ '^[A-Z]{3}$' AND jsonb_typeof(attributes) = 'object'
        AND status IN ('active', 'draft', 'archived'))
    """,
)

_INDEXES = (
    "DROP INDEX keys_project_id",
    "CREATE INDEX keys_created ON keys (project_id, created_at, id)",
    "CREATE INDEX products_category ON products (project_id, category, created_at, id)",
    "CREATE INDEX products_brand ON products (project_id, brand, created_at, id)",
    "CREATE INDEX users_email ON users (project_id, lower(email) text_pattern_ops)",
    *(
        statement
        for table in ("users", "products")
        for statement in (
            f"CREATE INDEX {table}_created ON {table} (project_id, created_at, id)",
            f"CREATE INDEX {table}_updated ON {table} (project_id, updated_at, id)",
            f"CREATE INDEX {table}_by_name ON {table} (project_id, (coalesce(name, '') COLLATE \"C\"), id)",
            f"CREATE INDEX {table}_search ON {table} (project_id, lower(name) text_pattern_ops)",
        )
    ),
)


def upgrade() -> None:
    for statement in (*_TABLES, *_COLUMNS):
        op.execute(statement)
    for table, changes in _VERSIONED.items():
        op.execute(f"ALTER TABLE {table} ADD COLUMN version bigint NOT NULL DEFAULT nextval('row_version')")
        when = f"BEFORE {changes} ON {table} FOR EACH ROW"
        op.execute(f"CREATE TRIGGER {table}_version {when} EXECUTE FUNCTION set_row_version()")
    for statement in (*_LIMITS, *_INDEXES):
        op.execute(statement)


def downgrade() -> None:
    for table in ("erasures", "definitions"):
        op.execute(f"DROP TABLE {table}")
    for table in ("projects", "keys", "users", "products"):
        op.execute(f"DROP TRIGGER {table}_version ON {table}")
        op.execute(f"ALTER TABLE {table} DROP COLUMN version, DROP CONSTRAINT {table}_limits")
    for table in ("users", "products"):
        op.execute(f"DROP INDEX {table}_created, {table}_updated, {table}_by_name, {table}_search")
        op.execute(f"ALTER TABLE {table} ALTER COLUMN id TYPE text")
    op.execute("DROP INDEX keys_created, products_category, products_brand, users_email")
    op.execute("CREATE INDEX keys_project_id ON keys (project_id)")
    op.execute("ALTER TABLE keys DROP COLUMN updated_at")
    op.execute("ALTER TABLE users DROP COLUMN field_times")
    op.execute("DROP FUNCTION set_row_version()")
    op.execute("DROP SEQUENCE row_version")
