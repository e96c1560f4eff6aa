"""Properties of events that a project declares as dimensions."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE projects ADD COLUMN event_properties text[] NOT NULL DEFAULT '{}' "
        "CONSTRAINT projects_event_properties CHECK (cardinality(event_properties) <= 8)"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE projects DROP COLUMN event_properties")
