"""What the application's role may do in the catalog: read and write rows, and nothing to tables.

The tables belong to the role that migrates. Whoever takes an API over can spoil rows, but drop or change no table.
Repeated with each migration; tables that are made from now on are granted as they are made.
"""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.engine import Connection

_ROWS = "SELECT, INSERT, UPDATE, DELETE"
_GRANTS = (
    "GRANT USAGE ON SCHEMA {schema} TO {role}",
    f"GRANT {_ROWS} ON ALL TABLES IN SCHEMA {{schema}} TO {{role}}",
    "GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role}",
    f"ALTER DEFAULT PRIVILEGES IN SCHEMA {{schema}} GRANT {_ROWS} ON TABLES TO {{role}}",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT USAGE ON SEQUENCES TO {role}",
)


def grant_rows(connection: Connection, role: str) -> None:
    """Let `role` do its work on tables of the current schema. Nothing where it is the tables' own."""
    if role == connection.scalar(text("SELECT current_user")):
        return
    quote = connection.dialect.identifier_preparer.quote_identifier
    schema = connection.scalar(text("SELECT current_schema()"))
    for statement in _GRANTS:
        connection.execute(text(statement.format(schema=quote(schema), role=quote(role))))
