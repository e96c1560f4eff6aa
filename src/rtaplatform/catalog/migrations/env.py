"""Alembic's entry: runs the revisions on the connection that `catalog/migrate.py` hands over."""

from __future__ import annotations

from alembic import context

from rtaplatform.catalog.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"], target_metadata=METADATA, transaction_per_migration=True
)
with context.begin_transaction():
    context.run_migrations()
