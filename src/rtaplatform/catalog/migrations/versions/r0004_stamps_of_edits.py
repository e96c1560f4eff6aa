"""An edit of a user stamps the fields that it changes, so that an event from before it no longer changes them.

Whoever edits: the API, an import, or SQL by hand. The writer of profiles sets `field_times` itself and is left alone.
"~" sorts after every topic: of an event and an edit in the same millisecond the edit wins (profiles/traits.py).
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_FUNCTION = """
    CREATE FUNCTION rta_stamp_user() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        stamp jsonb := jsonb_build_array(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint, '~');
        before users := OLD;
        stamps jsonb;
    BEGIN
        IF NEW.field_times IS DISTINCT FROM coalesce(before.field_times, '{}') THEN
            RETURN NEW;
        END IF;
        SELECT jsonb_object_agg(field, stamp) INTO stamps FROM (
            SELECT 'email' AS field WHERE NEW.email IS DISTINCT FROM before.email
            UNION ALL
            SELECT 'name' WHERE NEW.name IS DISTINCT FROM before.name
            UNION ALL
            SELECT 'traits.' || key
            FROM jsonb_each(NEW.traits) n FULL JOIN jsonb_each(coalesce(before.traits, '{}')) o USING (key)
            WHERE n.value IS DISTINCT FROM o.value
            UNION ALL
            SELECT 'anonymous_ids.' || id
            FROM unnest(NEW.anonymous_ids) n(id) FULL JOIN unnest(before.anonymous_ids) o(id) USING (id)
            WHERE n.id IS NULL OR o.id IS NULL
        ) changed;
        NEW.field_times := NEW.field_times || coalesce(stamps, '{}');
        RETURN NEW;
    END $$
    """


def upgrade() -> None:
    op.execute(_FUNCTION)
    op.execute(
        "CREATE TRIGGER users_stamps BEFORE INSERT OR UPDATE ON users FOR EACH ROW EXECUTE FUNCTION rta_stamp_user()"
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER users_stamps ON users")
    op.execute("DROP FUNCTION rta_stamp_user()")
