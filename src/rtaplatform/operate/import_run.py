"""`rta import`: the checks before it, the run over one file, and its summary.

The order is the guarantee: read and check the whole file; note it in the ledger; send a portion; note how far; at last
note that it is done. A file that is done is refused, until it is asked for again on purpose.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rtaplatform.catalog.database import Database
from rtaplatform.catalog.imports.file_ledger import (
    ImportedFile,
    begin_file,
    find_file,
    find_project_id,
    note_progress,
)
from rtaplatform.collect.machine_clock import MachineClock
from rtaplatform.core.errors import SetupError
from rtaplatform.history.export_files import TOOLS, compute_digest
from rtaplatform.history.replay import replay_history
from rtaplatform.history.spool import EventSpool
from rtaplatform.settings import CatalogSettings, CollectSettings, KafkaSettings
from rtaplatform.wiring.api_parts import build_producer

DIGEST_CHARACTERS = 16  # of a messageId
STOP_SECONDS = 10.0


@dataclass(frozen=True)
class ImportRequest:
    """What to import. `again`: even if the content was imported before."""

    path: Path
    tool: str
    project: str
    again: bool = False


@dataclass(frozen=True)
class ImportSummary:
    """What came of a file. `outcome`: imported, resumed or known."""

    file: str
    outcome: str
    rows: int
    events: int
    late: int
    refused: int
    faults: list[dict[str, Any]]


async def import_file(
    kafka: KafkaSettings, catalog: CatalogSettings, request: ImportRequest, show: Callable[[str, int, int | None], None]
) -> ImportSummary:
    """Import one file. Raises SetupError (only totals, no such project), Unavailable."""
    database = Database(catalog)
    try:
        return await _import(kafka, database, request, show)
    finally:
        await database.close()


async def _import(
    kafka: KafkaSettings, database: Database, request: ImportRequest, show: Callable[[str, int, int | None], None]
) -> ImportSummary:
    project_id = await database.run(partial(find_project_id, slug=request.project))
    if project_id is None:
        raise SetupError(f"There is no project {request.project!r}.", "The project of events is its slug.", exit_code=2)
    digest, name = compute_digest(request.path), request.path.name
    earlier = await database.run(lambda connection: find_file(connection, project_id, digest))
    if earlier is not None and earlier.is_done and not request.again:
        return ImportSummary(name, "known", 0, earlier.events, 0, 0, [])
    is_resumed = earlier is not None and not earlier.is_done
    run = 1 if earlier is None else earlier.run + earlier.is_done
    spool = EventSpool(request.project, f"import:{digest[:DIGEST_CHARACTERS]}:{run}")
    try:
        spool.fill(request.path, TOOLS[request.tool], lambda rows: show("read", rows, None))
        file = ImportedFile(
            request.tool, run, len(spool), earlier.sent if earlier is not None and is_resumed else 0, False
        )
        if not is_resumed:
            await database.run(lambda connection: begin_file(connection, project_id, digest, name, file))
        await _send(kafka, database, (project_id, digest, file), spool, show)
    finally:
        spool.close()
    faults = [{"line": fault.line, "reason": fault.reason} for fault in spool.faults]
    outcome = "resumed" if is_resumed else "imported"
    return ImportSummary(name, outcome, spool.rows, len(spool), spool.late, spool.fault_count, faults)


async def _send(
    kafka: KafkaSettings,
    database: Database,
    entry: tuple[str, str, ImportedFile],
    spool: EventSpool,
    show: Callable[[str, int, int | None], None],
) -> None:
    project_id, digest, file = entry

    async def note(events_sent: int) -> None:
        now = ImportedFile(file.tool, file.run, file.events, events_sent, events_sent == file.events)
        await database.run(lambda connection: note_progress(connection, project_id, digest, now))
        show("sent", events_sent, file.events)

    producer = build_producer(kafka, CollectSettings(), MachineClock())
    await producer.start()
    try:
        await replay_history(spool.replay(file.sent), file.sent, producer, note)
    finally:
        await producer.stop(STOP_SECONDS)
