"""Traits of users that a project declares as dimensions."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE projects ADD COLUMN user_traits text[] NOT NULL DEFAULT '{}' "
        "CONSTRAINT projects_user_traits CHECK (cardinality(user_traits) <= 8)"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE projects DROP COLUMN user_traits")
