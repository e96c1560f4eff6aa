"""Files of history that a project has imported, by their content."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        'CREATE TABLE imported_files (project_id text COLLATE "C" NOT NULL REFERENCES projects (id) ON DELETE CASCADE, '
        'digest text COLLATE "C" NOT NULL, tool text NOT NULL, name text NOT NULL, run integer NOT NULL, '
        "events bigint NOT NULL, sent bigint NOT NULL DEFAULT 0, is_done boolean NOT NULL DEFAULT false, "
        "created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(), "
        "PRIMARY KEY (project_id, digest))"
    )


def downgrade() -> None:
    op.execute("DROP TABLE imported_files")
