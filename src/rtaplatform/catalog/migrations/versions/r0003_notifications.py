"""Changes of products, keys and projects are told on the channel `rta_catalog`.

One text a statement and project, since an import changes thousands of rows at once; a payload may have 8,000 bytes, so
many ids are told as none: everything may have changed. `last_used_at` of a key is no change of the key.
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_FUNCTIONS = (
    """
    CREATE FUNCTION rta_tell_products() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        of_project record;
        payload text;
    BEGIN
        FOR of_project IN
            SELECT project_id, CASE WHEN count(*) <= 200 THEN json_agg(id) END AS ids FROM changed GROUP BY project_id
        LOOP
            payload := json_build_object(
                'kind', 'products', 'project_id', of_project.project_id, 'ids', of_project.ids)::text;
            IF octet_length(payload) > 7000 THEN
                payload := json_build_object(
                    'kind', 'products', 'project_id', of_project.project_id, 'ids', NULL)::text;
            END IF;
            PERFORM pg_notify('rta_catalog', payload);
        END LOOP;
        RETURN NULL;
    END $$
    """,
    """
    CREATE FUNCTION rta_tell_key() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        one keys := CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    BEGIN
        PERFORM pg_notify('rta_catalog', json_build_object(
            'kind', 'keys', 'project_id', one.project_id, 'ids', json_build_array(one.id))::text);
        RETURN NULL;
    END $$
    """,
    """
    CREATE FUNCTION rta_tell_project() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        one projects := CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    BEGIN
        PERFORM pg_notify('rta_catalog', json_build_object('kind', 'projects', 'project_id', one.id)::text);
        RETURN NULL;
    END $$
    """,
)
_TRIGGERS = (
    "CREATE TRIGGER rta_tell_inserted AFTER INSERT ON products REFERENCING NEW TABLE AS changed "
    "FOR EACH STATEMENT EXECUTE FUNCTION rta_tell_products()",
    "CREATE TRIGGER rta_tell_updated AFTER UPDATE ON products REFERENCING NEW TABLE AS changed "
    "FOR EACH STATEMENT EXECUTE FUNCTION rta_tell_products()",
    "CREATE TRIGGER rta_tell_deleted AFTER DELETE ON products REFERENCING OLD TABLE AS changed "
    "FOR EACH STATEMENT EXECUTE FUNCTION rta_tell_products()",
    "CREATE TRIGGER rta_tell AFTER INSERT OR DELETE OR UPDATE OF project_id, scopes, sha256, expires_at, revoked_at "
    "ON keys FOR EACH ROW EXECUTE FUNCTION rta_tell_key()",
    "CREATE TRIGGER rta_tell AFTER INSERT OR UPDATE OR DELETE ON projects "
    "FOR EACH ROW EXECUTE FUNCTION rta_tell_project()",
)


def upgrade() -> None:
    for statement in (*_FUNCTIONS, *_TRIGGERS):
        op.execute(statement)


def downgrade() -> None:
    for name in ("rta_tell_inserted", "rta_tell_updated", "rta_tell_deleted"):
        op.execute(f"DROP TRIGGER {name} ON products")
    for table in ("keys", "projects"):
        op.execute(f"DROP TRIGGER rta_tell ON {table}")
    for function in ("rta_tell_products", "rta_tell_key", "rta_tell_project"):
        op.execute(f"DROP FUNCTION {function}()")
