"""`POST /v1/products/import`, `/v1/users/import`: upsert many rows while the body arrives.   Stage 6 of 6.

The body is NDJSON or CSV by its Content-Type, gzipped or not. Memory holds one chunk of rows and one chunk of bytes,
however long the body is. Each chunk of rows is a transaction. If a server fails in the middle, the written rows stay,
and sending the whole body again is safe.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Protocol

import msgspec
from litestar import Response, post
from litestar.handlers import HTTPRouteHandler

from rtaplatform.catalog.entities.bulk import BulkResult, BulkRow, RowError, upsert
from rtaplatform.catalog.entities.entity_types import PRODUCT, USER, EntityType
from rtaplatform.catalog.imports.table_files import CsvRows, ImportItem, JsonLines
from rtaplatform.catalog.keys.key_format import CATALOG_WRITE
from rtaplatform.core.errors import UnreadableBody
from rtaplatform.serve.catalog.catalog_docs import DOCS_OF_IMPORT
from rtaplatform.serve.catalog.catalog_http import answer, check_type, run
from rtaplatform.serve.http.access import get_access
from rtaplatform.serve.http.bodies import stream_body
from rtaplatform.serve.http.dependencies import AnyRequest, find_dependencies, require_catalog_services
from rtaplatform.serve.http.parameters import read_parameters

ROWS_PER_CHUNK = 1_000
CHUNK_SECONDS_MAX = 30.0
PART_BYTES = 16_384  # split into lines at once
TURN_SECONDS = 0.005
ERRORS_SHOWN_MAX = 100
NDJSON_TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")
CSV_TYPE = "text/csv"
FORM = "Send NDJSON (application/x-ndjson) or CSV with a header (text/csv), in UTF-8, gzipped or not."


class Reader(Protocol):
    """`JsonLines` or `CsvRows`."""

    def feed(self, chunk: bytes) -> Iterator[ImportItem]: ...

    def end(self) -> Iterator[ImportItem]: ...


class _Import:
    """One import: the rows of the current chunk, and the results of those before.

    It blocks the event loop for at most TURN_SECONDS at a time, whatever the rows are. Imports take turns.
    """

    def __init__(self, request: AnyRequest, kind: EntityType) -> None:
        parts = find_dependencies(request)
        self._request, self._kind, self._project_id = request, kind, get_access(request).project_id
        self._turns, self._lines_max = require_catalog_services(request).import_turns, parts.settings.import_lines_max
        self._rows: list[BulkRow] = []
        self._lines = 0
        self.total, self.failed = BulkResult(), 0

    async def take(self, items: Iterator[ImportItem]) -> None:
        is_over = False
        while not is_over:
            async with self._turns:
                await asyncio.sleep(0)
                is_over = self._take_some(items)
            if len(self._rows) >= ROWS_PER_CHUNK:
                await self.flush()

    def _take_some(self, items: Iterator[ImportItem]) -> bool:
        """Take items until the chunk is full or the turn is over. Returns whether no items are left."""
        turn_ends = time.perf_counter() + TURN_SECONDS
        for item in items:
            self._lines += 1
            if isinstance(item, BulkRow):
                self._rows.append(item)
            elif item is not None:
                self._fail([item])
            if self._lines > self._lines_max:
                detail = f"The body has more than {self._lines_max} lines."
                raise UnreadableBody(detail, hint="Send the rest as an import of its own.")
            if time.perf_counter() > turn_ends or len(self._rows) >= ROWS_PER_CHUNK:
                return False
        return True

    async def flush(self) -> None:
        rows, self._rows = self._rows, []
        if not rows:
            return
        work = lambda connection: upsert(connection, self._kind, self._project_id, rows)  # noqa: E731  # one line
        result = await run(self._request, work, seconds=CHUNK_SECONDS_MAX)
        for name in ("created", "updated", "unchanged"):
            setattr(self.total, name, getattr(self.total, name) + getattr(result, name))
        self._fail(result.errors)

    def _fail(self, errors: list[RowError]) -> None:
        self.failed += len(errors)
        self.total.errors += errors[: ERRORS_SHOWN_MAX - len(self.total.errors)]


def _make_import_route(kind: EntityType) -> HTTPRouteHandler:
    @post(
        f"/v1/{kind.plural}/import", status_code=200, tags=[kind.plural], summary=f"Bring in many {kind.plural}",
        description="Creates what is not there; of what is, only the fields of the row are changed. "
        f"`errors` has the first {ERRORS_SHOWN_MAX}.",
        opt={"scope": CATALOG_WRITE, "docs": DOCS_OF_IMPORT[kind.plural]},
        operation_id=f"import{kind.plural.title()}",
    )  # fmt: skip
    async def bring_in(request: AnyRequest) -> Response[bytes]:
        read_parameters(request, ())
        media = check_type(request, (*NDJSON_TYPES, CSV_TYPE), hint=FORM)
        reader: Reader = CsvRows(kind) if media == CSV_TYPE else JsonLines(kind)
        import_ = _Import(request, kind)
        try:
            await _read_all(request, reader, import_)
        except UnreadableBody as error:
            error.hint = error.hint or FORM
            raise
        return answer({**msgspec.to_builtins(import_.total), "failed": import_.failed})

    return bring_in


async def _read_all(request: AnyRequest, reader: Reader, import_: _Import) -> None:
    is_empty = True
    async for chunk in _open_stream(request):
        is_empty = is_empty and not chunk
        for start in range(0, len(chunk), PART_BYTES):
            await import_.take(reader.feed(chunk[start : start + PART_BYTES]))
    if is_empty:
        raise UnreadableBody("The body is empty.", hint="Send one row at least.")
    await import_.take(reader.end())
    await import_.flush()


def _open_stream(request: AnyRequest) -> AsyncIterator[bytes]:
    limit = find_dependencies(request).settings.import_bytes_max
    return stream_body(request.receive, request.headers.get("content-encoding"), limit)


route_handlers: list[HTTPRouteHandler] = [_make_import_route(USER), _make_import_route(PRODUCT)]
