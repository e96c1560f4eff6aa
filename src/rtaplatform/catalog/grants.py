"""Grant the application's role its rights in the catalog: to read and write rows, but not to change tables.

The tables belong to the role that migrates. An attacker who takes over an API can spoil rows, but cannot drop or change
a table. The grants are repeated with each migration, and also cover tables that are created later.
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
    """Grant `role` the rows of all tables in the current schema. Does nothing if `role` owns the tables."""
    if role == connection.scalar(text("SELECT current_user")):
        return
    quote = connection.dialect.identifier_preparer.quote_identifier
    schema = connection.scalar(text("SELECT current_schema()"))
    for statement in _GRANTS:
        connection.execute(text(statement.format(schema=quote(schema), role=quote(role))))
