"""`rta catalog`: bring users and products in from a file, and write them to one, through the API."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import re
import sys
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import IO, Annotated, Any, cast

import typer

from rtaplatform.cli.connections import Connections, DataDirOption, folder_of
from rtaplatform.core.errors import SetupError

app = typer.Typer(no_args_is_help=True, help="Import and export users and products.")
CHUNK_BYTES = 256 * 1024
TIMEOUT_SECONDS = 120.0
PAGE_ROWS = 500
EXIT_DIFFERENCES = 4
_NEXT = re.compile(r'<([^>]*)>; rel="next"')


class EntityChoice(StrEnum):
    """What there is in the catalog."""

    USERS = "users"
    PRODUCTS = "products"


class Format(StrEnum):
    """How a file is written."""

    CSV = "csv"
    NDJSON = "ndjson"


_FORMATS = {".csv": Format.CSV, ".ndjson": Format.NDJSON, ".jsonl": Format.NDJSON}
_TYPES = {Format.CSV: "text/csv", Format.NDJSON: "application/x-ndjson"}

EntityArgument = Annotated[EntityChoice, typer.Argument(help="users or products.")]
UrlOption = Annotated[str | None, typer.Option(metavar="URL", help="The API; else that of the running `rta up`.")]
KeyOption = Annotated[str | None, typer.Option(metavar="KEY", help="An admin key; else RTA_KEY, else that instance's.")]
FormatOption = Annotated[Format | None, typer.Option("--format", help="Else by the file's name.")]
ProjectOption = Annotated[
    str | None, typer.Option(metavar="SLUG", help="Whose they are: end with exit code 2 where the key is another's.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("import")
def bring_in(
    things: EntityArgument,
    file: Annotated[Path, typer.Argument(help="NDJSON or CSV, gzipped or not; - reads standard input.")],
    form: FormatOption = None,
    project: ProjectOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create what is not there; of what is, change only the fields that the file has.

    Ends with exit code 4 where a row was refused; the others are in.

    Examples:

        rta catalog import products products.csv

        rta catalog import users users.ndjson.gz --url https://rta.example --key KEY --json
    """
    target, form = _target(url, key, data_dir), form or _format_of(file)
    target.require_project(project)
    headers = {"Content-Type": _TYPES[form]}
    if file.suffix == ".gz":
        headers["Content-Encoding"] = "gzip"
    with _open(file) as (opened, size):
        said = _read_answer(
            *target.send("POST", f"/v1/{things}/import", headers, _chunks(opened, size, str(things)))[:2]
        )
    if as_json:
        typer.echo(json.dumps(said))
    else:
        typer.echo(", ".join(f"{said[name]:,} {name}" for name in ("created", "updated", "unchanged", "failed")))
        for error in said["errors"]:
            typer.echo(f"  {_refusal(error)}", err=True)
    if said["failed"]:
        raise typer.Exit(EXIT_DIFFERENCES)


def _refusal(error: dict[str, Any]) -> str:
    """One row that was refused: where, why, and what stood there."""
    where = f" ({error['id']})" if error["id"] else ""
    field = f"`{error['field']}`: " if error["field"] else ""
    value = f" It has {error['value']!r}." if error.get("value") else ""
    return f"row {error['row']}{where}: {field}{error['detail']}{value}"


@app.command("export")
def export(
    things: EntityArgument,
    file: Annotated[Path, typer.Argument(help="Where to; - is standard output.")] = Path("-"),
    form: FormatOption = None,
    project: ProjectOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Write everything as NDJSON, one object a line, or as CSV; `import` reads it again. Only you may read the file.

    Examples:

        rta catalog export products products.ndjson

        rta catalog export users users.csv.gz
    """
    form = form or (Format.NDJSON if str(file) == "-" else _format_of(file))
    target = _target(url, key, data_dir)
    target.require_project(project)
    with _created(file) as output:
        for page in _csv_pages(target, things) if form is Format.CSV else _json_pages(target, things):
            output.write(page)


def _json_pages(target: _ImportTarget, things: EntityChoice) -> Iterator[bytes]:
    cursor: str | None = None
    while True:
        page = _read_answer(*target.send("GET", _page_of(things, cursor), {}, None)[:2])
        yield "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in page["items"]).encode()
        cursor = page["next_cursor"]
        if cursor is None:
            return


def _csv_pages(target: _ImportTarget, things: EntityChoice) -> Iterator[bytes]:
    """As the API writes them, with the header once."""
    path: str | None = _page_of(things, None)
    is_first = True
    while path is not None:
        status, body, answered = target.send("GET", path, {"Accept": "text/csv"}, None)
        if status != 200:
            _read_answer(status, body)
        yield body if is_first else body.partition(b"\r\n")[2]
        next_page = _NEXT.search(answered.get("link", ""))
        path, is_first = next_page[1] if next_page else None, False


def _page_of(things: EntityChoice, cursor: str | None) -> str:
    asked = {"limit": str(PAGE_ROWS), "sort": "created_at", **({"cursor": cursor} if cursor else {})}
    return f"/v1/{things}?{urllib.parse.urlencode(asked)}"


@contextmanager
def _created(file: Path) -> Iterator[IO[bytes]]:
    """It, opened for writing, readable to its owner alone: users are personal data. Raises SetupError."""
    if str(file) == "-":
        yield sys.stdout.buffer
        return
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.fchmod(descriptor, 0o600)  # it may have been there
    except OSError as error:
        raise SetupError(f"{file} cannot be written: {error.strerror}.", "Name another.", exit_code=2) from error
    with open(descriptor, "wb") as output:
        if file.suffix != ".gz":
            yield output
            return
        with gzip.open(output, "wb") as packed:
            yield cast(IO[bytes], packed)


class _ImportTarget:
    """The API and the key for it."""

    def __init__(self, url: str, key: str, *, is_key_given: bool) -> None:
        self._url, self._key, self._is_key_given = urllib.parse.urlsplit(url), key, is_key_given

    def require_project(self, wanted: str | None) -> None:
        """A key opens one project. Say which where nobody named it; raise SetupError where it is another one.

        A key that may only write does not tell its project: then a wanted one cannot be checked.
        """
        status, body, _ = self.send("GET", "/v1/projects", {}, None)
        if status == 403 and wanted is None:
            return
        found = _read_answer(status, body)["items"][0]["slug"]
        if wanted is not None and wanted != found:
            remedy = f"Give a key of `{wanted}`: --key, or RTA_KEY in the environment."
            raise SetupError(f"The key is one of the project `{found}`, not of `{wanted}`.", remedy, exit_code=2)
        if wanted is None and not self._is_key_given:
            typer.echo(f"Project `{found}`: no key was given, so this is the running instance's own.", err=True)

    def send(
        self, method: str, path: str, headers: dict[str, str], body: Iterator[bytes] | None
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """Status, body and headers by small letters; raises SetupError where nothing answers."""
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._url.hostname or "", self._url.port, timeout=TIMEOUT_SECONDS)
        try:
            try:
                named = {**headers, "Authorization": f"Bearer {self._key}"}
                connection.request(method, self._url.path.rstrip("/") + path, body, named)
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused before the end: the answer tells why
            response = connection.getresponse()
            named = {name.lower(): value for name, value in response.headers.items()}
            return response.status, response.read(), named
        except (OSError, http.client.HTTPException) as error:
            remedy = "See whether the API runs: `rta status`, or name its --url."
            raise SetupError(f"{self._url.geturl()} does not answer: {error}", remedy) from error
        finally:
            connection.close()


def _target(url: str | None, key: str | None, data_dir: Path | None) -> _ImportTarget:
    running = None if url else Connections(data_dir=data_dir).running()
    if url is None and running is None:
        raise SetupError(f"Nothing runs from {folder_of(data_dir)}.", "Start `rta up`, or give --url and --key.")
    found = key or os.environ.get("RTA_KEY")
    if found is None and running is not None:
        from rtaplatform.local.data.data_dir import keys_of

        found = keys_of(folder_of(data_dir)).get("admin_key")
    if not found:
        raise SetupError("No key is known.", "Give --key, or RTA_KEY in the environment.", exit_code=2)
    is_key_given = bool(key or os.environ.get("RTA_KEY"))
    return _ImportTarget(url or (running.url if running else ""), found, is_key_given=is_key_given)


def _format_of(file: Path) -> Format:
    name = Path(file.stem) if file.suffix == ".gz" else file
    if name.suffix not in _FORMATS:
        remedy = "Name it .csv, .ndjson or .jsonl (and .gz), or give --format."
        raise SetupError(f"What {file} holds cannot be told by its name.", remedy, exit_code=2)
    return _FORMATS[name.suffix]


@contextmanager
def _open(file: Path) -> Iterator[tuple[IO[bytes], int | None]]:
    """The file and its size, where it has one."""
    if str(file) == "-":
        yield sys.stdin.buffer, None
        return
    try:
        opened = file.open("rb")
    except OSError as error:
        raise SetupError(f"{file} cannot be read: {error.strerror}", "Check the name.", exit_code=2) from error
    with opened:
        yield opened, os.fstat(opened.fileno()).st_size


def _chunks(opened: IO[bytes], size: int | None, what: str) -> Iterator[bytes]:
    """The file as it is sent, with a bar on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=size)
        while chunk := opened.read(CHUNK_BYTES):
            yield chunk
            bar.advance(task, len(chunk))


def _read_answer(status: int, body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except ValueError:
        said = {}
    if not isinstance(said, dict) or status >= 400:
        detail = said.get("detail", f"status {status}") if isinstance(said, dict) else f"status {status}"
        hint = said.get("hint") or "See the API's log." if isinstance(said, dict) else "See the API's log."
        raise SetupError(f"The API refused it: {detail}", str(hint), exit_code=3 if status >= 500 else 2)
    return said
