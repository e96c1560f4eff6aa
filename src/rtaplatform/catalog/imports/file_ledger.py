"""Which files of history a project has imported, by their content, for good.   Statements on an open transaction.

Workers remember messageIds for a day; this table remembers files for ever. A row is made before the first event is
sent, and says how many have been acknowledged, so that an import that was killed goes on.
"""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.engine import Connection

_FIND_PROJECT = text("SELECT id FROM projects WHERE slug = :slug")
_FIND = text(
    "SELECT tool, run, events, sent, is_done FROM imported_files WHERE project_id = :project AND digest = :digest"
)
_BEGIN = text(
    "INSERT INTO imported_files (project_id, digest, tool, name, run, events) "
    "VALUES (:project, :digest, :tool, :name, :run, :events) "
    "ON CONFLICT (project_id, digest) DO UPDATE SET tool = :tool, name = :name, run = :run, events = :events, "
    "sent = 0, is_done = false, updated_at = now()"
)
_NOTE = text(
    "UPDATE imported_files SET sent = :sent, is_done = :is_done, updated_at = now() "
    "WHERE project_id = :project AND digest = :digest AND run = :run"
)


class ImportedFile(Struct, frozen=True):
    """What is known of a file. `run` counts the times it was imported on purpose."""

    tool: str
    run: int
    events: int
    sent: int
    is_done: bool


def find_project_id(connection: Connection, slug: str) -> str | None:
    project_id: str | None = connection.execute(_FIND_PROJECT, {"slug": slug}).scalar()
    return project_id


def find_file(connection: Connection, project_id: str, digest: str) -> ImportedFile | None:
    row = connection.execute(_FIND, {"project": project_id, "digest": digest}).one_or_none()
    return None if row is None else ImportedFile(*row)


def begin_file(connection: Connection, project_id: str, digest: str, name: str, file: ImportedFile) -> None:
    """Note that the file is being imported, from its first event on."""
    connection.execute(
        _BEGIN,
        {"project": project_id, "digest": digest, "tool": file.tool, "name": name[:200], "run": file.run,
         "events": file.events},
    )  # fmt: skip


def note_progress(connection: Connection, project_id: str, digest: str, file: ImportedFile) -> None:
    connection.execute(
        _NOTE,
        {"project": project_id, "digest": digest, "run": file.run, "sent": file.sent, "is_done": file.is_done},
    )
