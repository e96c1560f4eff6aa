"""Erasures by anonymous ids alone: an erasure is named by its receipt, and a user's id may be missing.

Also the index that lists of receipts walk.
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_UP = (
    'ALTER TABLE erasures ADD COLUMN id text COLLATE "C"',
    "UPDATE erasures SET id = coalesce(receipt ->> 'id', 'era_' || md5(user_id))",
    "ALTER TABLE erasures ALTER COLUMN id SET NOT NULL",
    "ALTER TABLE erasures DROP CONSTRAINT erasures_pkey",
    "ALTER TABLE erasures ALTER COLUMN user_id DROP NOT NULL",
    "ALTER TABLE erasures ADD PRIMARY KEY (project_id, id)",
    "CREATE UNIQUE INDEX erasures_user ON erasures (project_id, user_id)",
    "CREATE INDEX erasures_created ON erasures (project_id, created_at, id)",
)
_DOWN = (
    "DELETE FROM erasures WHERE user_id IS NULL",
    "DROP INDEX erasures_created",
    "DROP INDEX erasures_user",
    "ALTER TABLE erasures DROP CONSTRAINT erasures_pkey",
    "ALTER TABLE erasures DROP COLUMN id",
    "ALTER TABLE erasures ADD PRIMARY KEY (project_id, user_id)",
)


def upgrade() -> None:
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    for statement in _DOWN:
        op.execute(statement)
